"""Recorded games as a source of observations: directories as `nle.dataset` reads them.

They hold terminal recordings, `*.ttyrec3.bz2` or `*.ttyrec2.bz2` of NLE (one frame per key) and
`*.ttyrec.bz2` of public servers (one frame per flush of the terminal), and files `*.xlogfile` that say how
the games ended. The files are read directly, without a database.

A recording is only what the screen showed, so it lacks much that a game played here has: what a symbol
stands for (a `@` may be anybody, a pet looks like a wild animal of its kind), the inventory, who is peaceful,
what is remembered and what is seen, and all changes except those of depth. A server's recording may also lack
depth and turn: the quest and the endgame do not show depth, and a player can switch the display of turns off.
NLE does not record the screen on which a game ends.

The message of a step is the one that our agents would see. Pages that end in `--More--` belong to the turn
that follows them, and so do questions that our agents never answer. Servers record no keys. There a screen
counts as a step if it does not change for a moment, because an action of many turns is drawn turn by turn.
"""

import bz2
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nle.dataset import Converter

from maestromotif.errors import UserError
from maestromotif.nethack.actions import AGENT_QUESTIONS, KEPT_PAGES
from maestromotif.nethack.observation import MESSAGE_BYTES
from maestromotif.reading import read_bytes

ROWS, COLUMNS = 24, 80
LACKS = (
    "glyphs (what a symbol stands for)",
    "the inventory",
    "who is peaceful",
    "changes other than depth",
    "events that no message reports",
    "the screen on which the game ended",
)
UNKNOWN = -1  # depth or turn that the screen did not show

_FRAMES = 512  # decoded at once
_NAME = re.compile(r"\.ttyrec([23]?)\.bz2$")
_STATUS = re.compile(rb"Dlvl:(\d+)|(?:Home \d+|Fort Ludios|End Game|Astral Plane) .*HP:")
_TURN = re.compile(rb" T:(\d+)")
_MENU = re.compile(rb"\((?:end|\d+ of \d+)\) ?$")
_MORE = b"--More--"
_REST = 10_000  # microseconds that a server's screen does not change when it is the player's turn
_LONG = 60  # a question continues in the second row only if it nearly fills the first
_LEFT = ("quit", "escaped", "ascended")


class BrokenError(Exception):
    """A recording that cannot be read; the message says why."""


@dataclass(frozen=True)
class TerminalRecording:
    """A recorded game, step by step. A step is a screen on which it was the player's turn."""

    messages: list[bytes]
    texts: list[bytes]  # all pages of the step
    depth: np.ndarray  # int16 [S]; UNKNOWN where the screen did not show it
    turn: np.ndarray  # int32 [S]; likewise
    question: np.ndarray  # bool [S]: the game asked something that the agent answers

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True)
class Ending:
    """How a game ended, according to its line in an xlogfile."""

    left: bool  # quit, escaped or ascended
    cause: str


def find(folder: Path) -> list[Path]:
    """All recordings below the folder, sorted by name. Symbolic links are followed.

    Of two paths that lead to the same folder or file, only the first counts, so a loop of links ends. Raises
    UserError if there is no recording, a folder cannot be read, or a link leads nowhere.
    """
    if not folder.is_dir():
        problem = "is not a directory" if folder.exists() else "does not exist"
        raise UserError(f"{folder}: {problem}; collect.recordings must name a directory of NLE recordings")
    found = sorted(_recordings(folder))
    if not found:
        raise UserError(
            f"{folder}: no recordings (*.ttyrec3.bz2, *.ttyrec2.bz2, *.ttyrec.bz2) in it or below it; "
            "set collect.recordings to a directory that NLE(savedir=..., save_ttyrec_every=1) has written"
        )
    return found


def _recordings(folder: Path) -> Iterator[Path]:
    """The recordings below a folder, each file once."""
    seen: set[tuple[int, int]] = set()
    _first(folder, seen)  # a link back to it is a loop

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # In order of name, so that the same path counts on every machine.
        folders[:] = [name for name in sorted(folders) if _first(Path(place, name), seen)]
        for path in (Path(place, name) for name in sorted(names) if _NAME.search(name)):
            if path.is_symlink() and not path.exists():
                raise UserError(
                    f"{path}: is a link to {path.readlink()}, which does not exist; restore that, or remove "
                    "the link"
                )
            if path.is_file() and _first(path, seen):
                yield path


