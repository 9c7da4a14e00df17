"""The scripted oracle: preferences computed from the game's events by a fixed table, to measure judges.

It scores an observation by its changes and by the events that `maestromotif.nethack.events` finds in its
message. A file beside the skill says what each of these facts is worth (maestromotif.quality.measures). The
oracle is exact for facts that have an event and blind to others: it does not see that the agent stands on an
altar, sacrifices, is refused by a shopkeeper or finds a hidden door. Figures that use it carry its name. It
never labels pairs that a reward model learns from.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from maestromotif.nethack.events import EVENTS, read
from maestromotif.nethack.state import CHANGES

NAME = "oracle (scripted)"


def facts(message: str, changes: Sequence[int]) -> list[str]:
    """The facts about an observation: changes first, then events in the order of `EVENTS`.

    message: Latin-1 text. changes: one code for each change of `CHANGES`.
    """
    told = [
        f"{name}: {change.names[code]}"
        for (name, change), code in zip(CHANGES.items(), changes, strict=False)
        if code
    ]
    counts = read(message.encode("latin-1")).counts
    return told + [name for name, count in zip(EVENTS, counts, strict=True) if count]


def kind(message: str, changes: Sequence[int]) -> str:
    """The first fact of an observation; without facts "no event", without a message "nothing"."""
    return next(iter(facts(message, changes)), "no event" if message.strip() else "nothing")


def score(worth: Mapping[str, float], message: str, changes: Sequence[int]) -> float:
    """The worth of an observation to a skill: the lowest worth if any fact is bad, else the highest.

    worth: fact -> worth to the skill (`Measures.worth`). Message and changes as in `facts`.
    """
    found = [worth.get(fact, 0.0) for fact in facts(message, changes)]
    return min(found) if any(value < 0 for value in found) else max(found, default=0.0)


def scores(worth: Mapping[str, float], messages: Sequence[str], changes: np.ndarray) -> np.ndarray:
    """float64 [n]: `score` of n observations; changes int [n, len(CHANGES)]."""
    pairs = zip(messages, changes.tolist(), strict=True)
    return np.array([score(worth, message, codes) for message, codes in pairs], np.float64)


def labels(score: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float64 [P] of pairs int [P, 2] of scores [n]: 1 if the first is better, 0 if worse, 0.5 if equal."""
    return np.asarray((np.sign(score[pairs[:, 0]] - score[pairs[:, 1]]) + 1) / 2, np.float64)
