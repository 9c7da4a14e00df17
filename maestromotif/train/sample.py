"""A sample of the training episodes, each with all that it takes to play it again.

A few games are watched. Their episodes are kept: all of them at first, then one in two, one in four, ..., so
that their number stays bounded and they are spread evenly over the training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maestromotif.agent.episodes import Episode
from maestromotif.config.schema import Config
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.death import cause_of_death
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.seeds import episode_seeds

AGENT = "trained"  # in the file of kept episodes
MOST = 64  # episodes of a run
_LEAST = 4  # of an environment
_WATCHED = 8  # games of an environment
_AT_FIRST = 256  # steps that there is room for


class Sample:
    """The sample of one environment's games. Call `step` before each step of the pool, and `end` after it.

    first_game: number of the first of these games within the run. starts: by game, the arena in which its
    episodes begin, None for the dungeon; games that begin in the dungeon are watched, if there are any.
    """

    def __init__(self, config: Config, pool: GamePool, first_game: int, starts: Sequence[str | None]) -> None:
        self._config, self._pool, self._first_game, self._starts = config, pool, first_game, starts
        settings = config.train
        self._most = max(_LEAST, MOST // (settings.actors * settings.machines))
        self._steps_each = config.nethack.games * settings.machines  # environment steps of a pool step
        games = [game for game, start in enumerate(starts) if start is None] or list(range(len(starts)))
        places = np.linspace(0, len(games), min(_WATCHED, len(games)), endpoint=False).astype(int)
        self._games = np.array(games)[places]
        # Of each watched game, the steps since its episode began: action, skill, 4 * switched + reason.
        self._log = np.zeros((len(self._games), _AT_FIRST, 3), np.uint8)
        self._length = np.zeros(len(self._games), np.int64)
        self._rows = np.arange(len(self._games))
        self._now = np.zeros((len(self._games), 3), np.uint8)
        self._steps = 0  # of the pool
        self._ended, self._stride = 0, 1  # episodes that ended; one in so many is kept
        self._kept: list[dict[str, Any]] = []

    def step(self, action: np.ndarray, skill: np.ndarray, switched: np.ndarray, reason: np.ndarray) -> None:
        """Note one step: the action, the skill that acts, whether its call has just begun, and why the call
        before ended. All are arrays [N] of all games.
        """
        if self._steps % _AT_FIRST == 0 and self._length.max() + _AT_FIRST > self._log.shape[1]:
            self._log = np.concatenate([self._log, np.zeros_like(self._log)], 1)
        games, now = self._games, self._now
        now[:, 0], now[:, 1], now[:, 2] = action[games], skill[games], 4 * switched[games] + reason[games]
        self._log[self._rows, self._length] = now
        self._length += 1
        self._steps += 1

    def end(self, ended: np.ndarray) -> None:
        """Take in the episodes that have just ended; `ended` holds the pool's `game.End` of each game."""
        for row in np.flatnonzero(ended[self._games]).tolist():
            end = End(int(ended[self._games[row]]))
            if end is not End.LOST:
                if self._ended % self._stride == 0:
                    self._kept.append(self._episode(row, end))
                self._ended += 1
                if len(self._kept) > self._most:
                    self._kept, self._stride = self._kept[::2], 2 * self._stride
            self._length[row] = 0

    def kept(self) -> list[dict[str, Any]]:
        """The sample so far, in types that msgpack writes; see `episode`."""
        return list(self._kept)

    def snapshot(self) -> dict[str, Any]:
        """The state, in types that msgpack writes."""
        return {
            "log": [log[:length].tobytes() for log, length in zip(self._log, self._length, strict=True)],
            "steps": self._steps,
            "ended": self._ended,
            "stride": self._stride,
            "kept": self.kept(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        logs = [np.frombuffer(log, np.uint8).reshape(-1, 3) for log in snapshot["log"]]
        self._length = np.array([len(log) for log in logs], np.int64)
        room = self._log.shape[1]
        while room < self._length.max() + _AT_FIRST:
            room *= 2
        self._log = np.zeros((len(logs), room, 3), np.uint8)
        for row, log in zip(self._log, logs, strict=True):
            row[: len(log)] = log
        self._steps, self._ended = int(snapshot["steps"]), int(snapshot["ended"])
        self._stride, self._kept = int(snapshot["stride"]), list(snapshot["kept"])

    def _episode(self, row: int, end: End) -> dict[str, Any]:
        pool, game, config = self._pool, int(self._games[row]), self._config
        seeds = episode_seeds(
            "train",
            config.run.seed,
            self._first_game + game,
            int(pool.episode[game]) - 1,  # the next one has begun
            config.nethack.levels,
        )
        return {
            "seeds": list(seeds),
            "deepest": int(pool.final_state["deepest"][game]),
            "end": end.name.lower(),
            "cause": cause_of_death(bytes(pool.cause[game])) if end is End.DEATH else "",
            "prayers": int(pool.final_state["prayers"][game]),
            "check": checksum(pool.final, game),
            "arena": self._starts[game] or "",
            "at": self._steps * self._steps_each,
            "log": self._log[row, : self._length[row]].tobytes(),
        }


def episode(kept: Mapping[str, Any]) -> Episode:
    """An entry of `Sample.kept` as an episode."""
    facts = dict(kept)
    action, skill, bits = np.frombuffer(facts.pop("log"), np.uint8).reshape(-1, 3).T
    switched, reason = bits >= 4, bits % 4
    reason = np.where(switched, reason, 0)
    reason[:1] = 0  # the call before was of another episode
    return Episode(
        seeds=tuple(facts.pop("seeds")),
        success=False,  # training has no task
        steps=len(action),
        actions=action.tolist(),
        skills=skill.tolist(),
        switched=switched.tolist(),
        reasons=reason.tolist(),
        arena=facts.pop("arena") or None,
        **facts,
    )


def together(parts: Sequence[Sequence[Mapping[str, Any]]]) -> list[Episode]:
    """At most `MOST` of the episodes of several environments, in the order in which they ended."""
    found = sorted((one for part in parts for one in part), key=lambda one: (one["at"], tuple(one["seeds"])))
    if len(found) > MOST:
        found = [found[place] for place in np.linspace(0, len(found) - 1, MOST).astype(int)]
    return [episode(one) for one in found]
