"""When a task is achieved: follows its conditions through N episodes at once.

The language of the conditions is that of `parse.py`. Without conditions a task is never achieved.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from maestromotif.nethack.events import EVENTS
from maestromotif.tasks.expressions import Step, since
from maestromotif.tasks.parse import parse_all, parse_number


class Success:
    """How far N games have come with the conditions, which must be met one after the other.

    conditions: texts; of an empty list nothing is ever achieved. measure: the text of a number that is read
    at the end of an episode. where: for errors, the file and key of the texts. Raises UserError.
    """

    def __init__(
        self, conditions: Sequence[str], games: int, measure: str | None = None, where: str = "success"
    ) -> None:
        self._total: Int[np.ndarray, "N events"] = np.zeros((games, len(EVENTS)), np.int64)
        formula = parse_all(conditions, where)
        self._automaton = None if formula is None else formula.automaton(self._total)
        self._measure = None if measure is None else parse_number(measure, f"{where}, measure")
        self._achieved, self._failed = np.zeros(games, bool), np.zeros(games, bool)
        self._start = since(self._total)

    @property
    def achieved(self) -> Bool[np.ndarray, " N"]:
        """Where all conditions have been met."""
        return self._achieved.copy()

    @property
    def failed(self) -> Bool[np.ndarray, " N"]:
        """Where they can no longer be met, because something happened that must not."""
        return self._failed.copy()

    def begin(self, where: Bool[np.ndarray, " N"], state: Mapping[str, np.ndarray]) -> None:
        """Episodes begin in these games, with this GameState: arrays [N]."""
        self._total[where] = 0
        self._achieved[where] = self._failed[where] = False
        self._start.begin(where, state)
        if self._automaton is not None:
            self._automaton.begin(where, state)

    def update(self, step: Step, active: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Take in a step of the active games. True where it was the one that achieved the task."""
        self._total[active] += step.events[active]
        if self._automaton is None:
            return np.zeros_like(active)
        met, lost = self._automaton.update(step, active & ~self._achieved & ~self._failed)
        self._achieved |= met
        self._failed |= lost
        return met

    def progress(self) -> Float[np.ndarray, " N"]:
        """Share of the conditions that has been achieved, in [0, 1]; 1 only where all were."""
        if self._automaton is None:
            return np.zeros(len(self._achieved))
        return np.where(self._achieved, 1.0, np.minimum(self._automaton.progress(), 1 - 1e-6))

    def measured(self, step: Step) -> Int[np.ndarray, " N"]:
        """The number that the task measures, after this step; 0 if it measures none."""
        if self._measure is None:
            return np.zeros(len(self._achieved), np.int64)
        value = self._measure.value(step, self._start)
        return np.broadcast_to(np.asarray(value, np.int64), len(self._achieved))
