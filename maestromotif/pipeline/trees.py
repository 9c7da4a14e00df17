"""Trees of arrays in msgpack files: policies, reward models, checkpoints.

A file holds a digest of its tree, because a bit that a disk or a copy has changed in a weight is not seen
otherwise. Files of versions that wrote none are read without that check.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from maestromotif.errors import UserError
from maestromotif.reading import read_bytes

DIGEST = "sha256"  # beside the tree's own keys


def tree_bytes(tree: Mapping[str, Any]) -> bytes:
    """The content of a file that `read_tree` reads. tree: of types that msgpack writes, with string keys."""
    return bytes(serialization.msgpack_serialize({**tree, DIGEST: _digest(tree)}))


def _digest(tree: Any) -> str:
    """SHA-256 of names, types, shapes and values; not of the encoding, which is another library's affair."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            found.update(b"{%d" % len(value))
            for name in sorted(value):
                add(name)
                add(value[name])
        elif isinstance(value, list | tuple):
            found.update(b"[%d" % len(value))
            for part in value:
                add(part)
        elif isinstance(value, np.ndarray | np.generic | jax.Array):
            array = np.asarray(value)
            found.update(f"{array.dtype.name}{array.shape}".encode())
            found.update(array.tobytes())
        else:
            found.update(f"{value!r};".encode())

    add(tree)
    return found.hexdigest()


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
        digest = tree.pop(DIGEST, None)
        if digest is not None and digest != _digest(tree):
            raise ValueError("its content has changed since it was written, by a disk, a copy or a hand")
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
