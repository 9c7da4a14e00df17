"""Reads conditions: the text of a task becomes a formula, or an error that says where and why not.

The text is a Python expression; Python's own parser reads it, and only these forms are allowed:

    condition   depth >= 3 and not in_shop       comparisons, and, or, not, flags, calls in `FLAGS`
    number      gold + 10 * total(sold)          fields, whole numbers, + - *, and the calls in `NUMBERS`
    formula     then(depth >= 3, depth == 1)     the calls in `FORMULAS`, of conditions and of formulas
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.truth import TRUTH
from maestromotif.tasks import expressions as ex
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then

LONGEST = 2_000  # characters of a condition
_TIMES = 10_000  # repetitions
_DEEPEST = 100  # levels of parts in parts

_COMPARES: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


@dataclass(frozen=True)
class Call:
    """A call that a text may contain: how it is written, and what it means. The docs are made of these."""

    form: str
    doc: str


NUMBERS: dict[str, Call] = {
    "count": Call(
        "count(EVENT)", "How often the event happened since this condition began to be waited for."
    ),
    "total": Call("total(EVENT)", "How often the event happened since the episode began."),
    "turns": Call("turns()", "Game turns since this condition began to be waited for."),
    "steps": Call("steps()", "Environment steps since this condition began to be waited for."),
}
FLAGS: dict[str, Call] = {
    "happened": Call("happened(EVENT)", "Whether the event happened on this step."),
    "died_of": Call('died_of("jackal")', "Whether the hero died on this step of a cause with these words."),
}
FORMULAS: dict[str, Call] = {
    "then": Call("then(A, B, ...)", "A is met, then B, and so on. One step may meet several."),
    "all_of": Call("all_of(A, B, ...)", "All are met, in any order and not necessarily on the same step."),
    "any_of": Call("any_of(A, B, ...)", "One of them is met."),
    "until": Call("until(C, A)", "A is met, and the condition C holds on every step before."),
    "avoiding": Call("avoiding(A, C)", "A is met, and the condition C never holds before or on that step."),
    "not_before": Call(
        "not_before(C, A)", "A is met, and C holds later or on the same step, but not before."
    ),
    "repeat": Call("repeat(N, A)", "A is met N times. A condition counts again only after it was false."),
    "survive": Call("survive(N)", "The hero lives for N more game turns."),
}


def parse(text: str, where: str) -> Formula:
    """The formula of a text. Raises UserError that begins with `where` and the text."""
    return _Reader(text, where).read()


def parse_all(texts: Sequence[str], where: str) -> Formula | None:
    """The formula of a list of texts, which must be met one after the other; None of an empty list."""
    found = [parse(text, f"{where}[{number}]") for number, text in enumerate(texts)]
    if not found:
        return None
    formula = found[0] if len(found) == 1 else Then(tuple(found))
    if fault := formula.fault():
        raise UserError(f"{where}: {', then '.join(map(repr, texts))}: can never be met: {fault}")
    return formula


def parse_number(text: str, where: str) -> ex.Expression:
    """A number, such as total(sold) or gold + 10, for what a task measures."""
    reader = _Reader(text, where)
    return reader.number(reader.tree())


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where

    def read(self) -> Formula:
        formula = self.formula(self.tree())
        if fault := formula.fault():
            raise self.error(f"can never be met: {fault}")
        return formula

    def tree(self) -> ast.expr:
        if len(self._text) > LONGEST:
            raise UserError(
                f"{self._where}: a condition of {len(self._text):,} characters; {LONGEST:,} are allowed"
            )
        if not self._text.strip():
            raise self.error("the condition is empty; write one such as depth >= 2")
        try:
            tree = ast.parse(self._text.strip(), mode="eval").body
        except SyntaxError as error:
            place = f" at character {error.offset}" if error.offset else ""
            hint = "write one such as depth >= 2"
            if self._text.count("(") > self._text.count(")"):  # YAML has cut it at a comma
                hint = 'in a file, one with a comma needs quotes, as in ["any_of(left, depth >= 2)"]'
            raise self.error(f"cannot read it{place}: {error.msg}; {hint}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise self.error(f"cannot read it: {error or type(error).__name__}") from None
        if _deeper_than(_DEEPEST, tree):
            raise self.error(f"cannot read it: parts in parts, more than {_DEEPEST} levels deep")
        return tree

    def error(self, message: str) -> UserError:
        return UserError(f"{self._where}: {self._text[:200]!r}: {message}")

    def formula(self, node: ast.expr) -> Formula:
        name = _called(node)
        if name not in FORMULAS:
            return Holds(self.condition(node))
        assert isinstance(node, ast.Call)
        given = self.arguments(node, FORMULAS[name], least=1)
        match name:
            case "then" | "all_of" | "any_of":
                parts = tuple(self.formula(one) for one in given)
                return Then(parts) if name == "then" else Several(parts, every=name == "all_of")
            case "survive":
                (times,) = self.exactly(given, 1, name)
                needed = ex.Literal(self.whole(times, ex.MOST))
                return Holds(ex.Comparison(">=", ex.turns(), needed))
        first, second = self.exactly(given, 2, name)
        match name:
            case "repeat":
                return Repeat(self.whole(first, _TIMES), self.formula(second))
            case "avoiding":
                return Avoiding(self.formula(first), self.condition(second), also_then=True)
            case "until":
                return Avoiding(self.formula(second), ex.Not(self.condition(first)), also_then=False)
            case _:  # not_before
                later = self.condition(first)
                return Then((Avoiding(self.formula(second), later, also_then=False), Holds(later)))

    def condition(self, node: ast.expr) -> ex.Expression:
        """An expression that is true or false."""
        if _called(node) in FORMULAS:
            raise self.error(
                f"{_called(node)}(...) spans many steps; here something is needed that holds on one step; "
                f"join such parts by {', '.join(FORMULAS)}"
            )
        found = self.expression(node)
        if found.type is not bool:
            raise self.error(f"'{found}' is a number; compare it, as in {found} >= 2")
        return found

    def number(self, node: ast.expr) -> ex.Expression:
        found = self.expression(node)
        if found.type is not int:
            raise self.error(f"'{found}' is true or false, where a number is needed")
        return found

    def expression(self, node: ast.expr) -> ex.Expression:
        match node:
            case ast.Constant(value=bool() as holds):
                return ex.Truth(holds)
            case ast.Constant(value=int() as number) if abs(number) <= ex.MOST:
                return ex.Literal(number)
            case ast.Constant(value=int() as number):
                raise self.error(f"{number} is greater than any number in the game")
            case ast.Name(id="true" | "false" as word):
                return ex.Truth(word == "true")
            case ast.Name(id=name):
                return self.named(name)
            case ast.Attribute(value=ast.Name(id="truth"), attr=name):
                if name not in TRUTH:
                    raise self.error(f"the game's truth has no '{name}'{did_you_mean(name, TRUTH)}")
                return ex.secret(name)
            case ast.UnaryOp(op=ast.Not(), operand=below):
                return ex.Not(self.condition(below))
            case ast.UnaryOp(op=ast.USub(), operand=below):
                if isinstance(below, ast.Constant):
                    return ex.Literal(-self.whole(below, ex.MOST, least=0))
                return ex.Arithmetic("-", ex.Literal(0), self.number(below))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return ex.Arithmetic(_ARITHMETIC[type(op)], self.number(left), self.number(right))
            case ast.BoolOp(op=op, values=values):
                return ex.Both(tuple(map(self.condition, values)), every=isinstance(op, ast.And))
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
        raise self.error(
            f"'{ast.unparse(node)}' is not allowed; use fields of GameState, whole numbers, comparisons, "
            f"and, or, not, + - *, and the calls {', '.join((*FORMULAS, *NUMBERS, *FLAGS))}"
        )

    def named(self, name: str) -> ex.Expression:
        if name in ex.FIELDS:
            return ex.field_of(name)
        if name in ex.ENDS:
            return ex.ended(name)
        if name in EVENTS:
            raise self.error(f"'{name}' is an event; write count({name}) >= 1")
        known = (*ex.FIELDS, *ex.ENDS)
        raise self.error(f"GameState has no field '{name}'{did_you_mean(name, known)}")

    def comparison(self, node: ast.Compare) -> ex.Expression:
        found, left = [], self.expression(node.left)
        for op, below in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _COMPARES:
                raise self.error(
                    f"'{ast.unparse(node)}': compare with one of {', '.join(_COMPARES.values())}"
                )
            right = self.expression(below)
            if left.type is not right.type:
                number, other = (left, right) if left.type is int else (right, left)
                raise self.error(f"'{number}' is a number and '{other}' is true or false")
            if left.type is bool and not isinstance(op, ast.Eq | ast.NotEq):
                raise self.error(f"'{left}' is true or false; only == and != compare it")
            found.append(ex.Comparison(_COMPARES[type(op)], left, right))
            left = right
        return found[0] if len(found) == 1 else ex.Both(tuple(found), every=True)

    def call(self, node: ast.Call) -> ex.Expression:
        name = _called(node)
        if name in ("turns", "steps"):
            self.exactly(self.arguments(node, NUMBERS[name], least=0), 0, name)
            return ex.turns() if name == "turns" else ex.steps()
        makes: dict[str, Callable[[str], ex.Expression]] = {
            "count": ex.count, "total": ex.total, "happened": ex.happened,
        }  # fmt: skip
        if name in makes:
            (event,) = self.exactly(self.arguments(node, (NUMBERS | FLAGS)[name], least=1), 1, name)
            return makes[name](self.event(event))
        if name == "died_of":
            (words,) = self.exactly(self.arguments(node, FLAGS[name], least=1), 1, name)
            if not (isinstance(words, ast.Constant) and isinstance(words.value, str) and words.value.strip()):
                raise self.error(f"{FLAGS[name].form} needs words in quotes")
            return ex.died_of(words.value)
        if name in FORMULAS:
            return self.condition(node)  # which says why not
        known = (*FORMULAS, *NUMBERS, *FLAGS)
        raise self.error(f"there is no '{ast.unparse(node.func)}(...)'{did_you_mean(name or '', known)}")

    def event(self, node: ast.expr) -> str:
        name = node.id if isinstance(node, ast.Name) else ast.unparse(node)
        if name not in EVENTS:
            raise self.error(f"there is no event '{name}'{did_you_mean(name, EVENTS)}")
        return name

    def whole(self, node: ast.expr, most: int, least: int = 1) -> int:
        match node:
            case ast.Constant(value=int() as number) if type(number) is int and least <= number <= most:
                return number
        raise self.error(f"'{ast.unparse(node)}' should be a whole number from {least} to {most:,}")

    def arguments(self, node: ast.Call, call: Call, least: int) -> list[ast.expr]:
        starred = any(isinstance(one, ast.Starred) for one in node.args)
        if node.keywords or starred or len(node.args) < least:
            raise self.error(f"'{ast.unparse(node)}' should have the form {call.form}")
        return node.args

    def exactly(self, given: Sequence[ast.expr], number: int, name: str) -> Sequence[ast.expr]:
        if len(given) != number:
            form = (FORMULAS | NUMBERS | FLAGS)[name].form
            raise self.error(f"{name} should have the form {form} (got {len(given)} parts)")
        return given


def _deeper_than(levels: int, tree: ast.expr) -> bool:
    """Whether a tree has more levels of expressions."""
    level: list[ast.AST] = [tree]
    for _ in range(levels):
        level = [
            below for node in level for below in ast.iter_child_nodes(node) if isinstance(below, ast.expr)
        ]
    return bool(level)


def _called(node: ast.expr) -> str | None:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
