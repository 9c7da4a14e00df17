r"""The journal of a run: everything that it logged, in order, as JSON lines that are only ever appended.

    runs/<name>/tracking/journal.jsonl      one record a line
    runs/<name>/tracking/pages/             the newest HTML pages that records name
    runs/<name>/tracking/journal-<n>.jsonl  earlier journals, of trainings that newer settings have replaced
    runs/<name>/tracking/run.json           the id of the run

A record has `n` (its number, from 0), `time` (seconds since 1970), `stage`, `attempt` (the same for a stage
that resumes, another one for a stage that is made again), `step`, `kind` and what that kind needs:

    row       figures {name: number}
    table     name, columns, rows
    page      name, file (below tracking/), caption
    artefact  name, type, file (a path), aliases, facts
"""

import contextlib
import json
import logging
import math
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("maestromotif")

FOLDER = "tracking"
JOURNAL = "journal.jsonl"
PAGES = "pages"
RUN = "run.json"
KEPT_PAGES = 20  # newest pages of each name; a replay has 0.3 MB, and wandb has its own copies

# A training that begins again, with other settings, begins another journal: its learning curve must not be
# drawn over the old one. What comes before training is kept, because the new training uses it.
NEW_JOURNAL = "train"
AFTER_TRAINING = ("train", "evaluate", "report")

Record = dict[str, Any]


class Journal:
    """The journal in the folder of a run. The run's lock keeps other processes out.

    A line that a kill or a full disk has cut short is removed; damaged lines are left out with a warning.
    """

    def __init__(self, run_folder: Path) -> None:
        self.folder = run_folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / JOURNAL
        self.identity, self.generation = self._known()
        self._open()

    @property
    def run_id(self) -> str:
        """Unique to the run's folder and to the training in this journal."""
        return self.identity if self.generation == 1 else f"{self.identity}-{self.generation}"

    def begin(self, stage: str, attempt: str) -> bool:
        """Call it when a stage begins or resumes. Returns whether another journal has begun."""
        if stage != NEW_JOURNAL or attempt == self._attempt_of.get(stage, attempt):
            return False
        self._file.close()
        kept = [record for record in read(self._path) if record["stage"] not in AFTER_TRAINING]
        lines = [json.dumps(record | {"n": number}) + "\n" for number, record in enumerate(kept)]
        earlier = self._path.with_stem(f"{self._path.stem}-{self.generation}")
        # What needs room comes first: after an error the old journal goes on.
        try:
            earlier.unlink(missing_ok=True)
            earlier.hardlink_to(self._path)
        except OSError:  # a file system without hard links
            shutil.copyfile(self._path, earlier)
        self.generation += 1
        self._write_identity()
        _replace(self._path, "".join(lines))
        self._open()
        return True

    def add(
        self, stage: str, attempt: str, step: int, kind: str, name: str, content: Mapping[str, Any]
    ) -> Record | None:
        """Append a record, unless the attempt has logged `name` at this step or later. Raises OSError.

        content: what the kind needs. Returns the record; None if it was there.
        """
        if step <= self._last.get((attempt, kind, name), -1):
            return None
        record = {
            "n": self._next,
            "time": round(time.time(), 3),
            "stage": stage,
            "attempt": attempt,
            "step": step,
            "kind": kind,
            **content,
        }
        self._file.write(json.dumps(record, default=_plain) + "\n")
        self._file.flush()
        self._note(record, name)
        return record

    def records(self) -> list[Record]:
        """All records of this journal."""
        return list(read(self._path))

    def write_page(self, attempt: str, name: str, step: int, html: str) -> str:
        """Write a page; returns its path below the folder. Removes all but the newest pages of its name."""
        pages, of_name = self.folder / PAGES, f"{attempt}-{name.replace('/', '-')}"
        pages.mkdir(exist_ok=True)
        (pages / f"{of_name}-{step}.html").write_text(html, encoding="utf-8")
        steps = sorted(int(path.stem.rpartition("-")[2]) for path in pages.glob(f"{of_name}-*.html"))
        for old in steps[:-KEPT_PAGES]:
            (pages / f"{of_name}-{old}.html").unlink(missing_ok=True)
        return f"{PAGES}/{of_name}-{step}.html"

    def close(self) -> None:
        self._file.close()

    def _known(self) -> tuple[str, int]:
        try:
            known = json.loads((self.folder / RUN).read_text())
            return str(known["id"]), int(known["generation"])
        except (OSError, ValueError, KeyError, TypeError):
            self.identity, self.generation = secrets.token_hex(4), 1
            self._write_identity()
            return self.identity, self.generation

    def _write_identity(self) -> None:
        known = {"id": self.identity, "generation": self.generation}
        _replace(self.folder / RUN, json.dumps(known) + "\n")

    def _open(self) -> None:
        _cut(self._path)
        self._last: dict[tuple[str, str, str], int] = {}
        self._attempt_of: dict[str, str] = {}
        self._next = 0
        for record in read(self._path):
            self._note(record, name_of(record))
        self._file = self._path.open("a", encoding="utf-8")

    def _note(self, record: Record, name: str) -> None:
        self._last[record["attempt"], record["kind"], name] = record["step"]
        self._attempt_of[record["stage"]] = record["attempt"]
        self._next = record["n"] + 1


def name_of(record: Mapping[str, Any]) -> str:
    """The name under which a record is kept once; a version of an artefact is named by its aliases too."""
    if record["kind"] == "row":
        return row_name(record["figures"])
    return ":".join((record["name"], *record.get("aliases", ())))


def row_name(figures: Mapping[str, int | float]) -> str:
    return next(iter(figures), "").partition("/")[0]


def finite(figures: Mapping[str, int | float]) -> dict[str, int | float]:
    """Only the figures that are finite numbers; NumPy's become Python's."""
    plain = {name: _plain(value) if hasattr(value, "tolist") else value for name, value in figures.items()}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def read(path: Path) -> Iterator[Record]:
    """The records of a journal that is whole or is being written. A missing file has none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for number, line in enumerate(lines[:-1], start=1):  # after the last line end: nothing, or half a line
        try:
            record = json.loads(line)
            if not isinstance(record["n"], int) or not isinstance(record["stage"], str):
                raise TypeError
            name_of(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            log.warning("%s:%d: is damaged and left out", path, number)
            continue
        yield record


def _replace(path: Path, text: str) -> None:
    """Write a whole file or leave the old one. Raises OSError."""
    new = path.with_name(f".tmp-{path.name}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _cut(path: Path) -> None:
    """Remove half a line at the end of a file."""
    if path.exists():
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)


def _plain(value: Any) -> Any:
    """NumPy's and JAX's arrays and scalars as JSON types."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
