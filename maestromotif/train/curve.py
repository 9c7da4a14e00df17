"""The learning curve: collects counts and figures, and closes windows to rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from maestromotif.train.counts import Counts, no_counts, total
from maestromotif.train.metrics import METRICS, NAMED, Window

Row = dict[str, int | float]


class Curve:
    """Collects the actors' counts and the learner's figures; `row` closes a window and returns plain JSON.

    `rows` are all rows so far, and `totals` the sums of their counts.

    over_processes: sums counts over all processes.
    """

    def __init__(self, skills: Sequence[str], over_processes: Callable[[Counts], Counts]) -> None:
        self._skills, self._over_processes = tuple(skills), over_processes
        self.rows: list[Row] = []
        self._counts, self.totals = no_counts(len(self._skills)), no_counts(len(self._skills))
        self._figures: list[Mapping[str, float]] = []

    def add(self, counts: Sequence[Counts], figures: Mapping[str, float]) -> None:
        """Add one update: the counts of all actors' rollouts, and the learner's figures."""
        self._counts = total([self._counts, *counts])
        self._figures.append(figures)

    def row(self, env_step: int) -> Row:
        window = Window(env_step, self._over_processes(self._counts), self._figures)
        self.totals = total([self.totals, window.counts])
        row: Row = {}
        for metric in METRICS:
            for name, part in self._parts(metric.name, window):
                value = metric.of(part)
                if value is not None:
                    row[name] = value if isinstance(value, int) else round(value, 6)
        self.rows.append(row)
        self._counts, self._figures = no_counts(len(self._skills)), []
        return row

    def snapshot(self) -> dict[str, Any]:
        """Call it only at the end of a window, when there are no open counts."""
        return {"rows": self.rows, "totals": self.totals}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.rows = list(snapshot["rows"])
        self.totals = {name: np.array(count) for name, count in snapshot["totals"].items()}

    def _parts(self, name: str, window: Window) -> Iterator[tuple[str, Window]]:
        """Name and window for each skill, and each event or change, in a metric's name."""
        skills = enumerate(self._skills) if "{skill}" in name else [(None, "")]
        whats: Iterable[tuple[int | None, str]] = [(None, "")]
        for field, names in NAMED.items():
            if f"{{{field}}}" in name:
                whats = enumerate(names)
        for (k, skill), (column, what) in product(skills, whats):
            filled = name.format(skill=skill, **dict.fromkeys(NAMED, what))
            yield filled, replace(window, skill=k, column=column)
