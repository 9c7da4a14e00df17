"""The scripted oracle: preferences from the game's events by a fixed table, to measure judges against.

It scores an observation by the events that `maestromotif.nethack.events` finds in its message and by its
changes. What each of these facts is worth to a skill stands beside the skill (maestromotif.quality.measures).
So the oracle is exact where a rule on events can be, and blind elsewhere: it does not see that the agent
stands on an altar, sacrifices, is refused by a shopkeeper or finds a hidden door, because no event tells
that. Figures against it carry its name, and it never labels pairs that a reward model learns from.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from maestromotif.nethack.events import EVENTS, read
from maestromotif.nethack.state import CHANGES

NAME = "oracle (scripted)"


def facts(message: str, changes: Sequence[int]) -> list[str]:
    """What is known of an observation: changes first, then events in their order.

    message: Latin-1 text. changes: one code a change of `CHANGES`.
    """
    told = [
        f"{name}: {change.names[code]}"
        for (name, change), code in zip(CHANGES.items(), changes, strict=False)
        if code
    ]
    counts = read(message.encode("latin-1")).counts
    return told + [name for name, count in zip(EVENTS, counts, strict=True) if count]


def kind(message: str, changes: Sequence[int]) -> str:
    """The first fact of an observation; "no event" if it has none, "nothing" without a message too."""
    return next(iter(facts(message, changes)), "no event" if message.strip() else "nothing")


def score(worth: Mapping[str, float], message: str, changes: Sequence[int]) -> float:
    """What an observation is worth to a skill: the worst of what is bad in it, else the best of the rest.

    worth: of facts to the skill (`Measures.worth`). Message and changes as in `facts`.
    """
    found = [worth.get(fact, 0.0) for fact in facts(message, changes)]
    return min(found) if any(value < 0 for value in found) else max(found, default=0.0)


def scores(worth: Mapping[str, float], messages: Sequence[str], changes: np.ndarray) -> np.ndarray:
    """float64 [n]: `score` of n observations; changes int [n, len(CHANGES)]."""
    pairs = zip(messages, changes.tolist(), strict=True)
    return np.array([score(worth, message, codes) for message, codes in pairs], np.float64)


def labels(score: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float64 [P] of pairs int [P, 2] of scores [n]: 1 if the first is the better, 0 if not, 1/2 if equal."""
    return np.asarray((np.sign(score[pairs[:, 0]] - score[pairs[:, 1]]) + 1) / 2, np.float64)
