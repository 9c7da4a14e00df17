"""The contract of programs: the tables that generate type stubs, prompts and checks.

A file in `policies/` is a program over skills: it has a class `Program` as in `PROGRAM_FORM`. Each episode
gets a new object. `select` is called when an episode begins and whenever the running skill ends. It returns
one of `available`: the names of the skills that may start now, in config order, never empty. It may say why
in `self.reason`, which is empty before each call of it; replays show it. `should_end` is called on every
environment step and can end the running skill early.

A file `skills/<name>.py` defines two functions without memory, as in `SKILL_FORM`.

`GameState` and `Skill` need no import. `LANGUAGE` says what the sandbox's Python lacks; see `language`.
"""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import syntax
from maestromotif.programs.language import LACKS as LACKS
from maestromotif.programs.language import LANGUAGE as LANGUAGE
from maestromotif.programs.language import MODULES as MODULES
from maestromotif.reading import is_there, read_text
from maestromotif.skill import Skill

MOST_REASON = 120  # characters of a reason that are kept
PROGRAM_FORM = """\
class Program:
    def __init__(self) -> None: ...
    def select(self, state: GameState, available: list[Skill]) -> Skill: ...
    def should_end(self, state: GameState) -> bool: ...  # optional
    reason: str  # optional: `select` may set self.reason to say why; 120 characters of it are shown
"""
SKILL_FORM = """\
def may_start(state: GameState) -> bool: ...
def should_end(state: GameState) -> bool: ...
"""


def game_state() -> str:
    """The declaration of GameState, with the documentation of each field as a comment."""
    fields = "\n".join(f"    {name}: {field.type.__name__}  # {field.doc}" for name, field in FIELDS.items())
    return f"@dataclass(frozen=True)\nclass GameState:\n{fields}\n"


def stubs(skills: Sequence[Skill]) -> str:
    """Declarations of GameState and Skill for the type checker; Skill is a Literal of the skill names."""
    names = ", ".join(repr(skill.name) for skill in skills)
    skill_type = f"Literal[{names}]" if skills else "str"
    return (
        "from dataclasses import dataclass\nfrom typing import Literal\n\n"
        f"Skill = {skill_type}\n\n{game_state()}"
    )


def default_program(skill: Skill) -> str:
    """For a skill without a program: can always start; ends when the depth changes or at `max_turns`."""
    return (
        "def may_start(state: GameState) -> bool:\n"
        "    return True\n\n\n"
        "def should_end(state: GameState) -> bool:\n"
        f"    return state.depth != state.skill_start_depth or state.skill_turns >= {skill.max_turns}\n"
    )


def read(path: str | Path, seconds: float | None = None) -> str:
    """The source of a program over skills, without a byte order mark. Raises UserError if it has no text.

    seconds: until a pipe that nobody writes to is given up.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name a program, such as {path / 'NAME.py'}")
        if not is_there(path):
            there = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
            hint = did_you_mean(path.name, there) if there else f"; there are no programs in {path.parent}"
            raise UserError(f"{path}: no such program{hint}")
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return read_text(path, seconds=seconds)


def used_fields(sources: Sequence[str]) -> list[str]:
    """The fields of GameState that the sources may read; only these go to the sandbox.

    They are the names of attributes, and texts that are a field's name; of a source that is not Python, all
    its words. A column of 64 values costs 15 us a call. A field name that a program builds at run time is not
    found here; the program then fails with an AttributeError at that line.
    """
    words = {word for source in sources for word in _words(source)}
    return [name for name in FIELDS if name in words]


def compared_numbers(sources: Sequence[str]) -> dict[str, list[int]]:
    """Fields of GameState -> the whole numbers that the sources compare them with, at most 20 of each.

    Numbers and fields may have names of their own: `LIMIT = 50`, `depth = state.depth`.
    """
    found: dict[str, set[int]] = {}
    for source in sources:
        try:
            nodes = list(ast.walk(syntax.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        named = [
            (target.id, node.value)
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        numbers = {name: value for name, node in named if (value := _whole(node)) is not None}
        fields = {name: node.attr for name, node in named if isinstance(node, ast.Attribute)}
        for parts in (part for node in nodes for part in _compared(node)):
            words = [_word(one) for one in parts]
            there = {value for one in parts if (value := _whole(one)) is not None}
            there |= {numbers[word] for word in words if word in numbers}
            for word in words:
                if (name := fields.get(word, word)) in FIELDS:
                    found.setdefault(name, set()).update(there)
    return {name: sorted(there)[:20] for name, there in found.items() if there}


def _compared(node: ast.AST) -> list[list[ast.AST]]:
    """Of each comparison that a node makes: the nodes of all that is compared."""
    if isinstance(node, ast.Compare):
        return [list(ast.walk(node))]
    if isinstance(node, ast.Match):
        patterns = [one for case in node.cases for one in ast.walk(case.pattern)]
        return [[*ast.walk(node.subject), *patterns]]
    if isinstance(node, ast.MatchClass):
        named = zip(node.kwd_attrs, node.kwd_patterns, strict=True)
        return [[ast.Name(name), *ast.walk(pattern)] for name, pattern in named]
    return []


def _word(node: ast.AST) -> str:
    """The name, or the attribute, that a node is."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _whole(node: ast.AST) -> int | None:
    """The whole number of 32 bits that a node is."""
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    one = node.operand if isinstance(node, ast.UnaryOp) and sign < 0 else node
    value = one.value if isinstance(one, ast.Constant) else None
    return sign * value if type(value) is int and value < 2**31 else None


def reason_line(program: str) -> int | None:
    """The line at which a program over skills first sets its `reason`; None if it has none."""
    try:
        body = syntax.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = [
        node
        for one in body
        if isinstance(one, ast.ClassDef) and one.name == "Program"
        for node in ast.walk(one)
    ]
    lines = [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.Attribute) and node.attr == "reason" and isinstance(node.ctx, ast.Store))
        or (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "reason"
        )
    ]
    return min(lines, default=None)


def _words(source: str) -> set[str]:
    """The names of attributes, and the texts, in a source."""
    try:
        nodes = list(ast.walk(syntax.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"\w+", source))
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {name for node in nodes if isinstance(node, ast.MatchClass) for name in node.kwd_attrs}
    return found | {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def draws_every_step(program: str, skill_programs: Sequence[str]) -> bool:
    """Whether code that runs on every step uses `random`: all code but Program's __init__ and select.

    Seeding costs 4 us a game, as much as everything else together. If only skill selection draws random
    numbers, the sandbox seeds only then. Uses are found by name.
    """
    try:
        trees = [syntax.parse(program), *map(syntax.parse, skill_programs)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    rarely = {
        id(node)
        for body in trees[0].body
        if isinstance(body, ast.ClassDef) and body.name == "Program"
        for method in body.body
        if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "select")
        for node in ast.walk(method)
    }
    for tree in trees:
        names = {"random"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                from_random = isinstance(node, ast.ImportFrom) and node.module == "random"
                names |= {a.asname or a.name for a in node.names if from_random or a.name == "random"}
        for node in ast.walk(tree):
            if id(node) in rarely:
                continue
            if (isinstance(node, ast.Name) and node.id in names) or (
                isinstance(node, ast.Attribute) and node.attr in names
            ):
                return True
    return False
