"""The distinct observations that training has met, for rewards that are learned during training."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from maestromotif.agent.messages import MOST

Observation = tuple[bytes, tuple[int, ...]]  # message, and changes as captions state them


class Seen:
    """How often each was met. Of more than `most`, those that come first in a random order are kept.

    The order is fixed: a hash of the observation. So what is kept is a fair sample of what was ever met, and
    is the same after a stop. An observation takes about 600 bytes, so `MOST` of them take 10 MB.
    """

    def __init__(self, most: int = MOST) -> None:
        self.count: Counter[Observation] = Counter()
        self._most = most

    def add(self, met: Iterable[tuple[Observation, int]]) -> None:
        """met: what a rollout has met, and how often."""
        for observation, times in met:
            self.count[observation] += times
        if len(self.count) > self._most:
            first = sorted(self.count, key=_place)[: self._most - self._most // 8]  # not again at once
            self.count = Counter({observation: self.count[observation] for observation in first})

    def snapshot(self) -> list[list[Any]]:
        """The state for `restore`, in types that msgpack writes."""
        return [[message, list(changes), times] for (message, changes), times in self.count.items()]

    def restore(self, snapshot: Iterable[Any]) -> None:
        for message, changes, times in snapshot:
            self.count[message, tuple(changes)] = times


def _place(observation: Observation) -> tuple[bytes, Observation]:
    return hashlib.blake2b(repr(observation).encode(), digest_size=8).digest(), observation
