"""From distilled reward models to the reward of a step.

    r = scale * 1[z > theta_k] * z / count ** beta,   z = (R_k(message, changes) - mean_k) / std_k

(MaestroMotif, ICLR 2025, section 3 and appendix; Motif, ICLR 2024, eq. 2.) `count` is how often the message
has been seen in the episode, among its last `count_window` distinct messages. theta is at least 0, unlike
the published one (`reward.least_threshold`): no step is charged, so an agent never gains by dying early. A
step that changes the depth is not counted (`reward.count_depth`): its message is the same every time, and the
second descent is worth as much as the first.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from maestromotif.agent.ledger import Ledger
from maestromotif.agent.messages import MOST, MessageTable
from maestromotif.config.learning import RewardSettings
from maestromotif.nethack.state import DEPTH_CHANGE, NUM_CODES

_RADIX = np.cumprod([1, *NUM_CODES[:-1]])
_COMBINATIONS = int(np.prod(NUM_CODES))


# The state per game, as attributes and in snapshots.
_BY_GAME = ("seen", "times", "last", "before")

# (n messages, changes int8 [n, C]) -> normalised rewards float32 [n, K]: `RewardModels.score`
Score = Callable[[Sequence[bytes], np.ndarray], np.ndarray]


# Message, changes, and how often this observation occurred.
Met = tuple[bytes, tuple[int, ...], int]


class Scorer(NamedTuple):
    """The skills' reward models, and the thresholds that their rewards must exceed."""

    score: Score
    thresholds: np.ndarray  # float32 [K], in units of normalised reward


