"""Tests whether a judge obeys each clause of a skill's text, with pairs of captions that differ in one fact.

Each pair starts from a real observation without notable facts. One fact is added: a change, or a sentence of
the game at the end of the message. The skill's text says whether the fact makes the observation better or
worse. The result is a counterfactual: a plausible observation that was not collected.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from maestromotif.collect.captions import Telling
from maestromotif.nethack.state import CHANGES
from maestromotif.quality.figures import Figure, share
from maestromotif.quality.gold import MOST_BYTES, Side
from maestromotif.quality.measures import Measures, change_of
from maestromotif.quality.oracle import score

# A message with one of these words already says where the agent is or went, or asks a question. It takes no
# further fact.
_CLOSED = re.compile(
    r"stair|ladder|trap ?door|hole|level|can't go|climb|\bfall|ceiling|altar|\?", re.IGNORECASE
)


class Probe(NamedTuple):
    """A pair of captions; the first one has the clause's fact."""

    clause: str
    a: str
    b: str
    target: float  # 1 if a is better by the text, 0 if b is


def probes(
    measures: Measures,
    observations: Iterable[tuple[str, Sequence[int]]],
    spoken: Sequence[str],
    most: int,
    random: np.random.Generator,
    telling: Telling = "events",
) -> list[Probe]:
    """At most `most` pairs for each clause of a skill.

    observations: messages and changes (codes in the order of `CHANGES`). Uses only those without a
    change, a move, or a fact that the scripted oracle knows to be good or bad. Skips clauses about changes
    that are not `spoken`.
    """
    if not measures.clauses:
        return []
    plain = sorted(
        {
            message
            for message, changes in observations
            if not any(changes)
            and not _CLOSED.search(message)
            and score(measures.worth, message, (0,) * len(CHANGES)) == 0
        }
    )
    found = []
    for clause in measures.clauses:
        changes = [change_of(fact) for fact in (clause.fact, clause.instead)]
        if all(change is None or change[0] in spoken for change in changes):
            drawn = sorted(random.permutation(len(plain))[:most].tolist())
            sides = ((with_fact(plain[i], clause.fact), with_fact(plain[i], clause.instead)) for i in drawn)
            found += [
                Probe(
                    clause.words, a.caption(spoken, telling), b.caption(spoken, telling), float(clause.good)
                )
                for a, b in sides
                if len(a.message.encode("latin-1")) <= MOST_BYTES
            ]
    return found


def figures(found: Sequence[Probe], margin: np.ndarray) -> dict[str, Figure]:
    """Clause -> share of the margins, float64 [n], that agree with the text; NaN counts as disagreement."""
    target = np.array([probe.target for probe in found], np.float64)
    right = np.sign(margin) == np.sign(target - 0.5)
    clauses = np.array([probe.clause for probe in found], object)
    return {clause: share(right[clauses == clause]) for clause in dict.fromkeys(clauses.tolist())}


def with_fact(message: str, fact: str) -> Side:
    """An observation without changes, plus one fact; "" for none."""
    change = change_of(fact)
    if change is None:
        return Side("  ".join(part for part in (message.rstrip(), fact) if part), (0,) * len(CHANGES))
    return Side(message, tuple(change[1] if name == change[0] else 0 for name in CHANGES))
