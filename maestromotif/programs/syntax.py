"""The syntax trees of programs. All of the package reads a program's source here."""

import ast
import warnings
from functools import lru_cache

_SHORT = 20_000  # characters of a source whose tree is kept


def parse(source: str) -> ast.Module:
    """The tree of a source, which the caller does not change. It prints no warnings of odd escapes in texts.

    Raises SyntaxError, ValueError, RecursionError or MemoryError if the source is not Python.
    """
    return _remembered(source) if len(source) <= _SHORT else _parse(source)


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


_remembered = lru_cache(maxsize=32)(_parse)  # a check reads each program several times
