"""The contract of programs: the tables that generate type stubs, prompts and checks.

A file in `policies/` is a program over skills: it has a class `Program` as in `PROGRAM_FORM`. Each episode
gets a new object. `select` is called when an episode begins and whenever the running skill ends. It returns
one of `available`: the names of the skills that may start now, in config order, never empty. `should_end` is
called on every environment step and can end the running skill early.

A file `skills/<name>.py` defines two functions without memory, as in `SKILL_FORM`.

`GameState` and `Skill` need no import. `LANGUAGE` says what the sandbox's Python lacks.
"""

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.reading import read_text
from maestromotif.skill import Skill

PROGRAM_FORM = """\
class Program:
    def __init__(self) -> None: ...
    def select(self, state: GameState, available: list[Skill]) -> Skill: ...
    def should_end(self, state: GameState) -> bool: ...  # optional
"""
SKILL_FORM = """\
def may_start(state: GameState) -> bool: ...
def should_end(state: GameState) -> bool: ...
"""

MAX_SOURCE = 100_000  # characters of a program
NESTING = 15  # blocks and brackets in each other; the type checker's time doubles with each further one
# Module that programs can import -> what it has; () if that is all.
MODULES: dict[str, tuple[str, ...]] = {
    "collections": ("Counter", "defaultdict", "deque", "namedtuple"),
    "dataclasses": ("dataclass", "field", "is_dataclass"),
    "functools": ("cache", "lru_cache", "partial", "reduce"),
    "itertools": (),
    "json": ("dumps", "loads", "JSONDecodeError"),
    "math": (),
    "random": (),
    "re": (
        *("compile", "escape", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"),
        *("IGNORECASE", "MULTILINE", "DOTALL", "ASCII", "Match", "Pattern"),
    ),
    "typing": (
        *("Any", "Callable", "ClassVar", "Dict", "Final", "FrozenSet", "Iterable", "Iterator", "List"),
        *(
            "Literal",
            "Mapping",
            "NoReturn",
            "Optional",
            "Self",
            "Sequence",
            "Set",
            "Tuple",
            "Type",
            "TypeVar",
        ),
        *("TYPE_CHECKING", "Union"),
    ),
}
_NO_BUILTINS = (
    *(
        "map",
        "filter",
        "getattr",
        "setattr",
        "hasattr",
        "delattr",
        "callable",
        "issubclass",
        "super",
        "format",
    ),
    *("vars", "dir", "globals", "locals", "exec", "eval", "compile", "__import__", "open", "input", "exit"),
    *("quit", "breakpoint", "bytearray", "memoryview", "ascii"),
)
_NO_METHODS = (
    *("__new__", "__len__", "__bool__", "__lt__", "__le__", "__gt__", "__ge__", "__iadd__", "__isub__"),
    *("__getattr__", "__getattribute__", "__setattr__", "__format__", "__reversed__", "__del__"),
    *("__class_getitem__", "__init_subclass__"),
)


class Lack(NamedTuple):
    """Something that the language of programs lacks."""

    code: str  # which has it, and is refused
    found: Callable[[ast.AST], list[ast.AST]]  # the places in this node, not below it


def _nodes(*types: type[ast.AST]) -> Callable[[ast.AST], list[ast.AST]]:
    return lambda node: [node] if isinstance(node, types) else []


def _in_class(found: Callable[[ast.ClassDef], list[ast.AST]]) -> Callable[[ast.AST], list[ast.AST]]:
    return lambda node: found(node) if isinstance(node, ast.ClassDef) else []


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def _not_simple(node: ast.ClassDef) -> list[ast.AST]:
    def simple(one: ast.stmt) -> bool:
        if isinstance(one, ast.Assign):
            return len(one.targets) == 1 and isinstance(one.targets[0], ast.Name)
        if isinstance(one, ast.Expr):
            return isinstance(one.value, ast.Constant)
        return isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign | ast.Pass)

    return [one for one in node.body if not simple(one)]


def _unbound_method(node: ast.AST) -> list[ast.AST]:
    """`str.lower`, and `key=` with a method of a value of Python's own."""
    if isinstance(node, ast.keyword) and node.arg == "key" and isinstance(node.value, ast.Attribute):
        return [node.value] if node.value.attr in ("get", "index", "count", "find", "__getitem__") else []
    types = ("str", "list", "dict", "set", "tuple", "int", "float")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in types:
        return [node] if node.attr != "fromkeys" else []
    return []


def _imports(node: ast.AST) -> list[ast.AST]:
    """Where an import names a module that cannot be imported."""
    places: list[ast.AST] = []
    if isinstance(node, ast.Import):
        places = [*node.names]
    elif isinstance(node, ast.ImportFrom):
        places = [node]
    return [place for place in places if any(name not in MODULES for name in imported(place))]


