"""The language of programs: what the sandbox's Python lacks, for prompts, messages and the check.

`LACKS` is the one table of it. `LANGUAGE` tells it to a language model; `lacks` finds it in a syntax tree.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
    *("map", "filter", "getattr", "setattr", "hasattr", "delattr", "callable", "issubclass", "super"),
    *("format", "vars", "dir", "globals", "locals", "exec", "eval", "compile", "__import__", "open", "input"),
    *("exit", "quit", "breakpoint", "bytearray", "memoryview", "ascii"),
)
_NO_METHODS = (
    *("__new__", "__len__", "__bool__", "__lt__", "__le__", "__gt__", "__ge__", "__iadd__", "__isub__"),
    *("__getattr__", "__getattribute__", "__setattr__", "__format__", "__reversed__", "__del__"),
    *("__class_getitem__", "__init_subclass__"),
)


class Lack(NamedTuple):
    """Something that the language of programs lacks."""

    code: str  # which has it, and is refused
    types: tuple[type[ast.AST], ...]  # of the nodes that may have it
    found: Callable[[Any], Sequence[ast.AST]] = lambda node: [node]  # the places in such a node, not below it


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


def _unbound_method(node: ast.keyword | ast.Attribute) -> list[ast.AST]:
    """`str.lower`, and `key=` with a method of a value of Python's own."""
    if isinstance(node, ast.keyword):
        names = ("get", "index", "count", "find", "__getitem__")
        one = node.value
        return [one] if node.arg == "key" and isinstance(one, ast.Attribute) and one.attr in names else []
    types = ("str", "list", "dict", "set", "tuple", "int", "float")
    named = isinstance(node.value, ast.Name) and node.value.id in types
    return [node] if named and node.attr != "fromkeys" else []


def _next_of_generator(node: ast.Call) -> list[ast.AST]:
    named = isinstance(node.func, ast.Name) and node.func.id == "next"
    return [node] if named and isinstance(next(iter(node.args), None), ast.GeneratorExp) else []


def _imports(node: ast.Import | ast.ImportFrom) -> list[ast.AST]:
    """Where an import names a module that cannot be imported."""
    places: list[ast.AST] = [*node.names] if isinstance(node, ast.Import) else [node]
    return [place for place in places if any(name not in MODULES for name in _imported(place))]


# What the language of programs lacks, in words. Prompts list it, and the check finds it. A builtin is `name`.
LACKS: dict[str, Lack] = {
    "class inheritance": Lack(
        "class A(dict):\n    pass", (ast.ClassDef,), lambda node: [*node.bases, *node.keywords][:1]
    ),
    "decorators on methods (`@property`, `@staticmethod`, ...)": Lack(
        "class A:\n    @staticmethod\n    def b() -> int:\n        return 1",
        (ast.ClassDef,),
        lambda node: [one.decorator_list[0] for one in _methods(node) if one.decorator_list],
    ),
    "class bodies with more than methods and simple variables": Lack(
        "class A:\n    class B:\n        pass", (ast.ClassDef,), _not_simple
    ),
    f"special methods {', '.join(f'`{name}`' for name in _NO_METHODS)}": Lack(
        "class A:\n    def __len__(self) -> int:\n        return 1",
        (ast.ClassDef,),
        lambda node: [one for one in _methods(node) if one.name in _NO_METHODS],
    ),
    "`yield`": Lack("def f():\n    yield 1", (ast.Yield, ast.YieldFrom)),
    "`next` of a generator expression": Lack("a = next(b for b in [1])", (ast.Call,), _next_of_generator),
    "methods that are not called at once (`key=counts.get`, `str.lower`; write a lambda)": Lack(
        "counts = {1: 2}\na = max(counts, key=counts.get)", (ast.keyword, ast.Attribute), _unbound_method
    ),
    "`async` and `await`": Lack(
        "async def f() -> None:\n    pass", (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    ),
    "`del`": Lack("a = 1\ndel a", (ast.Delete,)),
    "`except*`": Lack("try:\n    pass\nexcept* ValueError:\n    pass", (ast.TryStar,)),
    "`import *`": Lack(
        "from math import *", (ast.ImportFrom,), lambda node: [node] if node.names[0].name == "*" else []
    ),
    "files, network and third-party packages": Lack("import numpy", (ast.Import, ast.ImportFrom), _imports),
    **{f"`{name}`": Lack(f"a = {name}", ()) for name in _NO_BUILTINS},
}
_LACKS_OF = {
    kind: [(name, lack) for name, lack in LACKS.items() if kind in lack.types]
    for kind in {kind for lack in LACKS.values() for kind in lack.types}
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


def no_module(name: str) -> str:
    """The message for an import that the sandbox refuses."""
    return f"no module '{name}' in the sandbox; available are {', '.join(MODULES)}"


def lacks(node: ast.AST) -> list[tuple[ast.AST, str]]:
    """The places in this node, not below it, that use what the language lacks; and the messages for them."""
    if isinstance(node, ast.Name):
        name = f"`{node.id}`"
        return [(node, lacking(name))] if name in LACKS else []
    found = []
    for name, lack in _LACKS_OF.get(type(node), ()):
        for place in lack.found(node):
            modules = [one for one in _imported(place) if one not in MODULES]
            found += [(place, told) for told in map(no_module, modules)] or [(place, lacking(name))]
    return found + [(node, told) for told in _missing(node)]


def _missing(node: ast.AST) -> list[str]:
    """The messages for members that a `from ... import` asks for and that the module lacks in the sandbox."""
    has = MODULES.get(node.module or "") if isinstance(node, ast.ImportFrom) else ()
    if not has or not isinstance(node, ast.ImportFrom):
        return []
    told = f"in the sandbox's '{node.module}'; available are {', '.join(has)}"
    return [f"no '{one.name}' {told}" for one in node.names if one.name not in (*has, "*")]


def _imported(node: ast.AST) -> list[str]:
    """The modules that a `from ... import`, or a name in an `import`, asks for. `__future__` is no module."""
    if isinstance(node, ast.alias):
        return [node.name]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return ["." * node.level + (node.module or "")]
    return []
