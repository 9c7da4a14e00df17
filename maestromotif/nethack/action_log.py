"""What games have played since their episodes began: with their seeds, all that brings them back."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """Enough to bring every game back: the episode each is in, and its actions since that began."""

    episode: np.ndarray  # int64 [N]
    actions: list[bytes]  # a byte a step, for each game


class ActionLog:
    """The actions that each of N games has played since its episode began."""

    def __init__(self, games: int) -> None:
        self._length = np.zeros(games, np.int64)
        self._actions = np.zeros((games, 256), np.uint8)

    def add(self, games: np.ndarray, actions: np.ndarray) -> None:
        """An action each (int [n]) of the games int [n]."""
        place = self._length[games]
        if place.max(initial=0) == self._actions.shape[1]:
            self._actions = np.concatenate([self._actions, np.zeros_like(self._actions)], 1)
        self._actions[games, place] = actions
        self._length[games] = place + 1

    def clear(self, games: np.ndarray) -> None:
        """Another episode has begun in the games int [n]."""
        self._length[games] = 0

    def actions(self) -> list[bytes]:
        """A byte an action, for each game."""
        return [row[:length].tobytes() for row, length in zip(self._actions, self._length, strict=True)]
