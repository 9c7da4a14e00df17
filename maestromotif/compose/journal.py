"""The journal of a search: one JSON line for each thing that happened, only ever appended.

Each line is one of the records below; `kind` says which. A line is written when its work is done, so a kill
loses at most the work that was going on. Half a line at the end is cut off before the journal goes on.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt, TypeAdapter, ValidationError

from maestromotif.compose.candidates import Game
from maestromotif.errors import UserError
from maestromotif.pipeline import locks
from maestromotif.pipeline.refused import in_words

log = logging.getLogger("maestromotif")

REPAIR = "restore the file, or remove this line and those after it, and the search goes on from there"
_FIRST = b'{"kind":"search"'  # how a journal begins
Operator = Literal["draft", "debug", "improve", "crossover"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Timed(_Record):
    seconds: float = Field(ge=0)  # since the search began; time between a kill and the next start is left out


class Began(_Record):
    """The first line: what the search depends on. A search with another identity does not resume it."""

    kind: Literal["search"] = "search"
    format: Literal[1] = 1
    identity: dict[str, JsonValue]


class Made(_Timed):
    """An operator made a candidate. Numbers count from 1; parents have smaller ones."""

    kind: Literal["candidate"] = "candidate"
    number: int
    operator: Operator
    parents: tuple[int, ...]
    seed: int
    source: str
    table: str | None
    problems: tuple[str, ...]
    calls: NonNegativeInt  # answers of a model that it took


class Played(_Timed):
    """A candidate played the episodes `first`, `first` + 1, ..."""

    kind: Literal["games"] = "games"
    candidate: int
    first: NonNegativeInt
    games: tuple[Game, ...]


class Failed(_Timed):
    """A candidate failed in a game, which refuses it. The games of that call count for nothing."""

    kind: Literal["failed"] = "failed"
    candidate: int
    problem: str


class Chose(_Timed):
    """A model was asked which of the candidates `options` to go on with."""

    kind: Literal["choice"] = "choice"
    options: tuple[int, ...]
    seed: int
    chosen: int
    calls: NonNegativeInt


class Stopped(_Timed):
    """The search stopped; with a larger budget it can go on."""

    kind: Literal["stop"] = "stop"
    why: str


Event = Made | Played | Failed | Chose | Stopped
_LINE: TypeAdapter[Began | Event] = TypeAdapter(Annotated[Began | Event, Field(discriminator="kind")])


class Journal:
    """The journal of a search that runs. A context manager; another process cannot open it meanwhile.

    records: those of the search so far, the first line left out. Raises UserError if the file is damaged,
    belongs to another search, is in use or cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: the journal cannot be written: {error.strerror}") from error
        try:
            self._lock()
            began, self.records = self._resumed()
            self.identity: dict[str, JsonValue] = json.loads(json.dumps(dict(identity)))
            if began is None:
                self.add(Began(identity=self.identity))
            else:
                self._check(began.identity)
        except BaseException:
            self.close()
            raise

    def add(self, record: Began | Event) -> None:
        """Write a record to the disk. Raises UserError if the disk is full."""
        line = memoryview(record.model_dump_json().encode() + b"\n")
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise in_words(error, self.path) or UserError(
                f"{self.path}: cannot be written: {error.strerror}"
            ) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            if reason := locks.lock(self._file.fileno()):
                log.warning(
                    "%s: cannot be locked, because the file system says: %s; do not start this search twice "
                    "at once",
                    *(self.path, reason.strerror),
                )
        except locks.HeldError as error:
            raise UserError(f"{self.path}: another process is writing this journal; wait for it") from error

    def _resumed(self) -> tuple[Began | None, list[Event]]:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        found: tuple[Began | None, list[Event]]
        if whole:
            found = read(self.path)
        elif _FIRST.startswith(content[: len(_FIRST)]):
            found = None, []
        else:
            raise _no_journal(self.path)  # so that no other file is cut off
        self._file.truncate(whole)
        return found

    def _check(self, there: Mapping[str, JsonValue]) -> None:
        here = self.identity
        differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        if differing:
            told = "; ".join(
                f"{name} is {_short(here.get(name))} here and {_short(there.get(name))} there"
                for name in differing
            )
            raise UserError(
                f"{self.path}:1: is the journal of another search: {told}; "
                "search as before, or name another journal"
            )


def read(path: Path) -> tuple[Began, list[Event]]:
    """A journal that is whole or is being written: its first line, and the records after it.

    Half a line at the end is left out. Raises UserError with the number of a line that is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise UserError(f"{path}: the journal cannot be read: {error.strerror}") from error
    if not lines or not lines[0].startswith(_FIRST):
        raise _no_journal(path)
    began, *events = _records(path, lines)
    assert isinstance(began, Began)
    return began, [one for one in events if not isinstance(one, Began)]


def _records(path: Path, lines: list[bytes]) -> Iterator[Began | Event]:
    for number, line in enumerate(lines, start=1):
        try:
            record = _LINE.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"{path}:{number}: is damaged: {f'{field}: ' if field else ''}{first['msg']}; {REPAIR}"
            ) from error
        if isinstance(record, Began) and number > 1:
            raise UserError(f"{path}:{number}: is damaged: only the first line begins a search; {REPAIR}")
        yield record


def _no_journal(path: Path) -> UserError:
    return UserError(
        f"{path}:1: is not the journal of a search, which begins with {_FIRST.decode()}; name another file"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
