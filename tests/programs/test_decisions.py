"""The fields that programs read, by hand, and the table of a switch."""

from pathlib import Path

import numpy as np
import pytest

from maestromotif.errors import UserError
from maestromotif.nethack.state import FIELDS
from maestromotif.programs.decisions import Decisions, decision, fields_read, reads
from maestromotif.skill import load_all

ROOT = Path(__file__).parents[2]
SKILLS = load_all(ROOT / "skills", ["discoverer", "descender", "ascender"])
DOWN_AND_BACK = (ROOT / "policies/down_and_back.py").read_text()
TRAINING = (ROOT / "policies/training.py").read_text()


def test_fields_of_the_projects_programs() -> None:
    found = reads(DOWN_AND_BACK, SKILLS)
    assert found.select == ("depth", "deepest", "skill", "skill_start_depth", "downstairs_seen")
    assert found.interrupt == ("depth", "deepest", "skill", "skill_turns", "downstairs_seen")
    limits = ("depth", "skill_steps", "skill_turns", "skill_start_depth")
    assert found.ends == ((*limits, "idle_steps"), limits, limits)
    assert found.starts == ((), (), ("depth",))
    training = reads(TRAINING, SKILLS)
    stairs = ("downstairs_seen", "upstairs_seen")  # read in a method that both call
    assert training.select == ("depth", "skill", "skill_start_depth", *stairs)
    assert training.interrupt == ("skill", "skill_turns", *stairs)


def test_fields_at_a_switch() -> None:
    found = reads(DOWN_AND_BACK, SKILLS)
    assert found.at_switch(-1) == ("depth", "deepest", "skill", "skill_start_depth", "downstairs_seen")
    assert found.at_switch(0) == (
        *("depth", "deepest", "skill", "skill_steps", "skill_turns", "skill_start_depth", "idle_steps"),
        "downstairs_seen",
    )
    names = [one.name for one in SKILLS]
    assert found.readers("depth", 0, names) == [
        *("discoverer ends", "program interrupts", "program chooses", "ascender starts"),
    ]
    assert found.readers("depth", -1, names) == ["program chooses", "ascender starts"]
    assert found.readers("idle_steps", 0, names) == ["discoverer ends"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("return state.depth > 1", ("depth",)),
        ("s = state\n    return s.hp > 1", ("hp",)),
        ("return low(state)", ("hp", "max_hp")),
        ("return any(map(low, [state]))", ("hp", "max_hp")),
        ("return Memory(state).rich()", ("gold",)),
        ("return getattr(state, 'turn') > 3", ("turn",)),
        ("print('turn')\n    return False", ()),
    ],
)
def test_fields_are_followed(body: str, fields: tuple[str, ...]) -> None:
    source = (
        "class Memory:\n"
        "    def __init__(self, state):\n        self.depth = state.gold\n"
        "    def rich(self):\n        return self.depth > 5\n"
        "def low(other):\n    return other.hp < other.max_hp or low(other)\n"
        f"def should_end(state):\n    {body}\n"
    )
    assert fields_read(source, "a.py")["should_end"] == fields


def test_what_is_not_python_is_refused() -> None:
    with pytest.raises(UserError, match=r"bad\.py: not Python"):
        fields_read("def", "bad.py")


def test_changed_fields_come_first() -> None:
    now, began = {"depth": 1, "hp": 4, "turn": 9}, {"depth": 1, "hp": 7, "turn": 2}
    found = decision(("turn", "depth", "hp"), 0, 1, now, began)
    assert list(found.values.items()) == [("turn", 9), ("hp", 4), ("depth", 1)]
    assert found.before == {"turn": 2, "hp": 7}
    assert found.words == "turn 2 → 9, hp 7 → 4, depth 1"
    assert decision(("depth",), -1, 1, now, None).before == {}


def test_decisions_of_two_games() -> None:
    decisions = Decisions(DOWN_AND_BACK, SKILLS, games=2)
    state = {name: np.zeros(2, np.int32) for name in FIELDS if name != "skill"}
    state["depth"] += 1
    state["deepest"] += 1
    state["skill_start_depth"] += 1
    nothing, discoverer, descender = np.full(2, -1), np.array([0, 0]), np.array([1, 0])
    first = decisions.follow(state, nothing, discoverer, np.array([True, True]))
    assert (first[1].values["skill"], first[1].before) == ("", {})
    state = {name: column.copy() for name, column in state.items()}
    state["downstairs_seen"][0] = state["skill_steps"][0] = 5
    found = decisions.follow(state, discoverer, descender, np.array([True, False]))
    assert [*found] == [0]
    assert (found[0].ended, found[0].chosen) == (0, 1)
    assert list(found[0].values)[:3] == ["skill_steps", "downstairs_seen", "depth"]
    assert found[0].before == {"skill_steps": 0, "downstairs_seen": False}
    assert found[0].values["downstairs_seen"] is True
