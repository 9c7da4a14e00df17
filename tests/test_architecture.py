"""The package's imports: one direction, no cycles, and the walls that keep some libraries in one place.

All imports of the text count: those inside functions and those for type checking, too.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import maestromotif

ROOT = Path(maestromotif.__file__).parent
NAME = maestromotif.__name__

# Each imports only from its own floor and from those before it.
FLOORS = (
    ("errors", "intervals", "machine", "signals"),
    ("reading",),
    ("head", "devices"),
    ("config",),
    ("tracking",),
    ("pipeline",),
    ("nethack",),
    ("skill",),
    ("language",),
    ("collect",),
    ("annotate",),
    ("quality",),
    ("rewards",),
    ("tasks",),
    ("programs",),
    ("agent",),
    ("replay",),
    ("demonstrate",),
    ("clone",),
    ("train",),
    ("compose",),
    ("evaluate",),
    ("report",),
    ("cli",),
    ("__main__",),
)
FLOOR = {part: number for number, floor in enumerate(FLOORS) for part in floor}

# Library -> the only folder that may import it.
WALLS = {
    "pydantic_monty": "programs/sandbox",
    "wandb": "tracking",
    "wandb_workspaces": "tracking",
    "xllamacpp": "language",
}

JAX = {"jax", "jaxlib", "flax", "optax"}


def file_of(module: str) -> Path | None:
    """The file of a module of the package, None if there is no such module."""
    place = ROOT.joinpath(*module.split(".")[1:])
    if place.is_dir():
        return place / "__init__.py"
    return place.with_suffix(".py") if place.with_suffix(".py").is_file() else None


def modules() -> list[str]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join([NAME, *(part for part in parts if part != "__init__")]))
    return found


def named(node: ast.AST) -> Iterator[str]:
    """What an import statement names: modules, or names in them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            yield f"{node.module}.{alias.name}"


def as_module(name: str) -> str:
    """The module that an import of `name` runs: `name`, or the module that holds it."""
    if name.split(".")[0] != NAME or file_of(name):
        return name
    return name.rpartition(".")[0]


@cache
def imports(module: str, when_loaded: bool = False) -> frozenset[str]:
    """All that a module imports; or only what it imports while it is loaded itself."""
    path = file_of(module)
    assert path is not None
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        found.update(as_module(name) for name in named(node))
        if when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if when_loaded and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
    return frozenset(found)


def loaded_with(module: str) -> set[str]:
    """All modules that are loaded when `module` is, packages around them included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.split(".")[0] == NAME:
            waiting += imports(name, when_loaded=True)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def test_modules_import_no_module_in_a_cycle() -> None:
    graph = {module: imports(module) - {module} for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_packages_import_from_the_floors_below() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in modules()
        for other in sorted(imports(module))
        if module != NAME and other.startswith(f"{NAME}.") and not may_import(module, other)
    ]
    assert not wrong, "\n".join(wrong)


def may_import(module: str, other: str) -> bool:
    own, part = module.split(".")[1], other.split(".")[1]
    return part == own or FLOOR[part] < FLOOR[own]


@pytest.mark.parametrize(("library", "folder"), WALLS.items())
def test_some_libraries_are_known_in_one_place(library: str, folder: str) -> None:
    users = {module for module in modules() if any(name.split(".")[0] == library for name in imports(module))}
    place = f"{NAME}.{folder.replace('/', '.')}"
    assert users, f"nothing imports {library} any more: take it out of WALLS"
    assert not [module for module in users if not f"{module}.".startswith(f"{place}.")]


@pytest.mark.parametrize(
    "module", ["maestromotif.agent", "maestromotif.train.environment", "maestromotif.cli.main"]
)
def test_what_must_start_fast_loads_no_jax(module: str) -> None:
    assert not {name for name in loaded_with(module) if name.split(".")[0] in JAX}


def file_names(module: str) -> set[str]:
    """Names of artefacts' files in the code of a module, but for its docstrings and sentences."""
    path = file_of(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    names = [re.fullmatch(r"(?:.*/)?([\w-]+\.(?:npz|jsonl|json|msgpack|html))", str(text)) for text in texts]
    return {name[1] for name in names if name}


def test_a_file_of_an_artefact_is_named_in_one_module() -> None:
    # quality.json: of each skill by `annotate`, and of the stage `quality`; config.json: of the model hub.
    places: dict[str, list[str]] = {}
    for module in modules():
        for name in file_names(module) - {"quality.json", "config.json"}:
            places.setdefault(name, []).append(module)
    assert {"observations.npz", "preferences.npz", "card.json", "policy.msgpack", "curve.jsonl"} <= set(
        places
    )
    assert not {name: found for name, found in places.items() if len(found) > 1}
