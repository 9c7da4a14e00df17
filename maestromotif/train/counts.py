"""What environments count of their steps and episodes, for the learning curve.

To count something new, add an entry to STEP_SUMS or EPISODE_SUMS. Environments count, actors pass the counts
on, and the curve sums them over all rollouts since its last row, all games and all processes.

n games, T steps of a rollout, K skills, E events (`nethack.events`), C changes (`nethack.state`), A actions
(`nethack.actions`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.death import CAUSE_GROUPS, cause_group
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.skill import Skill
from maestromotif.train.endings import Ending

# The changes that have figures. The depth has none, because the events `descended` and `ascended` tell it.
_COUNTED = [column for column in range(len(CHANGES)) if column != DEPTH_CHANGE]
COUNTED_CHANGES = tuple(name for name in CHANGES if name != tuple(CHANGES)[DEPTH_CHANGE])
DEPTHS = (2, 5, 10)  # levels of which the episodes that reach them are counted
ENDINGS = ("achieved", "failed", "timed_out", "interrupted", "episode")  # of a skill's call, see METRICS

Counts = dict[str, np.ndarray]  # the sums by name


class Steps(NamedTuple):
    """A rollout of one environment."""

    skill: np.ndarray  # int32 [n, T], the skill that acted
    reward: np.ndarray  # float32 [n, T]
    ended: np.ndarray  # int8 [n, T], `Ending`: whether and why the skill's call ended after the step
    events: np.ndarray  # int16 [n, T, E], how often each happened
    changes: np.ndarray  # int8 [n, T, C], codes
    action: np.ndarray  # int32 [n, T], the action that was played


class Episodes(NamedTuple):
    """The episodes that ended on one step of an environment."""

    counted: np.ndarray  # bool [n]: an episode ended that began in the dungeon, not in an arena
    end: np.ndarray  # int8 [n], `game.End`
    state: Mapping[str, np.ndarray]  # GameState at the end, each [n]; valid where `counted`
    cause: np.ndarray  # S128 [n], of death


# Sums over steps, by the skill that acted: [n, T] or [n, T, ...] -> float64 [K] or [K, ...].
STEP_SUMS: dict[str, Callable[[Steps], np.ndarray]] = {
    "steps": lambda steps: np.ones_like(steps.ended),
    "ended": lambda steps: _ending(steps)[..., None] == np.arange(len(ENDINGS)),
    "reward": lambda steps: steps.reward,
    "lost": lambda steps: np.maximum(-steps.reward, 0),
    "paid": lambda steps: steps.reward > 0,
    "events": lambda steps: steps.events,
    "changes": lambda steps: steps.changes[..., _COUNTED] > 0,
    "actions": lambda steps: steps.action[..., None] == np.arange(len(NAMES)),
}
# Sums over episodes: [n] or [n, ...] -> float64 [] or [...].
EPISODE_SUMS: dict[str, Callable[[Episodes], np.ndarray]] = {
    "episodes": lambda episodes: np.ones_like(episodes.counted),
    "deaths": lambda episodes: episodes.end == End.DEATH,
    "length": lambda episodes: episodes.state["step"],
    "deepest": lambda episodes: episodes.state["deepest"],
    "at_least": lambda episodes: episodes.state["deepest"][:, None] >= np.array(DEPTHS),
    "causes": lambda episodes: _cause(episodes)[:, None] == np.arange(len(CAUSE_GROUPS)),
}


class Named(NamedTuple):
    """What one list in the heads of K skills names, such as `wanted`."""

    events: np.ndarray  # bool [K, E]
    changes: np.ndarray  # bool [K, COUNTED_CHANGES]

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]]) -> "Named":
        named = cls(
            np.zeros((len(lists), len(EVENTS)), bool), np.zeros((len(lists), len(COUNTED_CHANGES)), bool)
        )
        for k, names in enumerate(lists):
            for name in names:
                if name in COLUMN:
                    named.events[k, COLUMN[name]] = True
                else:
                    named.changes[k, COUNTED_CHANGES.index(name)] = True
        return named

    def happened(self, skill: np.ndarray, events: np.ndarray, changes: np.ndarray) -> np.ndarray:
        """Whether something in the acting skill's list happened: bool [...].

        skill: int [...]. events, changes: of each of these steps, as in `Steps`.
        """
        of_events = (self.events[skill] & (events > 0)).any(-1)
        told: np.ndarray = of_events | (self.changes[skill] & (changes[..., _COUNTED] > 0)).any(-1)
        return told


def wanted(skills: Sequence[Skill]) -> Named:
    return Named.of([skill.wanted for skill in skills])


def forbidden(skills: Sequence[Skill]) -> Named:
    return Named.of([skill.forbidden for skill in skills])


def no_counts(skills: int) -> Counts:
    no_steps = np.zeros((0, 0), bool)
    events, changes = np.zeros((0, 0, len(EVENTS)), np.int16), np.zeros((0, 0, len(CHANGES)), np.int8)
    empty = Steps(no_steps, np.zeros((0, 0), np.float32), no_steps, events, changes, no_steps)
    by_skill = {name: _summed(_which(empty.skill, skills), of(empty)) for name, of in STEP_SUMS.items()}
    none = np.zeros(0, np.int32)
    ended = Episodes(none > 0, none, {"step": none, "deepest": none}, np.zeros(0, "S128"))
    return by_skill | {name: np.zeros(of(ended).shape[1:]) for name, of in EPISODE_SUMS.items()}


def count_steps(counts: Counts, steps: Steps) -> None:
    """Add a rollout."""
    which_kn = _which(steps.skill, len(counts["steps"]))
    for name, of in STEP_SUMS.items():
        counts[name] += _summed(which_kn, of(steps))


def count_episodes(counts: Counts, episodes: Episodes) -> None:
    """Add the episodes that ended on a step."""
    for name, of in EPISODE_SUMS.items():
        counts[name] += of(episodes)[episodes.counted].sum(0)


def total(parts: Iterable[Counts]) -> Counts:
    """The sum of one or more counts."""
    first, *others = parts
    return {
        name: np.sum([count, *(other[name] for other in others)], axis=0) for name, count in first.items()
    }


def _ending(steps: Steps) -> np.ndarray:
    """Indexes in ENDINGS, int [n, T]; -1 where the call goes on."""
    of_call: np.ndarray = np.minimum(steps.ended, Ending.TERMINATED)  # the episode's ends are one
    return of_call - 1


def _cause(episodes: Episodes) -> np.ndarray:
    """Indexes in CAUSE_GROUPS, int [n]; -1 where the hero did not die."""
    groups = [
        cause_group(bytes(cause)) if end == End.DEATH else -1
        for cause, end in zip(episodes.cause, episodes.end, strict=True)
    ]
    return np.array(groups, np.int64)


def _which(skill: np.ndarray, skills: int) -> np.ndarray:
    """float64 [K, n * T]: 1 where the skill acted."""
    which: np.ndarray = skill.ravel() == np.arange(skills)[:, None]
    return which.astype(np.float64)


def _summed(which_kn: np.ndarray, what: np.ndarray) -> np.ndarray:
    """[n, T] -> float64 [K], or [n, T, ...] -> [K, ...]."""
    sums: np.ndarray = which_kn @ what.reshape(which_kn.shape[1], *what.shape[2:])
    return sums
