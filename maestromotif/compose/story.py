"""An episode in words, for a language model and for people: skills, levels, events, the end, what was met."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from maestromotif.agent.episodes import Episode
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.tasks.task import Task

# Events that other words of the story tell, that happen all the time, or that only judges look at.
_UNTOLD = {"descended", "ascended", "died", "hurt", "healed", "published_price", "published_buc"}
_FIRST, _LAST = 8, 10  # calls at the beginning and at the end that are told, if there are more


class _Call(NamedTuple):
    """Calls of a skill on one level, one after the other. step: the first, from 1. after: the level then."""

    skill: str
    step: int
    steps: int
    level: int
    after: int
    events: Counter[str]

    def __str__(self) -> str:
        told = [f"step {self.step}: {self.skill} on level {self.level} for {self.steps} steps"]
        told += [f"{name.replace('_', ' ')} {times}x" for name, times in self.events.items()]
        told += [f"came to level {self.after}"] if self.after != self.level else []
        return ", ".join(told)


class Chronicle:
    """Follows the games of a pool through a wave; `story` tells one of them afterwards."""

    def __init__(self, pool: GamePool) -> None:
        self._pool = pool
        self._depth = [np.ones(pool.games, np.int32)]  # where every episode begins
        self._events: list[np.ndarray] = []

    def follow(self) -> None:
        """Take in the step that the pool has just played."""
        pool = self._pool
        over = pool.ended != End.NOT
        self._depth.append(np.where(over, pool.final_state["depth"], pool.state["depth"]))
        self._events.append(pool.events.copy())

    def story(self, game: int, episode: Episode, task: Task, skills: Sequence[str]) -> str:
        """At most about 25 lines. episode: of this game, as the wave gave it. skills: names, in order."""
        calls = list(self._calls(game, episode, skills))
        lines = [str(call) for call in calls[:_FIRST]]
        if len(calls) > _FIRST + _LAST:
            left_out = Counter(call.skill for call in calls[_FIRST:-_LAST])
            lines.append(f"... {', '.join(f'{skill} {times}x' for skill, times in left_out.items())} ...")
        lines += [str(call) for call in calls[max(_FIRST, len(calls) - _LAST) :]]
        return "\n".join([*lines, _end(episode), *_conditions(episode, task)])

    def _calls(self, game: int, episode: Episode, skills: Sequence[str]) -> list[_Call]:
        names = list(EVENTS)
        depth = [int(one[game]) for one in self._depth[: episode.steps + 1]]
        found = []
        for (skill, level), group in groupby(
            range(episode.steps), lambda at: (episode.skills[at], depth[at])
        ):
            steps = list(group)
            counts = np.sum([self._events[at][game] for at in steps], axis=0)
            events = {
                name: int(count)
                for name, count in zip(names, counts, strict=True)
                if count and name not in _UNTOLD
            }
            after = depth[steps[-1] + 1]
            found.append(_Call(skills[skill], steps[0] + 1, len(steps), level, after, Counter(events)))
        return found


def _end(episode: Episode) -> str:
    how = {
        "success": "the task was achieved",
        "failure": "the task could no longer be achieved",
        "death": f"the hero died: {episode.cause}",
        "left": "the hero left the dungeon",
        "truncated": "it was the last step",
    }[episode.end]
    return f"step {episode.steps}: {how}; the deepest level was {episode.deepest}"


def _conditions(episode: Episode, task: Task) -> list[str]:
    """Which conditions were met, which of them come one after the other; and the measure."""
    lines = []
    if task.success:
        met = len(task.success) if episode.success else int(episode.progress * len(task.success))
        for number, condition in enumerate(task.success):
            lines.append(f"{'met' if number < met else 'not met'}: {condition}")
        lines.append(f"progress {episode.progress:.2f}")
    if task.measure is not None:
        lines.append(f"{task.measure} was {episode.measured}")
    return lines
