"""Causes of death as NetHack writes them, and as they are counted."""

import pytest

from maestromotif.nethack.death import CAUSE_GROUPS, cause_group, cause_of_death


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
        (b"killed by the ghost of Agent", "killed by a ghost"),
        (b"killed by a kitten called Tama, while praying", "killed by a kitten, while praying"),
        (b"killed by the wrath of Anhur, while praying", "killed by the wrath of a god, while praying"),
        (b"", "unknown"),
    ],
)
def test_names_are_left_out(entry: bytes, cause: str) -> None:
    assert cause_of_death(entry) == cause


@pytest.mark.parametrize(
    ("group", "entries"),
    [
        ("god", ["killed by the wrath of Anhur", "killed by an air elemental of Huhetotl"]),
        ("god", ["killed by a minotaur, while praying"]),
        ("hunger", ["died of starvation", "killed by a fox, while fainted from lack of food"]),
        ("eating", ["choked on a food ration", "poisoned by a rotted newt corpse"]),
        ("eating", ["killed by a poisonous corpse"]),
        ("poison", ["poisoned by a little dart", "poisoned by a soldier ant"]),
        ("petrified", ["petrified by a cockatrice corpse", "turned to slime by a green slime"]),
        ("drowned", ["drowned in a moat by a giant eel", "burned by molten lava"]),
        ("helpless", ["killed by a jackal, while sleeping", "killed by a newt, while frozen by a potion"]),
        ("trap", ["fell into a pit", "deliberately plunged into a pit of iron spikes"]),
        ("trap", ["killed by a bear trap", "killed by a falling rock", "killed by an exploding large box"]),
        ("magic", ["killed by a wand", "killed by a bolt of cold", "killed by boiling potions"]),
        ("magic", ["killed by a burning scroll", "killed by a death ray", "killed by a potion of acid"]),
        ("accident", ["killed by kicking a wall", "killed by kicking a boulder"]),
        ("accident", ["killed by falling downstairs", "killed by an iron ball collision"]),
        ("missile", ["killed by an arrow", "killed by an orcish dagger", "killed by a crossbow bolt"]),
        ("peaceful", ["killed by Mr. Asidonhopo, the shopkeeper", "killed by a high priest of Anhur"]),
        ("monster", ["killed by a jackal", "killed by Medusa", "killed by an invisible dwarf king"]),
        ("monster", ["killed by a pit viper", "killed by a rock piercer", "killed by the ghost of Agent"]),
        ("monster", ["killed by a gas spore's explosion"]),
        ("other", [""]),
    ],
)
def test_causes_are_counted_in_groups(group: str, entries: list[str]) -> None:
    assert [[*CAUSE_GROUPS][cause_group(entry.encode())] for entry in entries] == [group] * len(entries)
