"""What was paid for observations that the reward function has forgotten (`RewardFunction.forget`).

Those that moved the most are kept apart. The others are summed by the events that they tell, so the account's
sums by event stay what they are, and its captions stay those of the largest rewards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from maestromotif.agent.messages import MOST
from maestromotif.collect.observations import canonical
from maestromotif.nethack.state import CHANGES
from maestromotif.train.account import told
from maestromotif.train.paid import Ends, Paid, no_others, together


@dataclass
class Forgotten:
    """Of one environment, since the start of training.

    most: observations that are kept apart; `MOST` of them take 6 MB with five skills.
    """

    skills: int
    most: int = MOST

    def __post_init__(self) -> None:
        self._paid = Paid(
            [],
            np.zeros((0, len(CHANGES)), np.int8),
            np.zeros((0, self.skills)),
            np.zeros((0, self.skills)),
            np.zeros((0, self.skills), np.int64),
            Ends().snapshot(),
            no_others(self.skills),
        )

    def add(self, paid: Paid) -> None:
        """Add what is about to be forgotten; `paid.ends` is left out."""
        self._paid = _bounded(self.and_now(paid)._replace(ends=Ends().snapshot()), self.most)

    def and_now(self, paid: Paid) -> Paid:
        """The sum of what was forgotten and what is not."""
        return together([self._paid, paid])

    def snapshot(self) -> dict[str, Any]:
        """The state, in types that msgpack writes."""
        return self._paid._asdict()

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._paid = Paid(**snapshot)


def _bounded(paid: Paid, most: int) -> Paid:
    """The same with at most so many observations apart, those with the largest gains and losses."""
    order = np.argsort(-(paid.gained + paid.lost).sum(1), kind="stable")
    kept, summed = np.sort(order[:most]), np.sort(order[most:])
    if not len(summed):
        return paid
    codes = canonical(paid.changes[summed], tuple(CHANGES)).tolist()
    events = [told(paid.messages[row], code) for row, code in zip(summed.tolist(), codes, strict=True)]
    others = no_others(paid.steps.shape[1], events)
    for name in ("gained", "lost", "steps"):
        others[name] = getattr(paid, name)[summed]
    others["observations"] = (others["steps"] > 0).astype(np.int64)

    def rows(whole: Paid, of: np.ndarray) -> Paid:
        sums = {name: getattr(whole, name)[of] for name in ("changes", "gained", "lost", "steps")}
        return whole._replace(messages=[whole.messages[row] for row in of.tolist()], **sums)

    # `together` sums those of equal events.
    return together([rows(paid, kept), rows(paid, kept[:0])._replace(ends=Ends().snapshot(), others=others)])
