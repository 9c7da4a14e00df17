"""A metric of training, and the window of steps that it is computed from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maestromotif.tracking.logged import Logged, Summary
from maestromotif.train.counts import ENDINGS, STEP_SUMS, Counts, Named

Figures = Mapping[str, float | np.ndarray]  # the learner's, of one update: numbers, and arrays [K] by skill

LEAST_EXPLAINED = -1.0  # of the variance; a worse value function is drawn there, so that others stay readable


@dataclass(frozen=True)
class Metric:
    """A figure of the curve.

    name: its key in a row, where {skill} stands for each skill's name, and a field of NAMED for each of its
        names.
    of: computes the value of a window; None leaves it out of the row.
    summary: which of a run's values stands for the run in a table of runs.
    """

    name: str
    title: str  # of a plot
    unit: str
    doc: str
    of: Callable[["Window"], float | None]
    summary: Summary = "last"

    @property
    def logged(self) -> Logged:
        return Logged(self.name, self.unit, self.doc, self.summary)


@dataclass(frozen=True)
class Window:
    """The steps since the last row, as a metric sees them: all, those of a skill, or one event of a skill."""

    env_step: int
    counts: Counts
    figures: Sequence[Figures]  # of the learner, one per update
    lists: Mapping[str, Named]  # the lists in the skills' heads, by name
    skill: int | None = None
    column: int | None = None  # of the event, or of another field in the metric's name

    def __getitem__(self, name: str) -> float:
        """A sum over the steps of this skill, or over episodes; of one column, if the window has one."""
        count = self.counts[name]
        if name in STEP_SUMS and self.skill is not None:
            count = count[self.skill]
        return float(count.sum() if self.column is None or count.ndim == 0 else count[self.column])

    def of_all_skills(self, name: str) -> float:
        return float(self.counts[name].sum())

    def rate(self, name: str) -> float:
        """Of the skill's steps: the sum divided by their number, 0 if there are none."""
        return self[name] / max(self["steps"], 1)

    def listed(self, name: str) -> float | None:
        """How often the events of a list in the skill's head happened in 1,000 of its steps."""
        events, changes = (one[self.skill] for one in self.lists[name])
        if not (events.any() or changes.any()):
            return None
        times = self.counts["events"][self.skill] @ events + self.counts["changes"][self.skill] @ changes
        return float(1000 * times / max(self["steps"], 1))

    def ended(self, ending: str) -> float:
        """Share of the skill's calls that ended in this way."""
        return float(self.counts["ended"][self.skill, ENDINGS.index(ending)]) / max(self["ended"], 1)

    def per_episode(self, name: str) -> float | None:
        return self[name] / self["episodes"] if self["episodes"] else None

    def mean(self, figure: str) -> float:
        """Mean of a figure of the learner over updates."""
        return float(np.mean([one[figure] for one in self.figures]))

    def mean_of_some(self, figure: str) -> float | None:
        """The mean over the updates that have the figure; None if none has."""
        values = [float(one[figure]) for one in self.figures if figure in one]
        return float(np.mean(values)) if values else None

    def sum(self, figure: str) -> float:
        """Sum of a figure of the learner over updates; of this skill, if it is one by skill."""
        return sum(float(np.asarray(one[figure])[self.skill]) for one in self.figures)

    def ratio(self, figure: str, to: str) -> float | None:
        """Of two sums of the learner's figures by skill; None if the second one is 0."""
        whole = self.sum(to)
        return self.sum(figure) / whole if whole > 0 else None

    def explained(self) -> float | None:
        """The share of the variance of this skill's returns that its values explain."""
        rest = self.ratio("error_square", "return_square")
        return None if rest is None else max(1 - rest, LEAST_EXPLAINED)

    def advantage_std(self) -> float | None:
        square = self.ratio("error_square", "target_steps")
        return None if square is None else square**0.5
