"""Progress of a long loop: a bar on a terminal, a log line every 30 seconds elsewhere.

    with Progress("annotate descender", total=96, unit="captions", done=32) as progress:
        for batch in batches:
            ...
            progress.advance(len(batch))

`done` counts items that an earlier, killed process finished; they count for the total but not for the rate.
Messages go to the logger "maestromotif", which only the command line configures. A tracker gets the progress
as rows (`logged.PROGRESS`), under the label's first word.
"""

import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_ROWS = 5.0  # of a tracker; the first one comes after a second


def duration(seconds: float) -> str:
    """A short text for a number of seconds: '8 s', '3 min 05 s', '2 h 07 min'."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Progress of one loop over `total` items called `unit`. Use it as a context manager."""

    def __init__(
        self,
        label: str,
        total: int,
        unit: str = "steps",
        done: int = 0,
        seconds_between_lines: float = SECONDS_BETWEEN_LINES,
        tracker: Tracker = SILENT,
    ) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = done
        self._done_before = done
        self._seconds_between_lines = seconds_between_lines
        self._note = ""
        self._tracker = tracker
        self._figures: dict[str, int | float] = {}

    def __enter__(self) -> "Progress":
        self._started = self._line_at = time.monotonic()
        self._row_at = self._started + 1 - SECONDS_BETWEEN_ROWS
        # disable=None: no bar, not even one character, when stderr is not a terminal
        self._bar = tqdm(
            desc=self.label,
            total=self.total,
            initial=self.done,
            unit=f" {self.unit}",
            disable=None,
            file=sys.stderr,
        )
        self._track()  # at once, so that one sees that it has begun
        return self

    def advance(
        self, count: int = 1, note: str = "", figures: Mapping[str, int | float] | None = None
    ) -> None:
        """Counts `count` more items as done; shows `note`, such as a loss, until the next one.

        figures: for the tracker, with the next row.
        """
        self.done += count
        self._note = note or self._note
        self._figures.update(figures or {})
        if time.monotonic() - self._row_at >= SECONDS_BETWEEN_ROWS:
            self._row_at = time.monotonic()
            self._track()
        if not self._bar.disable:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._line_at >= self._seconds_between_lines:
            self._line_at = time.monotonic()
            log.info("%s", self._line())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if kind is None:
            self._track()
        if self._bar.disable and kind is None:
            log.info("%s in %s", self._line(), duration(time.monotonic() - self._started))

    def _line(self) -> str:
        """For example "annotate descender: 48/96 captions, 1.9/s, 25 s left, loss 0.31"."""
        parts = [f"{self.label}: {self.done:,}/{self.total:,} {self.unit}"]
        rate = self._rate()
        if rate > 0:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            if self.done < self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self._note:
            parts.append(self._note)
        return ", ".join(parts)

    def _rate(self) -> float:
        """Items a second of this process."""
        return (self.done - self._done_before) / max(time.monotonic() - self._started, 1e-9)

    def _track(self) -> None:
        stage, rate = self.label.partition(" ")[0].rstrip(":"), self._rate()
        figures = {f"{stage}/done": self.done, f"{stage}/per_second": rate}
        if rate > 0:
            figures[f"{stage}/seconds_left"] = (self.total - self.done) / rate
        self._tracker.row(self.done, figures | self._figures)
