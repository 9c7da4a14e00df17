"""From distilled reward models to the reward of a step.

    r = scale * 1[z > theta_k] * z / count ** beta,   z = (R_k(message, changes) - mean_k) / std_k

(MaestroMotif, ICLR 2025, section 3 and appendix; Motif, ICLR 2024, eq. 2.) `count` is how often the message
has been seen in the episode, among its last `count_window` distinct messages.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maestromotif.learning.messages import MessageTable
from maestromotif.nethack.state import CHANGES
from maestromotif.settings import RewardSettings

_RADIX = np.cumprod([1, *list(CHANGES.values())[:-1]])
_COMBINATIONS = int(np.prod(list(CHANGES.values())))


# (n messages, changes int8 [n, 4]) -> normalised rewards float32 [n, K]: `RewardModels.score`
Score = Callable[[Sequence[bytes], np.ndarray], np.ndarray]


class RewardFunction:
    """Rewards of N games.

    Each distinct (message, changes) is scored once for all skills and looked up after that.
    thresholds: float32 [K], in units of normalised reward.
    """

    def __init__(self, score: Score, thresholds: np.ndarray, settings: RewardSettings, games: int) -> None:
        self._score_new, self._thresholds, self._settings = score, thresholds, settings
        self.messages = MessageTable()
        self._row: dict[int, int] = {}
        self._scores = np.zeros((1024, len(thresholds)), np.float32)
        self._counts: list[OrderedDict[int, int]] = [OrderedDict() for _ in range(games)]
        self._before = np.zeros((3, games))  # message, row and count of o_t, for the published timing

    def __call__(
        self, message: np.ndarray, changes: np.ndarray, skill: np.ndarray, ended: np.ndarray
    ) -> np.ndarray:
        """Rewards float32 [N] of one step.

        message int32 [N]: numbers of the messages after the step (of the final observation where `ended`);
        changes int8 [N, 4], the depth column against where the skill began; skill int32 [N]: which acted;
        ended bool [N].
        """
        row = self._rows(message, changes)
        count = self._count(message)
        if self._settings.timing == "published":
            after = np.stack([message, row, count])
            _, row, count = self._before.astype(np.int64)
            self._before = np.where(ended, 0, after)
            known = count > 0
        else:
            known = np.ones(len(message), bool)
        for game in np.flatnonzero(ended):
            self._counts[game].clear()
        z = self._scores[row, skill]
        passed = known & (z > self._thresholds[skill])
        weight = np.maximum(count, 1).astype(np.float32) ** -self._settings.count_exponent
        return np.where(passed, self._settings.scale * z * weight, 0).astype(np.float32)

    def snapshot(self) -> dict[str, Any]:
        return {
            "texts": list(self.messages.texts),
            "keys": list(self._row),
            "scores": self._scores[: len(self._row)],
            "counts": [[list(item) for item in counts.items()] for counts in self._counts],
            "before": self._before,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        for text in snapshot["texts"]:
            self.messages.number(text)
        self._row = {key: row for row, key in enumerate(snapshot["keys"])}
        while len(self._row) > len(self._scores):
            self._scores = np.concatenate([self._scores, np.zeros_like(self._scores)])
        self._scores[: len(self._row)] = snapshot["scores"]
        self._counts = [
            OrderedDict((number, seen) for number, seen in counts) for counts in snapshot["counts"]
        ]
        self._before = np.array(snapshot["before"])

    def _rows(self, message: np.ndarray, changes: np.ndarray) -> np.ndarray:
        keys = (message.astype(np.int64) * _COMBINATIONS + changes @ _RADIX).tolist()
        new = [key for key in dict.fromkeys(keys) if key not in self._row]
        if new:
            self._score(new)
        return np.array([self._row[key] for key in keys], np.int64)

    def _score(self, keys: list[int]) -> None:
        texts = [self.messages.texts[key // _COMBINATIONS] for key in keys]
        codes = np.array([key % _COMBINATIONS for key in keys])[:, None] // _RADIX % list(CHANGES.values())
        while len(self._row) + len(keys) > len(self._scores):
            self._scores = np.concatenate([self._scores, np.zeros_like(self._scores)])
        first = len(self._row)
        self._scores[first : first + len(keys)] = self._score_new(texts, codes.astype(np.int8))
        for i, key in enumerate(keys):
            self._row[key] = first + i

    def _count(self, message: np.ndarray) -> np.ndarray:
        out = np.ones(len(message), np.int64)
        for game, number in enumerate(message.tolist()):
            if not (self._settings.count_empty or self.messages.texts[number]):
                continue
            counts = self._counts[game]
            out[game] = counts[number] = counts.pop(number, 0) + 1
            if len(counts) > self._settings.count_window:
                counts.popitem(last=False)
        return out
