"""The language of programs: what the sandbox's Python lacks, for prompts, messages and the check.

`LACKS` is the one table of it. `LANGUAGE` tells it to a language model; `lacks` finds it in a syntax tree.
"""

import ast
import builtins
from collections.abc import Callable, Mapping, Sequence
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
        ),
        *("TYPE_CHECKING", "Union"),
    ),
}
_NO_BUILTINS = (
    *("map", "filter", "getattr", "setattr", "hasattr", "delattr", "callable", "issubclass", "super"),
    *("format", "vars", "dir", "globals", "locals", "exec", "eval", "compile", "__import__", "open", "input"),
    *("exit", "quit", "help", "copyright", "credits", "license", "breakpoint"),
    *("bytearray", "memoryview", "ascii", "IOError", "EnvironmentError"),
)
_NO_ATTRIBUTES = (  # of any value; a name that some value has is not here
    *("format_map", "maketrans", "translate", "bit_length", "bit_count", "as_integer_ratio", "is_integer"),
    *("conjugate", "numerator", "denominator", "real", "imag", "from_bytes", "to_bytes", "fromhex"),
    *("difference_update", "intersection_update", "symmetric_difference_update"),
    *("maxlen", "default_factory", "subn", "add_note"),
)
_DUNDERS = ("__class__", "__name__", "__init__", "__eq__", "__hash__", "__repr__")  # of some values
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
    first = next(iter(node.args), None)
    a_list = isinstance(first, ast.Call) and _called(first) in ("reversed", "zip", "enumerate")
    return [node] if named and (isinstance(first, ast.GeneratorExp) or a_list) else []


def _double_underscores(node: ast.Attribute) -> list[ast.AST]:
    """An attribute such as `__globals__`."""
    special = node.attr.startswith("__") and node.attr.endswith("__")
    return [node] if special and node.attr not in _DUNDERS else []


def _called(node: ast.Call) -> str:
    """The name that is called, without what stands before its last dot."""
    function = node.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _not_a_text(node: ast.Call) -> list[ast.AST]:
    """An exception that is made of more than one value, or of one that is plainly no text."""
    kind = getattr(builtins, _called(node), None) if isinstance(node.func, ast.Name) else None
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return []
    text = node.args and (
        not isinstance(node.args[0], ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set)
        or (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str))
    )
    return [] if len(node.args) + len(node.keywords) == bool(text) else [node]


def _replaced_by_function(node: ast.Call) -> list[ast.AST]:
    """A call of `re.sub`, or of a pattern's `sub`, with a lambda."""
    return [one for one in node.args[:2] if isinstance(one, ast.Lambda)] if _called(node) == "sub" else []


def _options(node: ast.Call) -> Sequence[ast.AST]:
    """The first option of `dataclass` or `field` that is not there."""
    there = {"dataclass": ("frozen", "eq"), "field": ("default", "default_factory")}.get(_called(node))
    return [one for one in node.keywords if there is not None and one.arg not in there][:1]


def _imports(node: ast.Import | ast.ImportFrom) -> list[ast.AST]:
    """Where an import names a module that cannot be imported."""
    places: list[ast.AST] = [*node.names] if isinstance(node, ast.Import) else [node]
    return [place for place in places if any(name not in MODULES for name in _imported(place))]


