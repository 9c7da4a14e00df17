"""Files that people bring: the one way to read text, lines of JSON, JSON and YAML.

Text is UTF-8, with or without a byte order mark. Its lines end with LF, CRLF or CR; lines of JSON end with LF
or CRLF only, because all other line breaks may stand inside a JSON string. Whatever cannot be read is a
`UserError` that names the file, the line if there is one, what is wrong and what would be right.
"""

import codecs
import json
import os
import re
import select
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from maestromotif.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MIB = 1 << 20
WRITTEN = MIB  # most bytes of a text that somebody writes: a skill, a task, a config, a program

_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escape of half a surrogate pair
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_ODD_NUMBER = re.compile(r"^[-+]?0[0-9_]|:")  # base 8 and base 60 of YAML 1.1
_BLANK = " \t\r\n"  # JSON's white space
INTEGER = "iu"  # of `read_arrays`
_DEEPEST = 40  # levels of a YAML file
_MOST_NODES = 100_000  # of a YAML file, with all aliases written out
_KINDS = ("str", "int", "float", "bool", "null", "seq", "map", "merge")
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in _KINDS}
_PLAIN = "text, a number, true, false, null, a list or lines of 'key: value'"


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A file to read, or a pipe that somebody writes to. Never waits for a writer.

    Raises UserError if it cannot be read, or is neither of them.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}{_dangling(path)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a zero byte or half a surrogate pair in the path
        raise UserError(f"{str(path)!r}: is not the path of a file: {error}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{path}: cannot be read: Is a directory; a file is needed")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise UserError(f"{path}: cannot be read: Is a device; a file is needed")
        os.set_blocking(descriptor, True)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def is_utf8(text: str) -> bool:
    """Whether it can be saved; a byte of the command line that is not UTF-8 is half of a surrogate pair."""
    return _HALF_PAIR.search(text) is None


def check_characters(text: str, name: str) -> None:
    """Raises UserError if a text of the command line has bytes that are no UTF-8, so it cannot be saved."""
    if half := _HALF_PAIR.search(text):
        raise UserError(f"{name}: not UTF-8 text (byte 0x{ord(half[0]) & 0xFF:02X}); write it in UTF-8")


def is_there(path: Path) -> bool:
    """Whether there is anything at the path, also a link that leads nowhere."""
    return os.path.lexists(path)  # also of a name that is too long for a file


def read_bytes(path: Path, most: int | None = None, seconds: float | None = None) -> bytes:
    """The bytes of a file. Raises UserError if it cannot be read, or has more than `most` bytes.

    seconds: until a pipe is given up whose writer does not end.
    """
    parts, size = [], 0
    end = None if seconds is None else time.monotonic() + seconds
    with opened(path) as file:
        try:
            while part := _next_part(file, end):
                parts.append(part)
                size += len(part)
                if most is not None and size > most:
                    raise UserError(f"{path}: has more than {most // MIB} MiB; is it the right file?")
        except TimeoutError as error:
            told = f"{path}: cannot be read: Is a pipe whose writer did not end within {seconds:g} s"
            raise UserError(told) from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        if not size and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{path}: cannot be read: Is a pipe that nobody writes to")
    return b"".join(parts)


def _next_part(file: BufferedReader, end: float | None) -> bytes:
    """The next bytes. Raises TimeoutError if there are none by `end` on the clock."""
    if end is None:
        return file.read(16 * MIB)
    os.set_blocking(file.fileno(), False)
    while True:
        try:
            return os.read(file.fileno(), 16 * MIB)
        except BlockingIOError:  # there is a writer, and nothing to read yet
            if not select.select([file], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError from None


def read_arrays(
    path: Path, needed: Mapping[str, str], *, optional: Mapping[str, str] | None = None, remedy: str
) -> "dict[str, np.ndarray]":
    """Arrays of an .npz file: those `needed`, and those `optional` that it has.

    needed, optional: name -> kinds of numbers that the array may have, letters of `numpy.dtype.kind`. remedy:
    what to do about a damaged file, for the error. Raises UserError if the file cannot be read, lacks one of
    the needed, or has one of another kind.
    """
    import numpy as np  # here, so that `maestromotif --help` starts fast

    kinds = dict(needed) | (dict(optional) if optional else {})
    try:
        with opened(path) as stream, np.load(stream) as file:
            found = {name: file[name] for name in kinds if name in needed or name in file}
        for name, array in found.items():
            if array.dtype.kind not in kinds[name]:
                raise TypeError(f"'{name}' holds {array.dtype}")
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from error
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds on foreign bytes
        arrays = f"its arrays are {', '.join(needed)}"
        raise UserError(f"{path}: damaged: {error}; {arrays}; {remedy}") from error
    return found


def read_text(path: Path, most: int = WRITTEN, seconds: float | None = None) -> str:
    """A text file, with a line feed at the end of every line; see `read_bytes`. Raises UserError."""
    return decode(read_bytes(path, most, seconds), str(path)).replace("\r\n", "\n").replace("\r", "\n")


def decode(content: bytes, name: str) -> str:
    """UTF-8 text without its byte order mark, with its line breaks. Raises UserError that names the line."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise UserError(f"{name}:1: not UTF-8 text but {encoding}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line(error.object[: error.start].decode("utf-8"))
        byte = error.object[error.start]
        raise UserError(f"{name}:{line}: not UTF-8 text (byte 0x{byte:02X}); save it as UTF-8") from error
    if (zero := text.find("\0")) >= 0:
        raise UserError(f"{name}:{_line(text[:zero])}: not text: it has a zero byte; save it as UTF-8 text")
    return text


def read_json(path: Path, most: int | None = None) -> Any:
    """The value of a JSON file. Raises UserError."""
    return parse_json(decode(read_bytes(path, most), str(path)), str(path))


def json_lines(path: Path, most: int | None = None) -> Iterator[tuple[str, str]]:
    """(file:line, line) of each line of a file of JSON lines that is not blank. Raises UserError.

    The lines are not parsed yet: see `parse_json`.
    """
    text = decode(read_bytes(path, most), str(path))
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(_BLANK):
            yield f"{path}:{number}", line


def read_json_lines(path: Path, most: int | None = None) -> Iterator[tuple[str, Any]]:
    """(file:line, value) of each line of a file of JSON lines. Raises UserError."""
    for where, line in json_lines(path, most):
        yield where, parse_json(line, where)


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text. `where` names the text in errors.

    Raises UserError unless it is JSON as RFC 8259 has it: no NaN or infinity, no field twice in one object,
    no half of a surrogate pair.
    """
    try:
        value = _DECODER.decode(text)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""
        raise UserError(f"{where}: not JSON: {error.msg} ({line}column {error.colno})") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UserError(
            f"{where}: not JSON: \\u{ord(half):04x} is half of a surrogate pair, which is no character"
        ) from error
    except _RefusedError as error:
        raise UserError(f"{where}: {error}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise UserError(f"{where}: not JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{where}: not JSON: nested too deeply") from error
    return value


class _RefusedError(ValueError):
    """Something that Python's reader accepts and JSON does not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RefusedError(f"'{twice}' is given twice in one object; keep one of them")
    return values


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is not a number of JSON; write a finite number or null")


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _RefusedError(f"{text[:20]} is too large for a number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)


class _Loader(yaml.SafeLoader):
    """YAML without dates, which are text here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str, name: str, first: int | None = 1) -> yaml.Node | None:
    """The root of a YAML text; None if it holds nothing.

    name: of the text, in errors. first: the line where it begins; None: it is not part of a file.

    Raises UserError, with the line, unless it is one document of plain values: no tags such as `!!set`, no
    key twice in one mapping, no key that is a list or null, no number or list that cannot be read or that
    means something else than it looks, no half of a surrogate pair, and not so many aliases that the values
    would fill the memory.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        before, said = text[: _index(error)], _said(error)
        if "flow" in said and "${" in _last_line(before, text):
            said += "; between braces or brackets, put ${...} in quotes"
        raise UserError(f"{_place(name, first, before)}: is not valid YAML: {said}") from error
    except RecursionError as error:
        raise UserError(f"{name}: is not valid YAML: nested too deeply") from error
    if root is not None:
        _Checked(name, first).node(root, 0)
    return root


def yaml_value(node: yaml.Node) -> Any:
    """The value of a node of `parse_yaml`. Dates are text."""
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Checked:
    """Walks over a document, aliases written out. Raises UserError at the first mistake."""

    def __init__(self, name: str, first: int | None) -> None:
        self._name, self._first, self._nodes = name, first, 0
        self._loader = _Loader("")

    def node(self, node: yaml.Node, depth: int) -> None:
        self._nodes += 1
        if depth > _DEEPEST:
            raise self._wrong(node, f"nested more than {_DEEPEST} levels deep, or an alias of itself")
        if self._nodes > _MOST_NODES:
            raise self._wrong(node, f"more than {_MOST_NODES:,} values, with all aliases written out")
        if node.tag not in _TAGS:
            told = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._wrong(node, f"the tag {told} is not understood; write {_PLAIN}")
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, depth)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.node(item, depth + 1)
        else:
            self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> None:
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":null"):
                raise self._wrong(key, "a key must be text, as in 'key: value'")
            self.node(key, depth + 1)
            if key.value in lines:
                raise self._wrong(key, f"'{key.value}' is given twice, first on line {lines[key.value]}")
            lines[key.value] = self._line(key)
            self.node(value, depth + 1)
            if key.tag.endswith(":merge"):
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                if not all(isinstance(one, yaml.MappingNode) for one in merged):
                    raise self._wrong(value, "'<<' takes in lines of 'key: value', as in '<<: *name'")

    def _scalar(self, node: yaml.Node) -> None:
        if half := _HALF_PAIR.search(node.value):
            raise self._wrong(
                node, f"\\u{ord(half[0]):04x} is half of a surrogate pair, which is no character"
            )
        if node.tag.endswith((":merge", ":str")):
            return
        try:
            value = self._loader.construct_document(yaml.ScalarNode(node.tag, node.value))
            if isinstance(value, int):
                float(value)  # all that a number is used for
        except (ValueError, KeyError, TypeError, OverflowError, yaml.YAMLError):
            kind = node.tag.rpartition(":")[2]
            raise self._wrong(node, f"{node.value!r} cannot be read as {kind}; put text in quotes") from None
        if node.tag.endswith((":int", ":float")) and _ODD_NUMBER.search(node.value):
            raise self._wrong(
                node, f"{node.value!r} would be read as the number {value}; write that, or put text in quotes"
            )

    def _line(self, node: yaml.Node) -> int:
        return int((self._first or 1) + node.start_mark.line)

    def _wrong(self, node: yaml.Node, what: str) -> UserError:
        place = self._name if self._first is None else f"{self._name}:{self._line(node)}"
        return UserError(f"{place}: {what}")


def _index(error: yaml.YAMLError) -> int:
    """Of the character that an error is about."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return int(mark.index if mark is not None else getattr(error, "position", 0))


def _last_line(before: str, text: str) -> str:
    """The line of a text that `before`, its beginning, ends in."""
    return text[before.rfind("\n") + 1 :].partition("\n")[0]


def _place(name: str, first: int | None, before: str) -> str:
    """name:line. YAML counts more characters as line breaks than editors do, so its own lines may be off."""
    newlines = before.count("\n")
    return name if first is None else f"{name}:{first + newlines}"


def _said(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character U+{int(error.character):04X} is not allowed"
    return str(error)


def _line(before: str) -> int:
    """The number of the line, from 1, that follows a text."""
    return before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


def _dangling(path: Path) -> str:
    return f"; it is a link to {path.readlink()}, which does not exist" if path.is_symlink() else ""
