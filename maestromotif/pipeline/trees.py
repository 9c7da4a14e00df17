"""Trees of arrays in msgpack files: policies, reward models, checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flax import serialization

from maestromotif.errors import UserError
from maestromotif.reading import read_bytes


def read_tree(path: Path, kind: str, *needed: str, remedy: str = "") -> dict[str, Any]:
    """The tree in a file. Raises UserError, naming the file, unless it is a map that has the `needed` keys.

    kind: what the file should be, such as "a policy". remedy: what to do otherwise, as the end of a sentence.
    """
    return parse_tree(read_bytes(path), path, kind, *needed, remedy=remedy)


def parse_tree(content: bytes, path: Path, kind: str, *needed: str, remedy: str = "") -> dict[str, Any]:
    """As `read_tree`, of the file's bytes."""
    with refusing(path, kind, remedy):
        tree = serialization.msgpack_restore(content)
        if not isinstance(tree, dict):
            raise TypeError(f"it holds {type(tree).__name__}, not a map")
        if missing := [name for name in needed if name not in tree]:
            raise KeyError(f"it lacks '{missing[0]}'")
    return dict(tree)


@contextmanager
def refusing(path: Path, kind: str, remedy: str = "") -> Iterator[None]:
    """Turns every error inside, which the content of a file causes, into a UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # flax, msgpack and NumPy raise many kinds on foreign bytes
        told = str(error) or repr(error)
        if isinstance(error, KeyError) and error.args:
            told = str(error.args[0])
            told = told if " " in told else f"it lacks '{told}'"
        said = " ".join(told.split())[:300]
        end = f"; {remedy}" if remedy else ""
        raise UserError(f"{path}: cannot be read as {kind}: {said}{end}") from error
