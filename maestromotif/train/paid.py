"""What environments paid for since the start of training: sums over their steps and episodes.

`account.py` turns these into the file `paid.json`. It runs in environments' processes, without JAX.

K skills, R distinct observations, C changes (`nethack.state`).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maestromotif.agent.reward import RewardFunction
from maestromotif.nethack.death import cause_of_death
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES


class Ends:
    """How episodes that began in the dungeon ended, since the start of training."""

    def __init__(self) -> None:
        self.causes: Counter[str] = Counter()  # of death, without names
        self.lengths: Counter[int] = Counter()  # environment steps of an episode -> episodes

    def add(self, steps: np.ndarray, end: np.ndarray, cause: np.ndarray) -> None:
        """Add episodes: environment steps int32 [n], `game.End` uint8 [n], cause of death S128 [n]."""
        self.lengths.update(steps.tolist())
        self.causes.update(cause_of_death(bytes(one)) for one in cause[end == End.DEATH])

    def snapshot(self) -> dict[str, Any]:
        """The state, in types that msgpack writes."""
        return {"causes": dict(self.causes), "lengths": [[*pair] for pair in self.lengths.items()]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.causes = Counter(snapshot["causes"])
        self.lengths = Counter({int(steps): int(count) for steps, count in snapshot["lengths"]})


class Paid(NamedTuple):
    """What some environments paid for since the start of training."""

    messages: list[bytes]  # R
    changes: np.ndarray  # int8 [R, C]
    gained: np.ndarray  # float64 [R, K]
    lost: np.ndarray  # float64 [R, K], at least 0
    steps: np.ndarray  # int64 [R, K]
    ends: dict[str, Any]  # a snapshot of `Ends`

    @classmethod
    def of(cls, reward: RewardFunction, ends: Ends) -> "Paid":
        """What one environment paid for."""
        ledger = reward.ledger
        rows = np.flatnonzero(ledger.steps.any(1))
        messages, changes = reward.observations(rows)
        return cls(
            messages,
            changes.reshape(len(rows), len(CHANGES)),
            ledger.gained[rows],
            ledger.lost[rows],
            ledger.steps[rows],
            ends.snapshot(),
        )


def together(parts: Sequence[Paid]) -> Paid:
    """The sum over one or more environments."""
    place: dict[tuple[bytes, bytes], int] = {}
    rows = [
        [
            place.setdefault((message, codes.tobytes()), len(place))
            for message, codes in zip(part.messages, part.changes, strict=True)
        ]
        for part in parts
    ]
    skills = parts[0].steps.shape[1]
    gained, lost = np.zeros((len(place), skills)), np.zeros((len(place), skills))
    steps = np.zeros((len(place), skills), np.int64)
    ends = Ends()
    for part, own in zip(parts, rows, strict=True):
        for whole, sums in ((gained, part.gained), (lost, part.lost), (steps, part.steps)):
            whole[own] += sums
        one = Ends()
        one.restore(part.ends)
        ends.causes.update(one.causes)
        ends.lengths.update(one.lengths)
    codes = np.array([np.frombuffer(codes, np.int8) for _, codes in place], np.int8)
    messages = [message for message, _ in place]
    return Paid(messages, codes.reshape(len(place), len(CHANGES)), gained, lost, steps, ends.snapshot())