_ALIASES = "aliases of types in `typing` (`A = List[str]`; write the type where it is used)"
# What the language of programs lacks, in words. Prompts list it, and the check finds it. A builtin is `name`,
# a method or an attribute `.name`.
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
    "`next` of a generator expression, `enumerate`, `reversed` or `zip`, which are lists": Lack(
        "a = next(b for b in [1])", (ast.Call,), _next_of_generator
    ),
    "methods that are not called at once (`key=counts.get`, `str.lower`; write a lambda)": Lack(
        "counts = {1: 2}\na = max(counts, key=counts.get)", (ast.keyword, ast.Attribute), _unbound_method
    ),
    "patterns of `GameState` without the fields' names": Lack(
        "def f(a: GameState) -> None:\n    match a:\n        case GameState(1):\n            pass",
        (ast.MatchClass,),
        lambda node: (
            node.patterns[:1] if isinstance(node.cls, ast.Name) and node.cls.id == "GameState" else []
        ),
    ),
    "exceptions of anything but one text (`KeyError(1)`)": Lack("a = KeyError(1)", (ast.Call,), _not_a_text),
    "functions as replacements in `re.sub`": Lack(
        "import re\na = re.sub('b', lambda found: 'c', 'd')", (ast.Call,), _replaced_by_function
    ),
    "options of `dataclass` and `field` but `frozen`, `eq`, `default` and `default_factory`": Lack(
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass A:\n    b: int",
        (ast.Call,),
        _options,
    ),
    "objects of `object`": Lack(
        "a = object()",
        (ast.Call,),
        lambda node: [node] if isinstance(node.func, ast.Name) and node.func.id == "object" else [],
    ),
    "changes of `GameState`": Lack(
        "GameState.depth = 1",
        (ast.Attribute,),
        lambda node: (
            [node]
            if isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "GameState"
            else []
        ),
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
    f"attributes in double underscores but {', '.join(f'`.{name}`' for name in _DUNDERS)}": Lack(
        "a = 1\nb = a.__dict__", (ast.Attribute,), _double_underscores
    ),
    _ALIASES: Lack("from typing import List\nA = List[str]", ()),
    **{f"`.{name}`": Lack(f"a = 1\nb = a.{name}", ()) for name in _NO_ATTRIBUTES},
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


def lacks(node: ast.AST, modules: Mapping[str, str] | None = None) -> list[tuple[ast.AST, str]]:
    """The places in this node, not below it, that use what the language lacks; and the messages for them.

    modules: name in the file -> what it is: a module of `MODULES`, or a member, as in `typing.List`.
    """
    if isinstance(node, ast.Name):
        name = f"`{node.id}`"
        return [(node, lacking(name))] if name in LACKS else []
    found: list[tuple[ast.AST, str]] = []
    if isinstance(node, ast.Attribute) and f"`.{node.attr}`" in LACKS:
        found.append((node, lacking(f"`.{node.attr}`")))
    for name, lack in _LACKS_OF.get(type(node), ()):
        for place in lack.found(node):
            unknown = [one for one in _imported(place) if one not in MODULES]
            found += [(place, told) for told in map(no_module, unknown)] or [(place, lacking(name))]
    if isinstance(node, ast.Assign) and _alias(node.value, modules or {}):
        found.append((node.value, lacking(_ALIASES)))
    return found + [(node, told) for told in _missing(node, modules or {})]


def _alias(value: ast.expr, modules: Mapping[str, str]) -> bool:
    """Whether a value is made of `List[...]` or its like, which cannot be evaluated."""
    for node in ast.walk(value):
        if isinstance(node, ast.Subscript):
            of = node.value
            name = modules.get(of.id, "") if isinstance(of, ast.Name) else ""
            if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name):
                name = f"{modules.get(of.value.id, '')}.{of.attr}"
            module, _, member = name.partition(".")
            if module == "typing" and member not in ("Optional", "Union"):
                return True
    return False


def _missing(node: ast.AST, modules: Mapping[str, str]) -> list[str]:
    """The messages for members of a module that a node asks for and that the sandbox's module lacks."""
    if isinstance(node, ast.ImportFrom):
        module, members = node.module or "", [one.name for one in node.names]
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module, members = modules.get(node.value.id, ""), [node.attr]
    else:
        return []
    has = MODULES.get(module)
    told = f"in the sandbox's '{module}'; available are {', '.join(has or ())}"
    return [f"no '{one}' {told}" for one in members if has and one not in (*has, "*")]


def _imported(node: ast.AST) -> list[str]:
    """The modules that a `from ... import`, or a name in an `import`, asks for. `__future__` is no module."""
    if isinstance(node, ast.alias):
        return [node.name]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return ["." * node.level + (node.module or "")]
    return []
