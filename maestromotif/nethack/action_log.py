"""The actions of all games since their episodes began. With the seeds they restore the games."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """What restores every game: the number of its episode, and its actions since that began."""

    episode: np.ndarray  # int64 [N]
    actions: list[bytes]  # one byte per step, for each game


class ActionLog:
    """The actions that each of N games has played since its episode began."""

    def __init__(self, games: int) -> None:
        self._length = np.zeros(games, np.int64)
        self._actions = np.zeros((games, 256), np.uint8)

    def add(self, games: np.ndarray, actions: np.ndarray) -> None:
        """Add one action (int [n]) to each of the games int [n]."""
        place = self._length[games]
        if place.max(initial=0) == self._actions.shape[1]:
            self._actions = np.concatenate([self._actions, np.zeros_like(self._actions)], 1)
        self._actions[games, place] = actions
        self._length[games] = place + 1

    def clear(self, games: np.ndarray) -> None:
        """Start over in the games int [n]: another episode has begun."""
        self._length[games] = 0

    def actions(self) -> list[bytes]:
        """One byte per action, for each game."""
        return [row[:length].tobytes() for row, length in zip(self._actions, self._length, strict=True)]
