"""What environments count of their steps and episodes, for the learning curve.

To count something new, add an entry to STEP_SUMS or EPISODE_SUMS. Environments count, actors pass the counts
on, and the curve sums them over all rollouts since its last row, all games and all processes.

n games, T steps of a rollout, K skills, E events (`nethack.events`), C changes (`nethack.state`), A actions
(`nethack.actions`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE

# The changes that have figures. The depth has none, because the events `descended` and `ascended` tell it.
_COUNTED = [column for column in range(len(CHANGES)) if column != DEPTH_CHANGE]
COUNTED_CHANGES = tuple(name for name in CHANGES if name != tuple(CHANGES)[DEPTH_CHANGE])


Counts = dict[str, np.ndarray]  # the sums by name


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


def _which(skill: np.ndarray, skills: int) -> np.ndarray:
    """float64 [K, n * T]: 1 where the skill acted."""
    which: np.ndarray = skill.ravel() == np.arange(skills)[:, None]
    return which.astype(np.float64)


def _summed(which_kn: np.ndarray, what: np.ndarray) -> np.ndarray:
    """[n, T] -> float64 [K], or [n, T, ...] -> [K, ...]."""
    sums: np.ndarray = which_kn @ what.reshape(which_kn.shape[1], *what.shape[2:])
    return sums
