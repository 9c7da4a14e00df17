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

HUNGER = ("satiated", "not hungry", "hungry", "weak", "fainting", "fainted", "starved")
MINES = 2  # number of the dungeon
# Fields of GameState that a story follows, and where every episode begins (hit points differ; none are told).
_BEGIN = {"depth": 1, "dungeon": 0, "turn": 1, "hp": 1, "max_hp": 1, "hunger": 1}

# Events that other words of the story tell, that happen all the time, or that only judges look at.
_UNTOLD = {"descended", "ascended", "died", "hurt", "healed", "published_price", "published_buc"}
_FIRST, _LAST = 8, 10  # calls at the beginning and at the end that are told, if there are more


class _Call(NamedTuple):
    """Calls of a skill on one level, one after the other. step: the first, from 1. after: what is so then."""

    skill: str
    step: int
    steps: int
    level: str
    after: dict[str, int]  # by the names of `_BEGIN`
    events: Counter[str]

    def __str__(self) -> str:
        after, level = self.after, _level(self.after)
        told = [
            f"step {self.step}: {self.skill} on {self.level} for {self.steps} steps, to turn {after['turn']}"
        ]
        told += _happened(self.events)
        told += [f"came to {level}"] if level != self.level else []
        told += (
            [f"{after['hp']} of {after['max_hp']} hit points"] if 2 * after["hp"] <= after["max_hp"] else []
        )
        told += [HUNGER[after["hunger"]]] if after["hunger"] > 1 else []
        return ", ".join(told)


def _level(at: dict[str, int]) -> str:
    dungeon = {0: "", MINES: " in the Mines"}.get(at["dungeon"], " in another dungeon")
    return f"level {at['depth']}{dungeon}"


def _happened(events: Counter[str]) -> list[str]:
    return [f"{name.replace('_', ' ')} {times}x" for name, times in events.items()]


class Chronicle:
    """Follows the games of a pool through a wave; `story` tells one of them afterwards."""

    def __init__(self, pool: GamePool) -> None:
        self._pool = pool
        self._states = [{name: np.full(pool.games, value, np.int32) for name, value in _BEGIN.items()}]
        self._events: list[np.ndarray] = []

    def follow(self) -> None:
        """Take in the step that the pool has just played."""
        pool = self._pool
        over = pool.ended != End.NOT
        self._states.append(
            {name: np.where(over, pool.final_state[name], pool.state[name]) for name in _BEGIN}
        )
        self._events.append(pool.events.copy())

    def story(self, game: int, episode: Episode, task: Task, skills: Sequence[str]) -> str:
        """At most about 26 lines. episode: of this game, as the wave gave it. skills: names, in order."""
        calls = list(self._calls(game, episode, skills))
        lines = [str(call) for call in calls[:_FIRST]]
        if len(calls) > _FIRST + _LAST:
            left_out = Counter(call.skill for call in calls[_FIRST:-_LAST])
            lines.append(f"... {', '.join(f'{skill} {times}x' for skill, times in left_out.items())} ...")
        lines += [str(call) for call in calls[max(_FIRST, len(calls) - _LAST) :]]
        if len(calls) > _FIRST + _LAST:
            lines.append(_in_all(calls))
        return "\n".join([*lines, _end(episode), *_conditions(episode, task)])

    def _calls(self, game: int, episode: Episode, skills: Sequence[str]) -> list[_Call]:
        names = list(EVENTS)
        states = [
            {name: int(values[game]) for name, values in one.items()}
            for one in self._states[: episode.steps + 1]
        ]
        found = []
        for (skill, level), group in groupby(
            range(episode.steps), lambda at: (episode.skills[at], _level(states[at]))
        ):
            steps = list(group)
            counts = np.sum([self._events[at][game] for at in steps], axis=0)
            events = {
                name: int(count)
                for name, count in zip(names, counts, strict=True)
                if count and name not in _UNTOLD
            }
            after = states[steps[-1] + 1]
            found.append(_Call(skills[skill], steps[0] + 1, len(steps), level, after, Counter(events)))
        return found


def _in_all(calls: Sequence[_Call]) -> str:
    """The steps on each level, and all events, of a story of which a part is left out."""
    steps, events = Counter[str](), Counter[str]()
    for call in calls:
        steps[call.level] += call.steps
        events += call.events
    return "in all: " + ", ".join(
        [f"{count:,} steps on {level}" for level, count in steps.items()] + _happened(events)
    )


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
