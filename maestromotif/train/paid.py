"""What environments paid for since the start of training: sums over their steps and episodes.

`account.py` turns these into the file `paid.json`. It runs in environments' processes, without JAX.

K skills, R distinct observations, E combinations of events, C changes (`nethack.state`).
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
    """What some environments paid for since the start of training.

    `others` sums observations that are no longer kept apart, by the events that they tell (`forgotten.py`):
    "events", E lists of names; "gained" and "lost", float64 [E, K]; "steps" and "observations", int64 [E, K].
    """

    messages: list[bytes]  # R
    changes: np.ndarray  # int8 [R, C]
    gained: np.ndarray  # float64 [R, K]
    lost: np.ndarray  # float64 [R, K], at least 0
    steps: np.ndarray  # int64 [R, K]
    ends: dict[str, Any]  # a snapshot of `Ends`
    others: dict[str, Any]

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
            no_others(ledger.steps.shape[1]),
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
    others = _others_together([part.others for part in parts], skills)
    changes = codes.reshape(len(place), len(CHANGES))
    return Paid(messages, changes, gained, lost, steps, ends.snapshot(), others)


def no_others(skills: int, events: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """`Paid.others` of these combinations of events, with all sums 0."""
    kinds = {"gained": np.float64, "lost": np.float64, "steps": np.int64, "observations": np.int64}
    sums = {name: np.zeros((len(events), skills), kind) for name, kind in kinds.items()}
    return {"events": [list(names) for names in events], **sums}


def _others_together(parts: Sequence[dict[str, Any]], skills: int) -> dict[str, Any]:
    """The sum of several `Paid.others`."""
    place: dict[tuple[str, ...], int] = {}
    rows = [
        np.array([place.setdefault(tuple(names), len(place)) for names in part["events"]], np.int64)
        for part in parts
    ]
    whole = no_others(skills, list(place))
    for part, own in zip(parts, rows, strict=True):
        for name in ("gained", "lost", "steps", "observations"):
            np.add.at(whole[name], own, part[name])
    return whole
