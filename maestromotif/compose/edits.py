"""Edits of programs without a model: small changes of their syntax trees, drawn at random.

An edit need not make sense: the checks and the games tell. Comments are lost, because syntax trees have none.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

_OTHERS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq, ast.GtE, ast.LtE),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


@dataclass(frozen=True)
class Material:
    """What edits put in. guard: draws a condition on `state`, as source; other: a program to copy from."""

    skills: Sequence[str]
    guard: Callable[[Random], str]
    other: str | None = None


@dataclass(frozen=True)
class Edit:
    """apply: changes the tree; returns False, and changes nothing, where there is no place for it."""

    apply: Callable[[ast.Module, Random, Material], bool]
    doc: str


def edited(source: str, random: Random, material: Material, names: Sequence[str] = ()) -> str | None:
    """The source after one edit of those named (default: of all); None if it has no place for any of them."""
    kinds = list(names or EDITS)
    random.shuffle(kinds)
    tree = ast.parse(source)
    for name in kinds:
        if EDITS[name].apply(tree, random, material):
            return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return None


def without(source: str, problems: Sequence[str]) -> str | None:
    """The source without the innermost statement at the first line that a problem names (file:line).

    None if the source is not Python, or if no problem names a line with a statement.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for text in problems:
        for number in re.findall(r"\.py:(\d+)", text):
            found = [
                (statements, at)
                for statements in _bodies(tree)
                for at, one in enumerate(statements)
                if one.lineno <= int(number) <= (one.end_lineno or one.lineno)
            ]
            if found:
                statements, at = found[-1]  # the walk meets outer statements first
                del statements[at]
                if not statements:
                    statements.append(ast.Pass())
                return ast.unparse(tree) + "\n"
    return None


# --------------------------------------------------------------------------------------------------- edits


def _shift(tree: ast.Module, random: Random, material: Material) -> bool:
    places = [one for one in ast.walk(tree) if isinstance(one, ast.Constant) and type(one.value) is int]
    if not places:
        return False
    place = random.choice(places)
    assert isinstance(place.value, int)
    place.value = shifted(place.value, random)
    return True


def shifted(value: int, random: Random) -> int:
    """Another whole number near this one: by 1 or 2, or by a quarter or half of a large one."""
    return value + random.choice((-2, -1, 1, 2)) * max(1, abs(value) // 4)


def _flip(tree: ast.Module, random: Random, material: Material) -> bool:
    places = [one for one in ast.walk(tree) if isinstance(one, ast.Compare) and type(one.ops[0]) in _OTHERS]
    if not places:
        return False
    place = random.choice(places)
    place.ops[0] = random.choice(_OTHERS[type(place.ops[0])])()
    return True


def _swap(tree: ast.Module, random: Random, material: Material) -> bool:
    choices: list[Any] = [
        one
        for one in ast.walk(tree)
        if (isinstance(one, ast.If) and one.orelse) or isinstance(one, ast.IfExp)
    ]
    orders = [
        (statements, at)
        for statements in _bodies(tree)
        for at in range(1, len(statements))
        if isinstance(statements[at - 1], ast.If) and isinstance(statements[at], ast.If)
    ]
    if not choices and not orders:
        return False
    number = random.randrange(len(choices) + len(orders))
    if number < len(choices):
        place = choices[number]
        place.body, place.orelse = place.orelse, place.body
    else:
        statements, at = orders[number - len(choices)]
        statements[at - 1], statements[at] = statements[at], statements[at - 1]
    return True


def _drop(tree: ast.Module, random: Random, material: Material) -> bool:
    guards = [one for one in ast.walk(tree) if isinstance(one, ast.BoolOp)]
    branches = [
        (statements, at)
        for statements in _bodies(tree)
        for at, one in enumerate(statements)
        if isinstance(one, ast.If) and len(statements) > 1
    ]
    if not guards and not branches:
        return False
    number = random.randrange(len(guards) + len(branches))
    if number < len(guards):
        place = guards[number]
        del place.values[random.randrange(len(place.values))]
        if len(place.values) == 1:
            _replace(tree, place, place.values[0])
    else:
        statements, at = branches[number - len(guards)]
        del statements[at]
    return True


def _add(tree: ast.Module, random: Random, material: Material) -> bool:
    places = [one for function in _with_state(tree) for one in ast.walk(function) if isinstance(one, ast.If)]
    if not places:
        return False
    place = random.choice(places)
    guard = ast.parse(material.guard(random), mode="eval").body
    place.test = ast.BoolOp(random.choice((ast.And, ast.And, ast.Or))(), [place.test, guard])
    return True


def _rename(tree: ast.Module, random: Random, material: Material) -> bool:
    places = [one for one in ast.walk(tree) if isinstance(one, ast.Constant) and one.value in material.skills]
    if not places or len(material.skills) < 2:
        return False
    place = random.choice(places)
    place.value = random.choice([name for name in material.skills if name != place.value])
    return True


def _copy(tree: ast.Module, random: Random, material: Material) -> bool:
    if material.other is None:
        return False
    here = {function.name: function for function in _with_state(tree)}
    branches = [
        (here[function.name], branch)
        for function in _with_state(ast.parse(material.other))
        if function.name in here
        for branch in ast.walk(function)
        if isinstance(branch, ast.If)
    ]
    if not branches:
        return False
    function, branch = random.choice(branches)
    function.body.insert(random.randrange(len(function.body)), copy.deepcopy(branch))
    return True


EDITS = {
    "shift": Edit(_shift, "shift a whole number"),
    "flip": Edit(_flip, "turn a comparison round, or move its border"),
    "swap": Edit(_swap, "swap two branches, or the order of two"),
    "drop": Edit(_drop, "drop a guard or a branch"),
    "add": Edit(_add, "add a guard to a branch"),
    "rename": Edit(_rename, "use another skill"),
    "copy": Edit(_copy, "copy a branch from another program"),
}


# -------------------------------------------------------------------------------------------------- places


def _bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Lists of statements inside functions, outer ones first."""
    for function in _functions(tree):
        for node in ast.walk(function):
            for name in ("body", "orelse"):
                statements = getattr(node, name, None)
                if isinstance(statements, list) and statements:
                    yield statements


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _with_state(tree: ast.Module) -> list[ast.FunctionDef]:
    return [
        function for function in _functions(tree) if any(one.arg == "state" for one in function.args.args)
    ]


def _replace(tree: ast.Module, old: ast.expr, new: ast.expr) -> None:
    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else self.generic_visit(node)

    Replacer().visit(tree)
