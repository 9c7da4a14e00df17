"""The metrics of training: one table that defines the rows of the learning curve.

To add a figure, edit only this file: add an entry to METRICS and, if it needs a new count, one to STEP_SUMS
or EPISODE_SUMS. Environments count, actors pass the counts on, and the curve sums them over all rollouts
since its last row, all games and all processes.

n games, T steps of a rollout, K skills, E events (`nethack.events`), C changes (`nethack.state`), A actions
(`nethack.actions`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE

CURVE = "curve.jsonl"  # the file that `train` writes, one row per line

# The changes that have figures. The depth has none, because the events `descended` and `ascended` tell it.
_COUNTED = [column for column in range(len(CHANGES)) if column != DEPTH_CHANGE]
COUNTED_CHANGES = tuple(name for name in CHANGES if name != tuple(CHANGES)[DEPTH_CHANGE])


class Steps(NamedTuple):
    """A rollout of one environment."""

    skill: np.ndarray  # int32 [n, T], the skill that acted
    reward: np.ndarray  # float32 [n, T]
    call_ended: np.ndarray  # bool [n, T]: the skill's call ended after the step
    events: np.ndarray  # int16 [n, T, E], how often each happened
    changes: np.ndarray  # int8 [n, T, C], codes
    action: np.ndarray  # int32 [n, T], the action that was played


class Episodes(NamedTuple):
    """The episodes that ended on one step of an environment."""

    counted: np.ndarray  # bool [n]: an episode ended that began in the dungeon, not in an arena
    end: np.ndarray  # int8 [n], `game.End`
    state: Mapping[str, np.ndarray]  # GameState at the end, each [n]; valid where `counted`


# Sums over steps, by the skill that acted: [n, T] or [n, T, ...] -> float64 [K] or [K, ...].
STEP_SUMS: dict[str, Callable[[Steps], np.ndarray]] = {
    "steps": lambda steps: np.ones_like(steps.call_ended),
    "calls": lambda steps: steps.call_ended,
    "reward": lambda steps: steps.reward,
    "lost": lambda steps: np.maximum(-steps.reward, 0),
    "paid": lambda steps: steps.reward > 0,
    "events": lambda steps: steps.events,
    "changes": lambda steps: steps.changes[..., _COUNTED] > 0,
    "actions": lambda steps: steps.action[..., None] == np.arange(len(NAMES)),
}
# Sums over episodes: [n] -> float64 [].
EPISODE_SUMS: dict[str, Callable[[Episodes], np.ndarray]] = {
    "episodes": lambda episodes: np.ones_like(episodes.counted),
    "deaths": lambda episodes: episodes.end == End.DEATH,
    "length": lambda episodes: episodes.state["step"],
    "deepest": lambda episodes: episodes.state["deepest"],
    "at_least_2": lambda episodes: episodes.state["deepest"] >= 2,
}


@dataclass(frozen=True)
class Metric:
    """A figure of the curve.

    name: its key in a row, where {skill} stands for each skill's name, {event} for each event's and
        {change} for each change's.
    of: computes the value of a window; None leaves it out of the row.
    """

    name: str
    title: str  # of a plot
    unit: str
    doc: str
    of: Callable[["Window"], float | None]


@dataclass(frozen=True)
class Window:
    """The steps since the last row, as a metric sees them: all, those of a skill, or one event of a skill."""

    env_step: int
    counts: "Counts"
    figures: Sequence[Mapping[str, float]]  # of the learner, one per update
    skill: int | None = None
    column: int | None = None  # of the event or change

    def __getitem__(self, name: str) -> float:
        """A sum over the steps of this skill (and event or change), or over episodes."""
        count = self.counts[name]
        if name in STEP_SUMS and self.skill is not None:
            count = count[self.skill]
        return float((count if self.column is None or count.ndim == 0 else count[self.column]).sum())

    def of_all_skills(self, name: str) -> float:
        return float(self.counts[name].sum())

    def mean(self, figure: str) -> float:
        """Mean of a figure of the learner over updates."""
        return float(np.mean([one[figure] for one in self.figures]))


METRICS = (
    Metric(
        "env_step",
        "Environment steps",
        "steps",
        "Environment steps from the start of training to the end of the window, over all games.",
        lambda w: w.env_step,
    ),
    Metric(
        "episodes",
        "Episodes",
        "episodes",
        "Episodes that ended in the window, without those that began in an arena.",
        lambda w: int(w["episodes"]),
    ),
    Metric(
        "deaths",
        "Deaths",
        "episodes",
        "Those of `episodes` that ended with the hero's death.",
        lambda w: int(w["deaths"]),
    ),
    Metric(
        "episode/length_mean",
        "Steps in an episode, mean",
        "steps",
        "Mean over `episodes` of their environment steps; left out if no episode ended.",
        lambda w: w["length"] / w["episodes"] if w["episodes"] else None,
    ),
    Metric(
        "skill/{skill}/reward_per_call",
        "Reward in one call of the skill",
        "reward",
        "Sum of the skill's rewards, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["reward"] / max(w["calls"], 1),
    ),
    Metric(
        "skill/{skill}/reward_per_1k_steps",
        "Reward in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w["reward"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/lost_per_1k_steps",
        "Losses in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards below 0, without their sign, in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w["lost"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/paid_share",
        "Share of the skill's steps that earn a reward",
        "share",
        "Share of the steps in which the skill acted that earned more than 0: whether its reward is dense or "
        "rare, which the sum of the reward does not show.",
        lambda w: w["paid"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/time_share",
        "Share of all steps",
        "share",
        "Share of all environment steps in which the skill acted.",
        lambda w: w["steps"] / max(w.of_all_skills("steps"), 1),
    ),
    Metric(
        "skill/{skill}/mean_duration",
        "Steps in one call of the skill",
        "steps",
        "Steps in which the skill acted, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["steps"] / max(w["calls"], 1),
    ),
    Metric(
        "events/{skill}/{event}_per_1k_steps",
        "{event} in 1,000 steps of the skill",
        "events / 1,000 steps",
        "How often the event happened in 1,000 of the steps in which the skill acted; left out if it did "
        "not happen.",
        lambda w: 1000 * w["events"] / w["steps"] if w["events"] else None,
    ),
    Metric(
        "changes/{skill}/{change}_per_1k_steps",
        "{change}: changes in 1,000 steps of the skill",
        "changes / 1,000 steps",
        "On how many of 1,000 of the skill's steps the change happened; left out if it did not happen. The "
        "depth is left out, because events count descents and ascents.",
        lambda w: 1000 * w["changes"] / w["steps"] if w["changes"] else None,
    ),
    Metric(
        "depth/deepest_mean",
        "Deepest level of an episode, mean",
        "levels",
        "Mean over `episodes` of the deepest level reached; left out if no episode ended.",
        lambda w: w["deepest"] / w["episodes"] if w["episodes"] else None,
    ),
    Metric(
        "depth/at_least_2",
        "Share of episodes that reach level 2",
        "share",
        "Share of `episodes` that reached level 2 or deeper; left out if no episode ended.",
        lambda w: w["at_least_2"] / w["episodes"] if w["episodes"] else None,
    ),
    # The learner's figures, from `ppo.loss` and `Learner.update`: means over the updates of the window.
    Metric(
        "loss/policy_loss",
        "Policy loss",
        "normalised advantage",
        "PPO's clipped surrogate loss, mean over steps.",
        lambda w: w.mean("policy_loss"),
    ),
    Metric(
        "loss/value_loss",
        "Value loss",
        "scaled return squared",
        "Squared error of the acting skill's value, clipped as `train.value_clip` says, mean over steps.",
        lambda w: w.mean("value_loss"),
    ),
    Metric(
        "loss/entropy",
        "Entropy of the policy",
        "nats",
        "Entropy of the acting skill's distribution over actions, mean over steps.",
        lambda w: w.mean("entropy"),
    ),
    Metric(
        "loss/kl",
        "How far the policy moved",
        "nats",
        "KL divergence of the policy that acted from the one that learns, estimated by mean(r - 1 - log r).",
        lambda w: w.mean("kl"),
    ),
    Metric(
        "loss/clipped",
        "Share of steps that are clipped",
        "share",
        "Share of steps whose term of the policy loss is the clipped one, which has no gradient.",
        lambda w: w.mean("clipped"),
    ),
    Metric(
        "loss/minibatches",
        "Minibatches of an update",
        "minibatches",
        "How many minibatches an update learned from; fewer than planned where `train.target_kl` ended it.",
        lambda w: w.mean("minibatches"),
    ),
)

# What a field in a metric's name stands for.
NAMED: dict[str, tuple[str, ...]] = {"event": tuple(EVENTS), "change": COUNTED_CHANGES}

Counts = dict[str, np.ndarray]  # the sums by name


def no_counts(skills: int) -> Counts:
    no_steps = np.zeros((0, 0), bool)
    events, changes = np.zeros((0, 0, len(EVENTS)), np.int16), np.zeros((0, 0, len(CHANGES)), np.int8)
    empty = Steps(no_steps, np.zeros((0, 0), np.float32), no_steps, events, changes, no_steps)
    by_skill = {name: _summed(_which(empty.skill, skills), of(empty)) for name, of in STEP_SUMS.items()}
    return by_skill | {name: np.zeros(()) for name in EPISODE_SUMS}


def count_steps(counts: Counts, steps: Steps) -> None:
    """Add a rollout."""
    which_kn = _which(steps.skill, len(counts["steps"]))
    for name, of in STEP_SUMS.items():
        counts[name] += _summed(which_kn, of(steps))


def count_episodes(counts: Counts, episodes: Episodes) -> None:
    """Add the episodes that ended on a step."""
    for name, of in EPISODE_SUMS.items():
        counts[name] += of(episodes)[episodes.counted].sum()


def total(parts: Iterable[Counts]) -> Counts:
    """The sum of one or more counts."""
    first, *others = parts
    return {
        name: np.sum([count, *(other[name] for other in others)], axis=0) for name, count in first.items()
    }


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


def _which(skill: np.ndarray, skills: int) -> np.ndarray:
    """float64 [K, n * T]: 1 where the skill acted."""
    which: np.ndarray = skill.ravel() == np.arange(skills)[:, None]
    return which.astype(np.float64)


def _summed(which_kn: np.ndarray, what: np.ndarray) -> np.ndarray:
    """[n, T] -> float64 [K], or [n, T, ...] -> [K, ...]."""
    sums: np.ndarray = which_kn @ what.reshape(which_kn.shape[1], *what.shape[2:])
    return sums


class Seconds:
    """Where an actor's time went, in seconds, and how many bytes it moved to and from the device."""

    def __init__(self) -> None:
        self.games = 0.0  # waiting for the games
        self.policy = 0.0  # from observations to actions
        self.program = 0.0  # the program over skills
        self.host = 0.0  # everything else: rewards and counts
        self.bytes = 0

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Adds the time of the block to `what`."""
        began = time.perf_counter()
        yield
        setattr(self, what, getattr(self, what) + time.perf_counter() - began)


def summary(all_seconds: Sequence[Seconds], steps: int) -> dict[str, float]:
    """Per environment step: microseconds summed over actors, by `Seconds`' names; and bytes."""
    each = {name: sum(vars(one)[name] for one in all_seconds) / max(steps, 1) for name in vars(Seconds())}
    times = {f"{name}_us": round(1e6 * value, 2) for name, value in each.items() if name != "bytes"}
    return times | {"bytes_per_step": round(each["bytes"], 1)}