class RewardFunction:
    """Rewards of N games.

    Each distinct (message, changes) is scored once for all skills, then looked up: it is a row. `row` int64
    [N] is the row that the last call paid for, -1 for none. `ledger` sums what the caller adds to it.

    most: rows, or messages, from which on the function is `full`. With five skills a row and its message take
    about 600 bytes, so `MOST` rows take 10 MB. Who calls `forget` whenever it is full is paid the same.
    """

    def __init__(self, scorer: Scorer, settings: RewardSettings, games: int, most: int = MOST) -> None:
        self._scorer, self._settings, self._most = scorer, settings, most
        self.messages = MessageTable()
        self._empty = self.messages.number(b"")
        self._row: dict[int, int] = {}
        self._scores = np.zeros((1024, len(scorer.thresholds)), np.float32)
        self._met = np.zeros(1024, np.int64)  # how often each row occurred since the last call of `met`
        # What each game has seen: message, count, and the call that saw it last; -1 for an empty slot.
        shape = (games, settings.count_window)
        self._seen = np.full(shape, -1, np.int64)
        self._times, self._last = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
        self._calls = 0
        self._before = np.zeros((2, games), np.int64)  # row and count of o_t, for the published timing
        self.row = np.full(games, -1, np.int64)
        self.ledger = Ledger(len(scorer.thresholds))

    def __call__(
        self, message: np.ndarray, changes: np.ndarray, skill: np.ndarray, ended: np.ndarray
    ) -> np.ndarray:
        """Rewards float32 [N] of one step.

        message int32 [N]: numbers of the messages after the step (of the final observation where `ended`);
        changes int8 [N, C], with the depth change since the skill began; skill int32 [N]: the one that acted;
        ended bool [N].
        """
        row = self._rows(message, changes)
        np.add.at(self._met, row, 1)
        count = self._count(message, changes)
        if self._settings.timing == "published":
            after = np.where(ended, 0, np.stack([row, count]))
            row, count = self._before
            self._before = after
        self.row = np.where(count > 0, row, -1)
        self._seen[ended] = -1
        self._last[ended] = -1
        z = self._scores[row, skill]
        passed = (count > 0) & (z > self._scorer.thresholds[skill])
        weight = np.maximum(count, 1).astype(np.float32) ** -self._settings.count_exponent
        return np.where(passed, self._settings.scale * z * weight, 0).astype(np.float32)

    def score_by(self, scorer: Scorer) -> None:
        """Use this scorer from now on, and rescore all known observations with it."""
        if scorer is self._scorer:
            return
        self._scorer = scorer
        if known := list(self._row):
            self._scores[: len(known)] = self._score(known)

    @property
    def full(self) -> bool:
        """Whether there are more rows or messages than it keeps for long."""
        return max(len(self._row), len(self.messages.texts)) > self._most

    def forget(self) -> None:
        """Forget all rows and messages but those that some game still needs, and empty the ledger.

        Rows and numbers of messages from before this call mean nothing after it. What was forgotten and
        occurs again is scored again.
        """
        row, count = self._before
        needed = np.unique(row[count > 0])
        keys = np.fromiter(self._row, np.int64, len(self._row))[needed]
        number, codes = np.divmod(keys, _COMBINATIONS)
        counted = self._seen >= 0
        new = self.messages.keep(np.unique([self._empty, *self._seen[counted], *number]))
        self._empty = int(new[self._empty])
        self._seen[counted] = new[self._seen[counted]]
        self._row = {key: row for row, key in enumerate((new[number] * _COMBINATIONS + codes).tolist())}
        scores, skills = self._scores[needed], self._scores.shape[1]
        self._scores = np.concatenate([scores, np.zeros((1024, skills), np.float32)])
        self._met = np.zeros(len(self._scores), np.int64)
        self._before = np.stack([np.where(count > 0, np.searchsorted(needed, row), 0), count])
        self.row = np.full_like(self.row, -1)
        self.ledger = Ledger(skills)

    def met(self) -> list[Met]:
        """The observations since the last call of this, in the order of their first occurrence."""
        rows = np.flatnonzero(self._met).tolist()
        texts, codes = self.observations(rows)
        found = [
            (text, tuple(code), int(self._met[row]))
            for text, code, row in zip(texts, codes.tolist(), rows, strict=True)
        ]
        self._met[:] = 0
        return found

    def observations(self, rows: Sequence[int] | np.ndarray) -> tuple[list[bytes], np.ndarray]:
        """Messages [n] and changes int8 [n, C] of these rows."""
        keys = list(self._row)
        return self._observations([keys[row] for row in rows])

    def snapshot(self) -> dict[str, Any]:
        return {
            "ledger": self.ledger.snapshot(),
            "texts": list(self.messages.texts),
            "keys": list(self._row),
            "scores": self._scores[: len(self._row)].copy(),
            "calls": self._calls,
            **{name: getattr(self, f"_{name}").copy() for name in _BY_GAME},
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        for text in snapshot["texts"]:
            self.messages.number(text)
        self._row = {key: row for row, key in enumerate(snapshot["keys"])}
        self._reserve(0)
        self._scores[: len(self._row)] = snapshot["scores"]
        self._calls = int(snapshot["calls"])
        self.ledger.restore(snapshot["ledger"])
        for name in _BY_GAME:
            setattr(self, f"_{name}", np.array(snapshot[name]))

    def _rows(self, message: np.ndarray, changes: np.ndarray) -> np.ndarray:
        keys = (message.astype(np.int64) * _COMBINATIONS + changes @ _RADIX).tolist()
        try:
            return np.array([self._row[key] for key in keys], np.int64)
        except KeyError:
            self._add([key for key in dict.fromkeys(keys) if key not in self._row])
            return np.array([self._row[key] for key in keys], np.int64)

    def _add(self, keys: list[int]) -> None:
        self._reserve(len(keys))
        first = len(self._row)
        self._scores[first : first + len(keys)] = self._score(keys)
        for i, key in enumerate(keys):
            self._row[key] = first + i

    def _score(self, keys: list[int]) -> np.ndarray:
        return self._scorer.score(*self._observations(keys))

    def _observations(self, keys: list[int]) -> tuple[list[bytes], np.ndarray]:
        """Messages [n] and changes int8 [n, C]."""
        texts = [self.messages.texts[key // _COMBINATIONS] for key in keys]
        codes = np.array([key % _COMBINATIONS for key in keys], np.int64)[:, None] // _RADIX % NUM_CODES
        return texts, codes.astype(np.int8)

    def _reserve(self, more: int) -> None:
        """Make room for `more` scores."""
        while len(self._row) + more > len(self._scores):
            self._scores = np.concatenate([self._scores, np.zeros_like(self._scores)])
            self._met = np.concatenate([self._met, np.zeros_like(self._met)])

    def _count(self, message: np.ndarray, changes: np.ndarray) -> np.ndarray:
        """int64 [N]: how often each game saw the message, now included, among its last distinct ones."""
        seen, times, last = self._seen, self._times, self._last
        self._calls += 1
        found_nw = seen == message[:, None]
        found = found_nw.any(1)
        # A new message replaces the one that was seen longest ago.
        slot = np.where(found, found_nw.argmax(1), last.argmin(1))
        game = np.arange(len(message))
        count: np.ndarray = np.where(found, times[game, slot], 0) + 1
        counted = np.ones(len(message), bool)
        if not self._settings.count_empty:
            counted &= message != self._empty
        if not self._settings.count_depth:
            counted &= changes[:, DEPTH_CHANGE] == 0
        count = np.where(counted, count, 1)
        game, slot = game[counted], slot[counted]
        seen[game, slot] = message[counted]
        times[game, slot] = count[counted]
        last[game, slot] = self._calls
        return count
