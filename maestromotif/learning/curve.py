"""The learning curve: what the rollouts since the last row amount to, by skill."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maestromotif.nethack.game import End

_EPISODES = 200  # the last ones, over which depth is averaged

Row = dict[str, int | float]


class Curve:
    """Collects what `Actor.rollout` says happened; `row` closes a window and returns plain JSON."""

    def __init__(self, skills: Sequence[str]) -> None:
        self._skills = tuple(skills)
        self.rows: list[Row] = []
        self._deepest: list[int] = []
        self._clear()

    def add(self, happened: dict[str, np.ndarray], figures: dict[str, float]) -> None:
        for k in range(len(self._skills)):
            acting = happened["skill"] == k
            self._steps[k] += int(acting.sum())
            self._reward[k] += float(happened["reward"][acting].sum(dtype=np.float64))
            self._calls[k] += int((happened["switched"] & acting).sum())
        over = happened["ended"] != End.NOT
        self._deepest = (self._deepest + happened["deepest"][over].tolist())[-_EPISODES:]
        self._ended += int(over.sum())
        self._died += int((happened["ended"] == End.DEATH).sum())
        self._figures.append(figures)

    def row(self, env_step: int) -> Row:
        total = max(sum(self._steps), 1)
        row: Row = {"env_step": env_step, "episodes": self._ended, "deaths": self._died}
        for k, name in enumerate(self._skills):
            calls, steps = self._calls[k], self._steps[k]
            row[f"skill/{name}/reward_per_call"] = self._reward[k] / max(calls, 1)
            row[f"skill/{name}/reward_per_1k_steps"] = 1000 * self._reward[k] / max(steps, 1)
            row[f"skill/{name}/time_share"] = steps / total
            row[f"skill/{name}/mean_duration"] = steps / max(calls, 1)
        if self._deepest:
            row["depth/deepest_mean"] = float(np.mean(self._deepest))
            row["depth/at_least_2"] = float(np.mean(np.array(self._deepest) >= 2))
        for name in self._figures[0]:
            row[f"loss/{name}"] = float(np.mean([figures[name] for figures in self._figures]))
        row = {name: round(value, 6) for name, value in row.items()}
        self.rows.append(row)
        self._clear()
        return row

    def _clear(self) -> None:
        count = len(self._skills)
        self._steps, self._calls, self._reward = [0] * count, [0] * count, [0.0] * count
        self._ended = self._died = 0
        self._figures: list[dict[str, float]] = []

    def snapshot(self) -> dict[str, Any]:
        """Only at the end of a window, where nothing else is open."""
        return {"rows": self.rows, "deepest": self._deepest}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.rows, self._deepest = list(snapshot["rows"]), list(snapshot["deepest"])
