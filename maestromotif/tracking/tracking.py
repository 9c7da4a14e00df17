"""The tracking of a run: opens the journal, lets wandb follow it, and gives each stage a tracker."""

import contextlib
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from maestromotif.config.schema import Config
from maestromotif.tracking.environment import MODE, wished_mode
from maestromotif.tracking.journal import Journal, Record, finite, row_name
from maestromotif.tracking.logged import PROGRESS, Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")


@runtime_checkable
class Follower(Protocol):
    """Sends the records of a journal somewhere else, in a thread of its own."""

    def know(self, stage: str, figures: Sequence[Logged]) -> None:
        """The figures that a stage logs."""

    def follow(self, record: Record) -> None: ...

    def finish(self, failed: bool) -> None: ...


class Tracking:
    """Of one run, in this process. A context manager that finishes the follower.

    config_file: as the user typed it; names the group of runs that differ only in their seed. Raises
    UserError if `tracking.wandb` is `online` or `offline` and wandb cannot start.
    """

    def __init__(self, config: Config, run_folder: Path, config_file: str) -> None:
        self._config, self._run_folder, self._config_file = config, run_folder, config_file
        self._lock = threading.Lock()  # a stage may log from several threads
        self._journal: Journal | None = None
        self._follower: Follower | None = None
        self._failed = False
        self._off = config.tracking.wandb == "disabled"

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._follower is not None:
                self._follower.finish(failed=kind is not None)
            if self._journal is not None:
                with contextlib.suppress(OSError):  # of a full disk, which has been said
                    self._journal.close()

    def stage(self, stage: str, attempt: str, figures: Sequence[Logged]) -> Tracker:
        """The tracker of a stage that begins or resumes.

        attempt: the same for a stage that resumes, another one for a stage that is made again. figures: all
        that it logs, besides `PROGRESS`.
        """
        try:
            if self._journal is None:
                self._journal = Journal(self._run_folder)
                if self._config.tracking.wandb == "auto" and wished_mode() == "disabled":
                    self._off = True
                    log.info("wandb: off, because the environment has %s=disabled", MODE)
            if self._journal.begin(stage, attempt) and self._follower is not None:
                self._follower.finish(failed=False)
                self._follower = None
        except OSError as error:
            self._give_up(error)
            return SILENT
        if self._follower is None and not self._off:
            from maestromotif.tracking import wandb  # here: it takes a second to import

            self._follower = wandb.follow(self._config, self._run_folder, self._config_file, self._journal)
        if self._follower is not None:
            self._follower.know(stage, (*figures, *PROGRESS))
        return _StageTracker(self, stage, attempt)

    def add(
        self, stage: str, attempt: str, step: int, kind: str, name: str, content: Mapping[str, Any]
    ) -> None:
        """Write a record, and pass it on if it is new."""
        with self._lock:
            if self._failed or self._journal is None:
                return
            try:
                if kind == "page":
                    place = self._journal.write_page(attempt, name, step, content["html"])
                    content = {"name": name, "file": place, "caption": content["caption"]}
                record = self._journal.add(stage, attempt, step, kind, name, content)
            except OSError as error:
                self._give_up(error)
                return
            except (ValueError, TypeError) as error:  # only this record cannot be written
                log.warning("tracking: %s of %s at step %d is not logged: %s", name, stage, step, error)
                return
            if record is not None and self._follower is not None:
                self._follower.follow(record)

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        log.warning("tracking: nothing more is logged, but the run goes on: %s", error)


class _StageTracker:
    """See `Tracker`."""

    def __init__(self, tracking: Tracking, stage: str, attempt: str) -> None:
        self._tracking, self._stage, self._attempt = tracking, stage, attempt

    def row(self, step: int, figures: Mapping[str, int | float]) -> None:
        known = finite(figures)
        if known:
            self._add(step, "row", row_name(known), {"figures": known})

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        cells = [[_cell(value) for value in row] for row in rows]
        content = {"name": name, "columns": list(columns), "rows": cells}
        self._add(step, "table", name, content)

    def page(self, step: int, name: str, html: str, caption: str) -> None:
        self._add(step, "page", name, {"html": html, "caption": caption})

    def artefact(
        self,
        name: str,
        kind: str,
        path: Path,
        aliases: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        content = {
            "name": name,
            "type": kind,
            "file": str(path),
            "aliases": list(aliases),
            "facts": dict(facts or {}),
        }
        self._add(step=0, kind="artefact", name=":".join((name, *aliases)), content=content)

    def _add(self, step: int, kind: str, name: str, content: Mapping[str, Any]) -> None:
        self._tracking.add(self._stage, self._attempt, int(step), kind, name, content)


def _cell(value: Any) -> Any:
    """What is not finite is null, because JSON has no other number for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
