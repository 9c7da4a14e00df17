"""What a stage logs with while it runs: a `Tracker`.

A stage that resumes may log the same things again; each is kept once. Nothing that goes wrong in a tracker
stops a stage.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Tracker(Protocol):
    """Of one stage. `step` counts in the stage's own unit, from the start of the stage, kills included.

    Rows, tables and pages of one name come in the order of their steps; one that is not newer than the last
    of its name is left out, because a process that was killed has logged it. The name of a row is the first
    folder of its first figure.
    """

    def row(self, step: int, figures: Mapping[str, int | float]) -> None:
        """Figures at a step. Values that are not finite are left out."""

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table with rows of numbers and texts."""

    def page(self, step: int, name: str, html: str, caption: str) -> None:
        """A whole HTML page."""

    def artefact(
        self,
        name: str,
        kind: str,
        path: Path,
        aliases: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """A version of a file or folder, which must stay for some minutes. facts: what is known of it."""


class Silent:
    """Logs nothing."""

    def row(self, step: int, figures: Mapping[str, int | float]) -> None:
        pass

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        pass

    def page(self, step: int, name: str, html: str, caption: str) -> None:
        pass

    def artefact(
        self,
        name: str,
        kind: str,
        path: Path,
        aliases: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        pass


SILENT: Tracker = Silent()
