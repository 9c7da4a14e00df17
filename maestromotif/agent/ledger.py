"""What each distinct observation was paid, by the skill that acted."""

from typing import Any

import numpy as np


class Ledger:
    """Sums by row (a distinct observation of `RewardFunction`) and skill, since its rows are counted.

    gained, lost   float64 [rows, K], at least 0: the sums of the rewards above 0, and of those below 0
    steps          int64 [rows, K]
    """

    def __init__(self, skills: int) -> None:
        self.gained, self.lost = np.zeros((1024, skills)), np.zeros((1024, skills))
        self.steps = np.zeros((1024, skills), np.int64)

    def add(self, row: np.ndarray, skill: np.ndarray, reward: np.ndarray) -> None:
        """Add steps: row int64, skill int32 and reward float32, all [...]; rows below 0 are left out."""
        known = row >= 0
        self._reserve(int(row.max(initial=0)) + 1)
        place = row[known], skill[known]
        paid = reward[known].astype(np.float64)
        np.add.at(self.gained, place, np.maximum(paid, 0))
        np.add.at(self.lost, place, np.maximum(-paid, 0))
        np.add.at(self.steps, place, 1)

    def snapshot(self) -> dict[str, Any]:
        """The rows and skills with steps, in types that msgpack writes."""
        row, skill = self.steps.nonzero()
        sums = {name: getattr(self, name)[row, skill] for name in ("gained", "lost", "steps")}
        return {"row": row, "skill": skill, **sums}

    def restore(self, snapshot: dict[str, Any]) -> None:
        row, skill = (np.array(snapshot[name]) for name in ("row", "skill"))
        self._reserve(int(row.max(initial=0)) + 1)
        for name in ("gained", "lost", "steps"):
            getattr(self, name)[row, skill] = snapshot[name]

    def _reserve(self, rows: int) -> None:
        while rows > len(self.steps):
            self.gained, self.lost, self.steps = (
                np.concatenate([sums, np.zeros_like(sums)]) for sums in (self.gained, self.lost, self.steps)
            )
