"""Does a judge obey a clause of a skill's text? Pairs of captions that differ in one fact tell.

To a real observation in which nothing of note happened one fact is added: a change, or a sentence of the
game as a further page of its message. The text says whether that makes it better or worse. What comes out is
no observation that was made, but one that might have been.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from maestromotif.nethack.state import CHANGES
from maestromotif.quality.figures import Figure, share
from maestromotif.quality.gold import MOST_BYTES, Side
from maestromotif.quality.oracle import score


class Clause(NamedTuple):
    """A clause of a skill's text, and a fact that it is about."""

    words: str
    fact: str  # "<change>: <code word>", or a sentence of the game
    good: bool  # whether the fact makes an observation better
    instead: str = ""  # a change that the other one has in its place; without it nothing


DEEPER, HIGHER = "depth: deeper", "depth: higher"
CLAUSES: dict[str, tuple[Clause, ...]] = {
    "discoverer": (
        Clause("leaving downwards never achieves the goal", DEEPER, False),
        Clause("leaving upwards never achieves the goal", HIGHER, False),
        Clause("seeing new parts is better than leaving", "explored: new", True, DEEPER),
        Clause("new parts of the level", "explored: new", True),
        Clause("finding a staircase", "downstairs: seen", True),
        Clause("killing a monster", "You kill the newt!", True),
        Clause("collecting gold", "$ - 5 gold pieces.", True),
    ),
    "descender": (
        Clause("going deeper", DEEPER, True),
        Clause("going up is bad", HIGHER, False),
        Clause("deeper, not higher", DEEPER, True, HIGHER),
        Clause("coming closer to a staircase down", "downstairs: closer", True),
        Clause("standing on a staircase down", "downstairs: reached", True),
        Clause("the staircase down, not the one up", "downstairs: reached", True, "upstairs: reached"),
    ),
    "ascender": (
        Clause("going up", HIGHER, True),
        Clause("going deeper is bad", DEEPER, False),
        Clause("higher, not deeper", HIGHER, True, DEEPER),
        Clause("coming closer to a staircase up", "upstairs: closer", True),
        Clause("standing on a staircase up", "upstairs: reached", True),
        Clause("the staircase up, not the one down", "upstairs: reached", True, "downstairs: reached"),
    ),
    "merchant": (
        Clause("selling", "You sold a dagger for 2 gold pieces.", True),
        Clause("entering a shop", '"Hello, Agent!  Welcome to Asidonhopo\'s general store!"', True),
        Clause("stealing is bad", "You stole 34 zorkmids worth of merchandise.", False),
        Clause("angering the shopkeeper is bad", "Asidonhopo gets angry!", False),
    ),
    "worshipper": (
        Clause("a flash over an item", "There is a black flash as a dagger hits the altar.", True),
        Clause("dropping on the altar", "A dagger lands on the altar.", True),
        Clause("praying is bad", "You begin praying to Huan Ti.", False),
        Clause("sacrificing is bad", "Your sacrifice is consumed in a burst of flame!", False),
    ),
}
# With these words a message tells by itself where one went or stands, or waits for an answer: nothing can be
# added to it.
_CLOSED = re.compile(
    r"stair|ladder|trap ?door|hole|level|can't go|climb|\bfall|ceiling|altar|\?", re.IGNORECASE
)


class Probe(NamedTuple):
    """A pair of captions of which the first has the clause's fact."""

    clause: str
    a: str
    b: str
    target: float  # 1 if a is the better by the text, 0 if b is


def probes(
    skill: str,
    observations: Iterable[tuple[str, Sequence[int]]],
    spoken: Sequence[str],
    most: int,
    random: np.random.Generator,
) -> list[Probe]:
    """At most `most` pairs for each clause of the skill, none for a skill without clauses.

    observations: messages and changes (codes in the order of `CHANGES`), of which those are taken
    that tell no change, no move, and nothing that the scripted oracle knows to be good or bad. Clauses on
    changes that are not `spoken` of are left out.
    """
    if skill not in CLAUSES:
        return []
    plain = sorted(
        {
            message
            for message, changes in observations
            if not any(changes) and not _CLOSED.search(message) and _neutral(skill, message)
        }
    )
    found = []
    for clause in CLAUSES[skill]:
        changes = [fact.partition(": ")[0] for fact in (clause.fact, clause.instead) if _is_change(fact)]
        if all(change in spoken for change in changes):
            drawn = sorted(random.permutation(len(plain))[:most].tolist())
            sides = ((_with(plain[i], clause.fact), _with(plain[i], clause.instead)) for i in drawn)
            found += [
                Probe(clause.words, a.caption(spoken), b.caption(spoken), float(clause.good))
                for a, b in sides
                if len(a.message.encode("latin-1")) <= MOST_BYTES
            ]
    return found


def figures(found: Sequence[Probe], margin: np.ndarray) -> dict[str, Figure]:
    """How often the margins, float64 [n], say what the text says, clause by clause; NaN counts as not."""
    target = np.array([probe.target for probe in found], np.float64)
    right = np.sign(margin) == np.sign(target - 0.5)
    clauses = np.array([probe.clause for probe in found], object)
    return {clause: share(right[clauses == clause]) for clause in dict.fromkeys(clauses.tolist())}


def _neutral(skill: str, message: str) -> bool:
    return score(skill, message, (0,) * len(CHANGES)) == 0


def _is_change(fact: str) -> bool:
    name, _, word = fact.partition(": ")
    return name in CHANGES and word in CHANGES[name].codes


def _with(message: str, fact: str) -> Side:
    """An observation without changes, and one fact more; "" for none."""
    if not _is_change(fact):
        return Side("  ".join(part for part in (message.rstrip(), fact) if part), (0,) * len(CHANGES))
    of, _, word = fact.partition(": ")
    return Side(message, tuple(change.codes[word] if name == of else 0 for name, change in CHANGES.items()))
