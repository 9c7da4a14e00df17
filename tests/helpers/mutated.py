"""Damaged variants of a file's bytes, as editors, other programs and half-written disks leave them."""

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
