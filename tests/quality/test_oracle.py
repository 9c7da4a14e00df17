"""The scripted oracle: real messages, and how far it agrees with the gold set."""

from pathlib import Path

import numpy as np
import pytest

from maestromotif.quality import gold, measures, oracle
from maestromotif.quality.oracle import facts, kind, labels, score, scores

SKILLS = Path(__file__).parents[2] / "skills"
MEASURES = measures.load_all(SKILLS, ["discoverer", "descender", "ascender", "merchant", "worshipper"])
SAME, DEEPER, HIGHER = (0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0)
STOLE = "You escaped the shop without paying!  You stole 34 zorkmids worth of merchandise.  An alarm sounds!"


# Messages that NetHack 3.6.7 was seen to write, and what they are worth.
@pytest.mark.parametrize(
    ("skill", "message", "changes", "worth"),
    [
        ("discoverer", "You kill the newt!", SAME, 1.0),
        ("discoverer", "$ - 5 gold pieces.", SAME, 1.0),
        ("discoverer", "You kill the newt!", DEEPER, -1.0),  # leaving spoils whatever came with it
        ("discoverer", "The gnome is killed!", SAME, 0.0),
        ("discoverer", "", (0, 1, 0, 0), 1.0),
        ("descender", "You descend the stairs.", DEEPER, 1.0),
        ("descender", "You climb up the stairs.", HIGHER, -1.0),
        ("descender", "There is a staircase down here.", (0, 0, 3, 0), 0.6),
        ("descender", "The water nymph escapes downstairs!", SAME, 0.0),
        ("ascender", "You climb up the stairs.", HIGHER, 1.0),
        ("ascender", "Beware, there will be no return!  Still climb? [yn] (n) n", SAME, 0.0),
        ("merchant", "You sold a curved wand for 75 gold pieces.", SAME, 1.0),
        (
            "merchant",
            "Manlobbi offers 75 gold pieces for your steel wand.  Sell it? [ynaq] (y) ",
            SAME,
            0.6,
        ),
        (
            "merchant",
            "Manlobbi offers 75 gold pieces for your steel wand.  Sell it? [ynaq] (y) n",
            SAME,
            0.0,
        ),
        ("merchant", STOLE, SAME, -1.0),
        ("merchant", "You drop a white potion.  Oguhmk seems uninterested.", SAME, 0.0),
        ("worshipper", "There is a black flash as a cyan potion hits the altar.", SAME, 1.0),
        ("worshipper", "A white potion lands on the altar.", SAME, 0.8),
        ("worshipper", "You drop a white potion.", SAME, 0.0),
        ("worshipper", "You finish your prayer.  You feel that Chih Sung-tzu is pleased.", SAME, -1.0),
        ("worshipper", "You are momentarily blinded by a flash of light!", SAME, 0.0),
    ],
)
def test_what_an_observation_is_worth(
    skill: str, message: str, changes: tuple[int, ...], worth: float
) -> None:
    assert score(MEASURES[skill].worth, message, changes) == worth


def test_facts_and_kinds() -> None:
    assert facts(STOLE, (0, 1, 0, 2)) == ["explored: new", "upstairs: closer", "stole", "angered_shopkeeper"]
    assert kind(STOLE, SAME) == "stole"
    assert kind("You stop waiting.", SAME) == "no event"
    assert kind(" ", SAME) == "nothing"


def test_labels_follow_the_scores() -> None:
    worth = scores(
        MEASURES["descender"].worth, ["", "You descend the stairs.", ""], np.array([SAME, DEEPER, SAME])
    )
    np.testing.assert_array_equal(worth, [0, 1, 0])
    np.testing.assert_array_equal(labels(worth, np.array([[1, 0], [0, 1], [0, 2]])), [1, 0, 0.5])


def test_agreement_with_the_gold_set() -> None:
    """It sees no difference in 17 of 300 pairs that a reader decides, and contradicts none."""
    right = {}
    for skill, pairs in gold.load_all(SKILLS, [*LEAST]).items():
        sides = [side for pair in pairs for side in (pair.a, pair.b)]
        changes = np.array([side.changes for side in sides])
        worth = scores(MEASURES[skill].worth, [side.message for side in sides], changes)
        said = labels(worth, np.arange(2 * len(pairs)).reshape(-1, 2))
        target = np.array([pair.target for pair in pairs])
        assert ((said == target) | (said == 0.5)).all()
        right[skill] = int((said == target).sum())
    assert all(right[skill] >= least for skill, least in LEAST.items())
    assert sum(right.values()) >= 283
    assert oracle.NAME == "oracle (scripted)"


# Pairs of 60. What it cannot see: hidden doors and passages; an angry shopkeeper's greeting, one with two
# names; standing on an altar, sacrifices, blows at an altar.
LEAST = {"discoverer": 57, "descender": 60, "ascender": 60, "merchant": 56, "worshipper": 50}