def _first(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether the file or folder has not been seen yet, by this path or another."""
    status = path.stat()
    known = (status.st_dev, status.st_ino) in seen
    seen.add((status.st_dev, status.st_ino))
    return not known


def identity(folder: Path) -> str:
    """SHA-256 over the names and sizes of all recordings below the folder; reading all takes too long."""
    listed = [f"{path.relative_to(folder)} {path.stat().st_size}\n" for path in find(folder)]
    return hashlib.sha256(os.fsencode("".join(listed))).hexdigest()  # a name need not be text


def endings(folder: Path) -> dict[str, Ending]:
    """How the recorded games of one directory ended, by the name of the recording.

    Only NLE's xlogfiles name recordings. A game has a line only after it has ended.
    """
    found = {}
    for log in sorted(folder.glob("*.xlogfile")):
        for line in read_bytes(log).decode("latin-1").split("\n"):
            fields = dict(part.partition("=")[::2] for part in line.split("\t"))
            if "ttyrecname" in fields:
                cause = ", while ".join(fields[key] for key in ("death", "while") if key in fields)
                found[fields["ttyrecname"]] = Ending(cause.startswith(_LEFT), cause)
    return found


def ending(path: Path) -> Ending | None:
    """How a recorded game ended; None if no xlogfile beside it, or beside what it links to, says so."""
    own = endings(path.parent).get(path.name)
    real = path.resolve()
    return own if own is not None or real == path.absolute() else endings(real.parent).get(real.name)


def read(path: Path) -> TerminalRecording:
    """Reads a recording. Raises BrokenError if it is cut off or damaged, or does not show NetHack."""
    named = _NAME.search(path.name)
    version = int((named and named[1]) or 1)
    _check(path)
    reader = _Reader(per_key=version > 1)
    try:
        for chars, cursors, times in _frames(path, version):
            reader.feed(chars, cursors, times)
    except RuntimeError as error:
        raise BrokenError("its frames cannot be decoded") from error
    recording = reader.finish()
    if not len(recording):
        raise BrokenError("it has no step of NetHack")
    return recording


def _check(path: Path) -> None:
    """Check the compression in Python: on damaged data the converter only prints and goes on."""
    try:
        with bz2.open(path) as file:
            while file.read(1 << 20):
                pass
    except EOFError as error:
        raise BrokenError("it is cut off; was its game still running?") from error
    except OSError as error:
        raise BrokenError(f"it cannot be read: {error}") from error


def _frames(path: Path, version: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Screens uint8 [n, 24, 80], cursors (row, column) int16 [n, 2] and times in microseconds int64 [n].

    Yields some at a time, in buffers that it reuses.
    """
    converter = Converter(ROWS, COLUMNS, version)
    converter.load_ttyrec(str(path))
    chars = np.zeros((_FRAMES, ROWS, COLUMNS), np.uint8)
    colors, cursors = np.zeros(chars.shape, np.int8), np.zeros((_FRAMES, 2), np.int16)
    times, keys, scores = (np.zeros(_FRAMES, kind) for kind in (np.int64, np.uint8, np.int32))
    left = 0
    while not left:
        left = converter.convert(chars, colors, cursors, times, keys, scores)
        yield chars[: _FRAMES - left], cursors[: _FRAMES - left], times[: _FRAMES - left]


class _Reader:
    """Turns frames into steps."""

    def __init__(self, per_key: bool) -> None:
        self._per_key = per_key  # every frame answers a key; otherwise only those that last for _REST
        self._passing: tuple[bytes, bytes, int] | None = (
            None  # message, status, time: a step if it lasts for _REST
        )
        self._steps: list[tuple[bytes, bytes, int, int, bool]] = []
        self._pages: list[bytes] = []
        self._started = False  # the first screen comes before the first action
        self._depth = UNKNOWN

    def feed(self, chars: np.ndarray, cursors: np.ndarray, times: np.ndarray) -> None:
        rows = chars.reshape(len(chars), ROWS * COLUMNS)
        for screen, (row, column), time in zip(rows, cursors.tolist(), times.tolist(), strict=True):
            if self._passing is not None and time - self._passing[2] >= _REST:
                self._add(*self._passing[:2], False)
            self._passing = None
            shown = screen.tobytes()
            status = shown[22 * COLUMNS :]
            place = _STATUS.search(status)
            if place is None:
                continue  # a window over the whole screen, or no game at all
            top, before = shown[:COLUMNS].rstrip(), _before(shown, row, column)
            if before.endswith(_MORE):
                self._pages.append(_message(shown, row, column)[: -len(_MORE)].rstrip())
            elif row == 0 or (row == 1 and len(top) >= _LONG and before.endswith((b"?", b"]", b")"))):
                self._ask(_message(shown, row, column), status)
            elif row < 22 and not (_MENU.search(before) or top.startswith(b"  ")):
                if self._per_key:
                    self._add(top, status, False)
                else:
                    self._passing = (top, status, time)

    def finish(self) -> TerminalRecording:
        """All steps. Pages that no turn follows are the end of the game: they make the last step."""
        if self._passing is not None:
            self._add(*self._passing[:2], False)
        said = [page for page in self._pages if page]
        if said and self._started:
            final = next((page for page in said if b"You die" in page), said[-1])
            turn = self._steps[-1][3] if self._steps else UNKNOWN
            self._steps.append((final, b" ".join(said), self._depth, turn, False))
        columns = list(zip(*self._steps, strict=True)) or [()] * 5
        return TerminalRecording(
            [message[:MESSAGE_BYTES] for message in columns[0]],
            list(columns[1]),
            np.array(columns[2], np.int16),
            np.array(columns[3], np.int32),
            np.array(columns[4], bool),
        )

    def _ask(self, question: bytes, status: bytes) -> None:
        if question.startswith(b"Count:"):
            return  # a number is being typed
        if any(words in question for words in AGENT_QUESTIONS):
            self._add(question, status, True)
        elif question:
            self._pages.append(question)

    def _add(self, message: bytes, status: bytes, question: bool) -> None:
        kept = [page for page in self._pages if any(words in page for words in KEPT_PAGES)]
        text = b" ".join([*self._pages, message])
        self._pages = []
        place, turn = _STATUS.search(status), _TURN.search(status)
        self._depth = int(place[1]) if place is not None and place[1] else UNKNOWN
        if self._started:
            clock = int(turn[1]) if turn else UNKNOWN
            self._steps.append((kept[-1] if kept else message, text, self._depth, clock, question))
        self._started = True


def _before(shown: bytes, row: int, column: int) -> bytes:
    """The text in the cursor's row before the cursor."""
    return shown[row * COLUMNS : row * COLUMNS + column].rstrip()


def _message(shown: bytes, row: int, column: int) -> bytes:
    """The message that ends at the cursor; empty if it is a window, which begins further right."""
    lines = [shown[y * COLUMNS : (y + 1) * COLUMNS].rstrip() for y in range(row)]
    lines.append(_before(shown, row, column))
    if lines[0].startswith(b" ") or not all(lines):
        return b""
    return b" ".join(lines)
