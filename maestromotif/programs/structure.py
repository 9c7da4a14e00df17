"""Reads a program's source: whether it is Python, can be checked at all, and has what the sandbox lacks.

Only this part of the check runs in this process. What it refuses keeps it short: long sources, and code that
is nested deeply.
"""

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from maestromotif.programs import language, syntax
from maestromotif.programs.problems import Problem

_DEPTH = 180  # of the syntax tree; a chain of 150 `elif`, or a sum of 150 terms, is less
_BRACES = 5_000
_NODES = 25_000  # of the syntax tree; the largest program that came with the repository has 1,000
_BLOCKS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try),
    *(ast.Lambda, ast.Match, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.List, ast.Tuple, ast.Set, ast.Dict),
)
_DEEP = f"nested too deeply; blocks and brackets may be {language.NESTING} deep, and long sums {_DEPTH} terms"


@dataclass(frozen=True)
class Read:
    """A source as read. tree: None if there are problems that hide all others."""

    tree: ast.Module | None
    problems: list[Problem]


def read(source: str, path: str) -> Read:
    """The syntax tree of a source, and what the sandbox's Python lacks of it. path: for the problems."""
    refused = _unreadable(source, path)
    if refused is not None:
        return Read(None, [refused])
    try:
        tree = syntax.parse(source)
    except SyntaxError as error:
        return Read(None, [_not_python(source, path, error)])
    except (RecursionError, MemoryError):
        return Read(None, [Problem(path, None, None, "limit", _DEEP)])
    except ValueError as error:
        return Read(None, [Problem(path, None, None, "syntax", f"not Python: {error}")])
    too_much = _too_much(tree)
    if too_much is not None:
        line, text = too_much
        return Read(None, [Problem(path, line, None, "limit", text)])
    if all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body):
        return Read(None, [Problem(path, 1, None, "structure", "the file has no code")])
    return Read(tree, lacks(tree, path))


def lacks(tree: ast.Module, path: str) -> list[Problem]:
    """What of the tree the sandbox's Python lacks, by line."""
    bound, modules = set(_bound(tree)), _modules(tree)
    names = {name for name, of in bound if not of}
    attributes = {name for name, _ in bound}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            continue
        own = node.attr if isinstance(node, ast.Attribute) and node.attr in attributes else ""
        for place, text in language.lacks(node, modules):
            if own and (f"`.{own}`" in text or own.startswith("__")):
                continue  # of a class of the file
            line, column = getattr(place, "lineno", None), getattr(place, "col_offset", -1) + 1
            found[line, column, text] = Problem(path, line, column, "lacks", text)
    return [found[key] for key in sorted(found, key=lambda key: (key[0] or 0, key[1], key[2]))]


def classes(tree: ast.Module, name: str) -> list[ast.ClassDef]:
    """The classes of this name at the top level."""
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]


def functions(body: Iterable[ast.stmt], name: str) -> list[ast.FunctionDef]:
    """The functions of this name in a body."""
    return [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]


def _unreadable(source: str, path: str) -> Problem | None:
    """What makes a source no text for the parser."""
    if len(source) > language.MAX_SOURCE:
        text = f"{len(source)} characters; the limit for a program is {language.MAX_SOURCE}"
        return Problem(path, source.count("\n", 0, language.MAX_SOURCE) + 1, None, "limit", text)
    braces = [found.start() for found in itertools.islice(re.finditer("{", source), _BRACES + 1)]
    if len(braces) > _BRACES:  # Python's parser is slow at the fields of f-strings
        line = source.count("\n", 0, braces[-1]) + 1
        return Problem(path, line, None, "limit", f"more than {_BRACES} opening braces; write it shorter")
    zero = source.find("\0")
    if zero >= 0:
        line, column = source.count("\n", 0, zero) + 1, zero - source.rfind("\n", 0, zero)
        return Problem(path, line, column, "file", "a null byte; this is no text")
    return None


def _not_python(source: str, path: str, error: SyntaxError) -> Problem:
    for number, line in enumerate(source.split("\n"), 1):
        if line.startswith("```"):
            text = "not Python: '```' is Markdown; give only the Python between such lines"
            return Problem(path, number, None, "syntax", text)
    return Problem(path, error.lineno or None, error.offset or None, "syntax", f"not Python: {error.msg}")


def _too_much(tree: ast.Module) -> tuple[int, str] | None:
    """The first place that is nested too deeply, or at which there is too much, as a line and a message.

    An `elif` is no deeper than its `if`.
    """
    waiting: list[tuple[ast.AST, int, int]] = [(tree, 0, 0)]
    count = 0
    while waiting:
        node, depth, blocks = waiting.pop()
        count += 1
        if isinstance(node, ast.stmt | ast.expr):
            if depth > _DEPTH or blocks > language.NESTING:
                return node.lineno, _DEEP
            if count > _NODES:
                return node.lineno, f"more than {_NODES} names, values and operators; write it shorter"
        inner = blocks + isinstance(node, _BLOCKS)
        elif_ = node.orelse[0] if isinstance(node, ast.If) and len(node.orelse) == 1 else None
        for child in ast.iter_child_nodes(node):
            same = child is elif_ and isinstance(child, ast.If)
            waiting.append((child, depth + 1, blocks if same else inner))
    return None


def _bound(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Names that the file itself gives a value, and whether each is only an attribute of something."""
    methods = {id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, False
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr, True
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, id(node) in methods
        elif isinstance(node, ast.arg):
            yield node.arg, False
        elif isinstance(node, ast.alias):
            yield node.asname or node.name, False


def _modules(tree: ast.Module) -> dict[str, str]:
    """Name in the file -> the module of `MODULES`, or the member of one, that it is."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            of = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if (of.partition(".")[0] or alias.name) in language.MODULES:
                    found[alias.asname or alias.name] = of + alias.name
    return found
