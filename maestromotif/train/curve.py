"""The learning curve: what the rollouts since the last row amount to, by skill."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maestromotif.nethack.events import EVENTS
from maestromotif.train.happened import EPISODE_COUNTS, Happened, nothing_happened, total

Row = dict[str, int | float]


class Curve:
    """Collects what actors say happened; `row` closes a window and returns plain JSON.

    together: sums what happened over all processes.
    """

    def __init__(self, skills: Sequence[str], together: Callable[[Happened], Happened]) -> None:
        self._skills, self._together = tuple(skills), together
        self.rows: list[Row] = []
        self._happened = nothing_happened(len(skills))
        self._figures: list[dict[str, float]] = []

    def add(self, happened: Happened) -> None:
        self._happened = total([self._happened, happened])

    def learnt(self, figures: dict[str, float]) -> None:
        """Means of one update's losses and their like."""
        self._figures.append(figures)

    def row(self, env_step: int) -> Row:
        happened = self._together(self._happened)
        counts = dict(zip(EPISODE_COUNTS, happened.episodes.tolist(), strict=True))
        row: Row = {
            "env_step": env_step,
            "episodes": int(counts["episodes"]),
            "deaths": int(counts["deaths"]),
        }
        all_steps = max(happened.steps.sum(), 1)
        for k, name in enumerate(self._skills):
            calls, steps = max(happened.calls[k], 1), happened.steps[k]
            row[f"skill/{name}/reward_per_call"] = happened.reward[k] / calls
            row[f"skill/{name}/reward_per_1k_steps"] = 1000 * happened.reward[k] / max(steps, 1)
            row[f"skill/{name}/time_share"] = steps / all_steps
            row[f"skill/{name}/mean_duration"] = steps / calls
            for event, times in zip(EVENTS, happened.events[k], strict=True):
                if times:
                    row[f"events/{name}/{event}_per_1k_steps"] = 1000 * times / steps
        if counts["episodes"]:
            row["depth/deepest_mean"] = counts["deepest"] / counts["episodes"]
            row["depth/at_least_2"] = counts["at_least_2"] / counts["episodes"]
        for name in self._figures[0]:
            row[f"loss/{name}"] = float(np.mean([figures[name] for figures in self._figures]))
        row = {name: one if isinstance(one, int) else round(float(one), 6) for name, one in row.items()}
        self.rows.append(row)
        self._happened, self._figures = nothing_happened(len(self._skills)), []
        return row

    def snapshot(self) -> dict[str, Any]:
        """Only at the end of a window, where nothing else is open."""
        return {"rows": self.rows}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.rows = list(snapshot["rows"])
