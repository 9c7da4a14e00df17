"""Rewards brought to a scale on which one learning rate serves every skill."""

from typing import Any

import numpy as np

_LARGEST = 10.0


class ReturnScale:
    """Divides each skill's rewards by the running root mean square of its discounted returns.

    Reward models differ in how often they pay; without this the value loss of a rare skill vanishes beside
    the policy loss (the scaling is that of the usual vector-environment normalisation, but kept by skill).
    """

    def __init__(self, skills: int, games: int, gamma: float) -> None:
        self._gamma = gamma
        self._running = np.zeros(games)
        self._sum, self._count = np.zeros(skills), np.zeros(skills)

    def __call__(self, reward_tb: np.ndarray, skill_tb: np.ndarray, same_tb: np.ndarray) -> np.ndarray:
        """Scaled rewards float32 [T, N]; returns start anew where `same_tb` is 0."""
        for reward, skill, same in zip(reward_tb, skill_tb, same_tb, strict=True):
            self._running = self._running * self._gamma + reward
            np.add.at(self._sum, skill, np.square(self._running))
            np.add.at(self._count, skill, 1)
            self._running *= same
        scale = np.sqrt(self._sum / np.maximum(self._count, 1))
        scale[scale == 0] = 1
        scaled: np.ndarray = np.clip(reward_tb / scale[skill_tb], -_LARGEST, _LARGEST)
        return scaled.astype(np.float32)

    def snapshot(self) -> dict[str, Any]:
        return {"running": self._running, "sum": self._sum, "count": self._count}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._running, self._sum, self._count = (np.array(snapshot[k]) for k in ("running", "sum", "count"))
