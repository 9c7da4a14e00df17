"""Damaged variants of a file's bytes, as editors, other programs and half-written disks leave them."""

from collections.abc import Callable, Mapping

import numpy as np
from hypothesis import strategies as st

CHUNKS = (
    *(b"", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\x85", b"\t", b"\x1b"),
    *("\x85\u2028\u2029".encode(), "\N{COMBINING ACUTE ACCENT}\N{PILE OF POO}".encode()),
    *(
        b"---\n",
        b"...\n",
        b": ",
        b"- ",
        b"# ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"'",
        b'"',
        b"!!set ",
        b"!x ",
        b"&a ",
        b"*a",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b"yes", b"2026-13-45", b"9" * 5000, b'"\\ud83d"', b"[" * 3000),
    *(b"../../etc/passwd", b"${", b"<<: ", b"? ", b"\\", b"%"),
)


def mutations(content: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with one to three cuts, insertions, repetitions or other bytes."""
    size = len(content)

    def change(old: bytes, edit: tuple[str, int, int, bytes]) -> bytes:
        kind, start, length, chunk = edit
        start = min(start, len(old))
        stop = min(start + length, len(old))
        return {
            "insert": old[:start] + chunk + old[start:],
            "replace": old[:start] + chunk + old[stop:],
            "repeat": old[:stop] + old[start:stop] + old[stop:],
            "cut off": old[:start],
            "other bytes": old[:start] + bytes(byte ^ 0x55 for byte in old[start:stop]) + old[stop:],
        }[kind]

    edit = st.tuples(
        st.sampled_from(["insert", "replace", "repeat", "cut off", "other bytes"]),
        st.integers(0, size),
        st.integers(0, 40),
        st.sampled_from(CHUNKS),
    )

    def changed(edits: list[tuple[str, int, int, bytes]]) -> bytes:
        new = content
        for one in edits:
            new = change(new, one)
        return new

    return st.lists(edit, min_size=1, max_size=3).map(changed)


_ODD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "empty": lambda a: np.zeros(0, a.dtype),
    "a number": lambda a: np.zeros((), a.dtype),
    "shorter": lambda a: a[: len(a) // 2],
    "longer": lambda a: np.concatenate([a, a]) if len(a) else np.zeros(3, a.dtype),
    "another axis": lambda a: a[None],
    "NaN": lambda a: np.full(a.shape, np.nan),
    "text": lambda a: np.full(a.shape, "x\u2028"),
    "bytes": lambda a: np.full(a.shape, b"\xff"),
    "booleans": lambda a: np.ones(a.shape, bool),
    "negative": lambda a: np.full(a.shape, -3, np.int64),
    "large": lambda a: np.full(a.shape, 2**62, np.int64),
    "complex": lambda a: np.full(a.shape, 1j),
    "dates": lambda a: np.full(a.shape, np.datetime64("2026-11-29")),
}


def odd_arrays(made: Mapping[str, np.ndarray]) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """The arrays with one of them of another length, shape, type or range, or without one."""

    def changed(name: str, kind: str) -> dict[str, np.ndarray]:
        if kind == "missing":
            return {other: array for other, array in made.items() if other != name}
        array = np.asarray(made[name])
        return {**made, name: _ODD[kind](array) if array.ndim else array}

    return st.builds(changed, st.sampled_from(sorted(made)), st.sampled_from([*_ODD, "missing"]))