def _next_of_generator(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next":
        return [node for one in node.args[:1] if isinstance(one, ast.GeneratorExp)]
    return []


# What the language of programs lacks, in words. Prompts list it, and the check finds it. A builtin is `name`.
LACKS: dict[str, Lack] = {
    "class inheritance": Lack(
        "class A(dict):\n    pass", _in_class(lambda node: [*node.bases, *node.keywords][:1])
    ),
    "decorators on methods (`@property`, `@staticmethod`, ...)": Lack(
        "class A:\n    @staticmethod\n    def b() -> int:\n        return 1",
        _in_class(lambda node: [one.decorator_list[0] for one in _methods(node) if one.decorator_list]),
    ),
    "class bodies with more than methods and simple variables": Lack(
        "class A:\n    class B:\n        pass", _in_class(_not_simple)
    ),
    f"special methods {', '.join(f'`{name}`' for name in _NO_METHODS)}": Lack(
        "class A:\n    def __len__(self) -> int:\n        return 1",
        _in_class(lambda node: [one for one in _methods(node) if one.name in _NO_METHODS]),
    ),
    "`yield`": Lack("def f():\n    yield 1", _nodes(ast.Yield, ast.YieldFrom)),
    "`next` of a generator expression": Lack("a = next(b for b in [1])", _next_of_generator),
    "methods that are not called at once (`key=counts.get`, `str.lower`; write a lambda)": Lack(
        "counts = {1: 2}\na = max(counts, key=counts.get)", _unbound_method
    ),
    "`async` and `await`": Lack(
        "async def f() -> None:\n    pass",
        _nodes(ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith),
    ),
    "`del`": Lack("a = 1\ndel a", _nodes(ast.Delete)),
    "`except*`": Lack("try:\n    pass\nexcept* ValueError:\n    pass", _nodes(ast.TryStar)),
    "`import *`": Lack(
        "from math import *",
        lambda node: [node] if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" else [],
    ),
    "files, network and third-party packages": Lack("import numpy", _imports),
    **{f"`{name}`": Lack(f"a = {name}", _nodes()) for name in _NO_BUILTINS},
}


def _module(name: str) -> str:
    """A module and what it has, for prompts."""
    members = ", ".join(f"`{member}`" for member in MODULES[name])
    return f"`{name}` (only {members})" if members else f"`{name}`"


LANGUAGE = (
    f"The program runs in a small Python without {', '.join(LACKS)}. "
    f"These modules can be imported: {', '.join(map(_module, MODULES))}. "
    "`random` is seeded from the run's seed, the game, the episode and the step. "
    f"Printed output is discarded. Blocks and brackets may be nested {NESTING} deep."
)


def lacking(name: str) -> str:
    """The message for code that uses what `LACKS` names."""
    return f"the sandbox's Python has no {name}"


def lacks(node: ast.AST) -> list[tuple[ast.AST, str]]:
    """The places in this node, not below it, that use what `LACKS` names; and the messages for them."""
    if isinstance(node, ast.Name):
        name = f"`{node.id}`"
        return [(node, lacking(name))] if name in LACKS else []
    found = []
    for name, lack in LACKS.items():
        if name.strip("`") not in _NO_BUILTINS:
            for place in lack.found(node):
                modules = [one for one in imported(place) if one not in MODULES]
                found += [(place, told) for told in map(no_module, modules)] or [(place, lacking(name))]
    return found + [(node, told) for told in missing(node)]


def no_module(name: str) -> str:
    """The message for an import that the sandbox refuses."""
    return f"no module '{name}' in the sandbox; available are {', '.join(MODULES)}"


def missing(node: ast.AST) -> list[str]:
    """The messages for members that a `from ... import` asks for and that the module lacks in the sandbox."""
    if not isinstance(node, ast.ImportFrom) or not MODULES.get(node.module or ""):
        return []
    has = MODULES[node.module or ""]
    told = f"in the sandbox's '{node.module}'; available are {', '.join(has)}"
    return [f"no '{one.name}' {told}" for one in node.names if one.name not in (*has, "*")]


def imported(node: ast.AST) -> list[str]:
    """The modules that a `from ... import`, or a name in an `import`, asks for. `__future__` is no module."""
    if isinstance(node, ast.alias):
        return [node.name]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return ["." * node.level + (node.module or "")]
    return []


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


def read(path: str | Path) -> str:
    """The source of a program over skills, without a byte order mark. Raises UserError if it has no text."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a program, such as {path / 'NAME.py'}")
    if not path.exists():
        there = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, there) if there else f"; there are no programs in {path.parent}"
        raise UserError(f"{path}: no such program{hint}")
    if not path.is_file():
        raise UserError(f"{path}: is no file")
    if path.stat().st_size > 4 * MAX_SOURCE:
        size = path.stat().st_size
        raise UserError(f"{path}: {size:,} bytes; the limit for a program is {MAX_SOURCE:,} characters")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def used_fields(sources: Sequence[str]) -> list[str]:
    """The fields of GameState that the sources may read; only these go to the sandbox.

    They are the names of attributes, and texts that are a field's name; of a source that is not Python, all
    its words. A column of 64 values costs 15 us a call. A field name that a program builds at run time is not
    found here; the program then fails with an AttributeError at that line.
    """
    words = {word for source in sources for word in _words(source)}
    return [name for name in FIELDS if name in words]


def _words(source: str) -> set[str]:
    """The names of attributes, and the texts, in a source."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
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
        trees = [ast.parse(program), *map(ast.parse, skill_programs)]
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
