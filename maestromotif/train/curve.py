"""The learning curve: collects counts and figures, and closes windows to rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from maestromotif.skill import Skill
from maestromotif.train.counts import Counts, Named, no_counts, total
from maestromotif.train.metrics import METRICS, NAMED
from maestromotif.train.window import Figures, Window

Row = dict[str, int | float]
_Place = tuple[int | None, int | None]  # skill and column of a window


class Curve:
    """Collects the actors' counts and the learner's figures; `row` closes a window and returns plain JSON.

    `rows` are all rows so far, and `totals` the sums of their counts.

    over_processes: sums counts over all processes. actions: how many there are; those beyond have no figures.
    """

    def __init__(
        self, skills: Sequence[Skill], over_processes: Callable[[Counts], Counts], actions: int
    ) -> None:
        self._skills, self._over_processes = tuple(skills), over_processes
        self._lists = {
            name: Named.of([getattr(skill, name) for skill in skills])
            for name in ("wanted", "forbidden", "progress")
        }
        self._columns = NAMED | {"action": NAMED["action"][:actions]}
        self._places = [(metric, *place) for metric in METRICS for place in self._places_of(metric.name)]
        self.rows: list[Row] = []
        self._counts, self.totals = no_counts(len(self._skills)), no_counts(len(self._skills))
        self._figures: list[Figures] = []

    def add(self, counts: Sequence[Counts], figures: Figures) -> None:
        """Add one update: the counts of all actors' rollouts, and the learner's figures."""
        self._counts = total([self._counts, *counts])
        self._figures.append(figures)

    def row(self, env_step: int) -> Row:
        whole = Window(env_step, self._over_processes(self._counts), self._figures, self._lists)
        self.totals = total([self.totals, whole.counts])
        windows: dict[_Place, Window] = {}
        row: Row = {}
        for metric, name, place in self._places:
            if place not in windows:
                windows[place] = replace(whole, skill=place[0], column=place[1])
            value = metric.of(windows[place])
            if value is not None:
                row[name] = value if isinstance(value, int) else round(value, 6)
        self.rows.append(row)
        self._counts, self._figures = no_counts(len(self._skills)), []
        return row

    def snapshot(self) -> dict[str, Any]:
        """Call it only at the end of a window, when there are no open counts.

        A long run has thousands of rows of hundreds of figures, so they are one array [rows, figures], NaN
        where a row leaves a figure out; `integers` are the figures that are no floats.
        """
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        return {
            "names": names,
            "integers": [name for name in names if any(isinstance(row.get(name), int) for row in self.rows)],
            "values": np.array([[row.get(name, np.nan) for name in names] for row in self.rows], np.float64),
            "totals": self.totals,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        names, integers = snapshot["names"], set(snapshot["integers"])
        self.rows = [
            {
                name: int(value) if name in integers else value
                for name, value in zip(names, values, strict=True)
                if not np.isnan(value)
            }
            for values in np.array(snapshot["values"]).tolist()
        ]
        self.totals = {name: np.array(count) for name, count in snapshot["totals"].items()}

    def _places_of(self, name: str) -> Iterator[tuple[str, _Place]]:
        """Name and place for each skill, and each event or other field, in a metric's name."""
        skills = enumerate(one.name for one in self._skills) if "{skill}" in name else [(None, "")]
        field = next((field for field in NAMED if f"{{{field}}}" in name), None)
        whats = [(None, "")] if field is None else enumerate(self._columns[field])
        for (k, skill), (column, what) in product(skills, whats):
            yield name.format(skill=skill, **dict.fromkeys(NAMED, what)), (k, column)
