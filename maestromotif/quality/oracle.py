"""oracle (scripted): preferences read off the game's events by a fixed table, a stick to measure judges with.

It judges an observation by what `maestromotif.nethack.events` finds in its message and by its changes, so it
is exact where a rule on events can be, and blind elsewhere: it does not see that the agent stands on an
altar, sacrifices, is refused by a shopkeeper or finds a hidden door, because no event tells that. Figures
against it carry its name, and it never labels pairs that a reward model learns from.
"""

from collections.abc import Sequence

import numpy as np

from maestromotif.nethack.events import EVENTS, read
from maestromotif.nethack.state import CHANGES

NAME = "oracle (scripted)"

# What each fact is worth to each skill, from the skills' texts: 1 and more for what achieves the goal, less
# for progress towards it, below 0 for what the text calls bad; what is not listed is worth 0. Facts are
# events by their names, and changes as "<change>: <code word>".
WORTH: dict[str, dict[str, float]] = {
    "discoverer": {
        "explored: new": 1.0,
        "downstairs: seen": 1.0,
        "upstairs: seen": 1.0,
        "killed": 1.0,
        "picked_up": 1.0,
        "depth: deeper": -1.0,
        "depth: higher": -1.0,
    },
    "descender": {
        "depth: deeper": 1.0,
        "downstairs: reached": 0.6,
        "downstairs: closer": 0.4,
        "downstairs: seen": 0.4,
        "depth: higher": -1.0,
    },
    "ascender": {
        "depth: higher": 1.0,
        "upstairs: reached": 0.6,
        "upstairs: closer": 0.4,
        "upstairs: seen": 0.4,
        "depth: deeper": -1.0,
    },
    "merchant": {
        "sold": 1.0,
        "price_offered": 0.6,
        "bought": 0.6,
        "entered_shop": 0.4,
        "price_quoted": 0.2,
        "angered_shopkeeper": -1.0,
        "stole": -1.0,
    },
    "worshipper": {
        "altar_blessed": 1.0,
        "altar_cursed": 1.0,
        "altar_uncursed": 0.8,
        "prayed": -1.0,
        "prayed_well": -1.0,
        "angered_god": -1.0,
    },
}


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


def score(skill: str, message: str, changes: Sequence[int]) -> float:
    """What an observation is worth to a skill: the worst of what is bad in it, else the best of the rest.

    Message and changes as in `facts`. Errors: KeyError for a skill that is not in `WORTH`.
    """
    worth = [WORTH[skill].get(fact, 0.0) for fact in facts(message, changes)]
    return min(worth) if any(value < 0 for value in worth) else max(worth, default=0.0)


def scores(skill: str, messages: Sequence[str], changes: np.ndarray) -> np.ndarray:
    """float64 [n]: `score` of n observations; changes int [n, len(CHANGES)]."""
    pairs = zip(messages, changes.tolist(), strict=True)
    return np.array([score(skill, message, codes) for message, codes in pairs], np.float64)


def labels(score: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float64 [P] of pairs int [P, 2] of scores [n]: 1 if the first is the better, 0 if not, 1/2 if equal."""
    return np.asarray((np.sign(score[pairs[:, 0]] - score[pairs[:, 1]]) + 1) / 2, np.float64)
