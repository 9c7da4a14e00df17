"""Finds the code that makes a stage's output: the modules that its module imports, without running them.

Counted: all imports, also those in functions; strings that name a module of the package, as in tables of
modules; all modules of a package that an f-string chooses from, as in f"package.{name}"; and the data files
(levels, templates) of each module's package. Not counted: imports for type checkers, and comments, docstrings
and layout, because the syntax tree is hashed.
"""

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "maestromotif"

# Modules, with their submodules, that run a stage but do not affect its output. The key holds the values of
# the settings already, and the version of the package changes without its code.
FRAME = (
    "maestromotif.errors",
    "maestromotif.machine",
    "maestromotif.config",
    "maestromotif.tracking",
    "maestromotif.pipeline",
    "maestromotif.train.watch",
)

_NO_DATA = (".pyc", ".so", ".md", ".typed")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


class _Scan(NamedTuple):
    """A Python file: the hash of its code ("" if it has none) and the names that it may import."""

    digest: str
    names: tuple[str, ...]


def code_of(module: str, root: Path | None = None) -> dict[str, str]:
    """File -> hash of the code behind a stage's module; paths are relative to the folder of the package.

    root: the folder that contains the package, such as another checkout; None: the imported package's.
    """
    package = module.partition(".")[0]
    roots = {name: root or _root(name) for name in (PACKAGE, package)}
    found: dict[str, str] = {}
    folders: set[Path] = set()
    open_, seen = [module], {module}
    while open_:
        name = open_.pop()
        path = _file(name, roots)
        if path is None or any(name == frame or name.startswith(f"{frame}.") for frame in FRAME):
            continue
        scan = _scanned(path, name if path.name == "__init__.py" else name.rpartition(".")[0])
        if scan.digest and name != PACKAGE:
            found[_relative(path, roots)] = scan.digest
        folders.add(path.parent)
        parents = [name[:place] for place, letter in enumerate(name) if letter == "."]
        for other in (*_expanded(scan.names, roots), *parents):
            if other not in seen:
                seen.add(other)
                open_.append(other)
    for path in sorted(file for folder in folders for file in _data(folder)):
        found[_relative(path, roots)] = _hashed(path, *_stamp(path))
    return dict(sorted(found.items()))


def changed(made: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files that differ between two versions of the code."""
    return sorted(file for file in made.keys() | now.keys() if made.get(file) != now.get(file))


def mixed(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """The code of work that started with one version and finished with another; it equals neither."""
    both = {}
    for file in sorted(before.keys() | now.keys()):
        first, then = before.get(file, "none"), now.get(file, "none")
        both[file] = first if first == then or first.endswith(f" then {then}") else f"{first} then {then}"
    return both


def _root(package: str) -> Path:
    """The folder that contains a package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {package!r}", name=package)
    return Path(spec.origin).parents[1]


def _file(name: str, roots: dict[str, Path]) -> Path | None:
    """The file of a module; None if the packages have no module of this name."""
    root = roots.get(name.partition(".")[0])
    if root is None:
        return None
    path = root.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _expanded(names: Iterable[str], roots: dict[str, Path]) -> Iterator[str]:
    """The names, with all modules of a package in place of "package.*"."""
    for name in names:
        package = name.removesuffix(".*")
        root = roots.get(package.partition(".")[0])
        if package == name:
            yield name
        elif root is not None:
            yield from (f"{package}.{file.stem}" for file in root.joinpath(*package.split(".")).glob("*.py"))


def _relative(path: Path, roots: dict[str, Path]) -> str:
    root = next(root for root in roots.values() if path.is_relative_to(root))
    return path.relative_to(root).as_posix()


def _data(folder: Path) -> Iterator[Path]:
    """Data files of a package, also in its subfolders that are not packages."""
    for path in folder.iterdir():
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists() and not any(path.glob("*.py")):
                yield from _data(path)
        elif path.suffix not in (".py", *_NO_DATA):
            yield path


def _scanned(path: Path, package: str) -> _Scan:
    return _scan(path, package, *_stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@cache
def _hashed(path: Path, mtime: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@cache
def _scan(path: Path, package: str, mtime: int, size: int) -> _Scan:
    """Scans a Python file; `package` is the base of its relative imports."""
    tree = ast.parse(path.read_bytes(), str(path))
    parts: list[str] = []
    names: list[str] = []
    _walk(tree, package, parts, names)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16] if _does_something(tree) else ""
    return _Scan(digest, tuple(dict.fromkeys(names)))


def _does_something(tree: ast.Module) -> bool:
    return any(not _is_docstring(statement) for statement in tree.body)


def _walk(node: ast.AST, package: str, parts: list[str], names: list[str]) -> None:
    """Adds the node's content to `parts` and the names that it may import to `names`.

    Leaves out empty fields, so that the same source gives the same hash in all versions of Python.
    """
    parts.append(type(node).__name__)
    if isinstance(node, ast.Import):
        names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
        names.append(node.value)
    elif isinstance(node, ast.JoinedStr) and (package_of := _chosen_from(node)):
        names.append(f"{package_of}.*")
    for field in node._fields:
        value = getattr(node, field, None)
        if value is None or value == []:
            continue
        parts.append(field)
        items = value if isinstance(value, list) else [value]
        for place, item in enumerate(items):
            if not isinstance(item, ast.AST):
                parts.append(repr(item))
            elif not (field == "body" and place == 0 and _is_docstring(item)):
                checks_types = (
                    isinstance(node, ast.If) and field == "body" and "TYPE_CHECKING" in ast.dump(node.test)
                )
                _walk(item, package, parts, [] if checks_types else names)


def _chosen_from(node: ast.JoinedStr) -> str | None:
    """The package of f"package.{name}"; None for other strings."""
    match node.values:
        case [ast.Constant(value=str(start)), ast.FormattedValue()] if _DOTTED.fullmatch(start[:-1]):
            return start.removesuffix(".") if start.endswith(".") else None
    return None


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
