"""Causes of death as NetHack writes them, and as they are counted."""

import pytest

from maestromotif.nethack.death import cause_of_death


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        (b"killed by a jackal", "killed by a jackal"),
        (b"killed by a hallucinogen-distorted jackal", "killed by a jackal"),
        (b"killed by Ms. Sipaliwini, the shopkeeper", "killed by a shopkeeper"),
        (b"killed by Mr. Asidonhopo; the shopkeeper", "killed by a shopkeeper"),
        (b"killed by the wrath of Chih Sung-tzu", "killed by the wrath of a god"),
        (b"killed by an earth elemental of Chih Sung-tzu", "killed by an earth elemental of a god"),
        (b"killed by a potion of acid", "killed by a potion of acid"),
        (b"killed by a kitten called Tama", "killed by a kitten"),
        (b"choked on a food ration", "choked on a food ration"),
        (b"", "unknown"),
    ],
)
def test_names_are_left_out(entry: bytes, cause: str) -> None:
    assert cause_of_death(entry) == cause
