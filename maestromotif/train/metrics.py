"""What happened in rollouts, the learning curve made from it, and where the time of the actors went."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from maestromotif.nethack.events import EVENTS

CURVE = "curve.jsonl"  # the file that `train` writes, a line a row

# What is counted of the episodes that end, but for those that began in an arena: how many, by death, sum of
# their deepest levels, how many reached level 2 or deeper.
EPISODE_COUNTS = ("episodes", "deaths", "deepest", "at_least_2")


class Happened(NamedTuple):
    """What happened in rollouts, summed over steps and games."""

    steps: np.ndarray  # float64 [K], environment steps of each skill
    calls: np.ndarray  # float64 [K], how many calls of it ended
    reward: np.ndarray  # float64 [K]
    events: np.ndarray  # float64 [K, E], how often each event happened while the skill acted
    episodes: np.ndarray  # float64 [4], EPISODE_COUNTS

    def add(self, skill: np.ndarray, reward: np.ndarray, ended: np.ndarray, events: np.ndarray) -> None:
        """Count steps of play, but not the episodes.

        skill int32 [T, n]: which acted; reward float32 [T, n]; ended bool [T, n]: the skill's call was over
        after the step; events int16 [T, n, E].
        """
        acted = (skill.ravel() == np.arange(len(self.steps))[:, None]).astype(np.float64)
        self.steps[:] += acted.sum(1)
        self.calls[:] += acted @ ended.ravel()
        self.reward[:] += acted @ reward.ravel()
        self.events[:] += acted @ events.reshape(-1, events.shape[-1])


def nothing_happened(skills: int) -> Happened:
    steps, calls, reward = np.zeros((3, skills))
    return Happened(steps, calls, reward, np.zeros((skills, len(EVENTS))), np.zeros(len(EPISODE_COUNTS)))


def total(parts: Iterable[Happened]) -> Happened:
    """The sum of at least one."""
    return Happened(*(np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True)))


class Seconds:
    """Where an actor's time went, in seconds, and how many bytes it moved to and from the device."""

    def __init__(self) -> None:
        self.games = 0.0  # waiting for games
        self.policy = 0.0  # from what is seen to the actions
        self.program = 0.0  # the program over skills
        self.host = 0.0  # everything else: rewards and what is counted
        self.bytes = 0

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Counts what is done inside towards `what`."""
        began = time.perf_counter()
        yield
        setattr(self, what, getattr(self, what) + time.perf_counter() - began)


def summary(all_seconds: Sequence[Seconds], steps: int) -> dict[str, float]:
    """By environment step: microseconds of one actor, were it to play all, by `Seconds`' names; and bytes."""
    each = {name: sum(vars(one)[name] for one in all_seconds) / max(steps, 1) for name in vars(Seconds())}
    times = {f"{name}_us": round(1e6 * value, 2) for name, value in each.items() if name != "bytes"}
    return times | {"bytes_per_step": round(each["bytes"], 1)}


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

    def add(self, happened: Sequence[Happened], figures: dict[str, float]) -> None:
        """Of one update: what happened in the rollouts of all actors, and its losses and the like."""
        self._happened = total([self._happened, *happened])
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
