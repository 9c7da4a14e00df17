"""Tables of rules: their text, their grammar, and what the program of a table does."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maestromotif.compose import rules
from maestromotif.errors import UserError
from maestromotif.programs import check
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill, load, load_all

ROOT = Path(__file__).parents[2]
NAMES = ("discoverer", "descender", "ascender")
TEXT = """\
when badly_hurt and not in_mines use ascender
when after(depth >= 2, depth == 1) use discoverer
when not after(kills >= 1 and depth == 1) use discoverer
when downstairs_seen and depth < 2 use descender
otherwise use discoverer
"""


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load(ROOT / "skills", name) for name in NAMES]


def test_a_text_is_read_and_written() -> None:
    table = rules.parse(TEXT, NAMES)
    assert str(table) == TEXT
    messy = "# a comment\n\n  " + TEXT.replace(" >= ", ">=").replace(" and ", "   and  ")
    assert rules.parse(messy, NAMES) == table


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("when dept > 2 use descender", "no fact 'dept'; did you mean 'depth'"),
        ("when depth > 2 use descnder", "no skill 'descnder'; did you mean 'descender'"),
        ("when depth use descender", "'depth' is a number"),
        ("when in_mines == 1 use descender", "'in_mines' is true or false"),
        ("when depth > 999999 use descender", "greater than"),
        ("when after(depth > 1, depth > 2, depth > 3, depth > 4) use descender", "4 stages"),
        ("when after(after(depth > 1)) use descender", "cannot read 'after(depth > 1)'"),
        ("when depth > 1 or kills > 1 use descender", "cannot read"),
        ("use descender", "should be 'when CONDITION use SKILL'"),
    ],
)
def test_a_mistake_is_told_with_its_line(line: str, says: str) -> None:
    with pytest.raises(UserError, match=r"^t:2: ") as told:
        rules.parse(f"\n{line}\notherwise use discoverer\n", NAMES, "t")
    assert says in str(told.value)


def test_a_table_ends_with_otherwise() -> None:
    with pytest.raises(UserError, match="t:1: the last line should be 'otherwise use SKILL'"):
        rules.parse("when depth > 1 use ascender", NAMES, "t")
    with pytest.raises(UserError, match=r"t:2: .*nothing can follow"):
        rules.parse("otherwise use ascender\notherwise use ascender", NAMES, "t")
    with pytest.raises(UserError, match="13 rules; at most 12"):
        rules.parse("when depth > 1 use ascender\n" * 13 + "otherwise use ascender", NAMES, "t")


def test_tidy_leaves_out_what_no_game_reaches() -> None:
    table = rules.parse(
        "when depth > 1 use ascender\nwhen kills > 1 and depth > 1 use descender\n"
        "when gold > 1 use discoverer\notherwise use discoverer\n",
        NAMES,
    )
    assert str(table.tidy()) == "when depth > 1 use ascender\notherwise use discoverer\n"


def test_the_facts_are_fields_with_docs() -> None:
    assert all(fact.type in (int, bool) and fact.doc.endswith(".") for fact in rules.FACTS.values())
    assert all(name in rules.grammar(NAMES) for name in (*rules.FACTS, *NAMES, *rules.OPS))


def test_the_grammar_asks_first_for_what_comes_after_each_stage() -> None:
    stages = (rules.stage("kills >= 1 and depth == 1"), rules.stage("in_mines"))
    root = rules.grammar(NAMES, stages).splitlines()[0]
    assert root == (
        'root ::= "when after(kills >= 1 and depth == 1, in_mines)" more '
        '"when after(kills >= 1 and depth == 1)" more rule{1,3} "otherwise use " skill "\\n"'
    )


def test_a_program_of_every_fact_passes_all_checks(skills: list[Skill]) -> None:
    lines = [
        f"when {name}{' >= 2' if fact.type is int else ''} and not after(depth >= 2) use ascender\n"
        for name, fact in rules.FACTS.items()
    ]
    for begin in range(0, len(lines), rules.MOST_RULES):
        text = "".join(lines[begin : begin + rules.MOST_RULES]) + "otherwise use discoverer\n"
        check.program(rules.program(rules.parse(text, NAMES), "Any words."), "p.py", skills)


def test_what_a_program_does_depends_on_its_own_game_only(skills: list[Skill]) -> None:
    counts = check.behaviour(rules.program(rules.parse(TEXT, NAMES), "words"), "p.py", skills, seed=0)
    assert counts["calls"]["discoverer"] > 0


@pytest.mark.parametrize("name", ["experience_pick_up", "kill_then_descend", "pray_eating"])
def test_a_program_decides_as_that_of_an_older_version(name: str) -> None:
    """In random states, also rare ones. The repository keeps programs as they were made of their tables."""
    was = (ROOT / f"policies/composed/{name}/program.py").read_text()
    table = "\n".join(re.findall("^    #   (.*)", was, re.MULTILINE))
    skills = load_all(ROOT / "skills", [*NAMES, "merchant", "worshipper", "survivor"])
    now = rules.program(rules.parse(table, [one.name for one in skills]), "words")
    dice, running, calls = Dice(64, 4, rare=0.01), np.full(64, -1, np.int32), 0
    with ProgramHost(was, skills, 64, 0) as one, ProgramHost(now, skills, 64, 0) as other:
        for _ in range(200):
            given = dice.state, running, dice.fresh
            found, switched, reason = one.step(*given)
            for expected, answer in zip((found, switched, reason), other.step(*given), strict=True):
                np.testing.assert_array_equal(answer, expected)
            dice.advance(found, switched)
            running, calls = found, calls + switched.sum()
    assert calls > 1_000


class _Played:
    """One simulated game under a table, whose state the test sets."""

    def __init__(self, text: str, skills: list[Skill]) -> None:
        self._host = ProgramHost(rules.program(rules.parse(text, NAMES), "words"), skills, 1, 0)
        self.state = Dice(1, 0).state
        self._running = np.array([-1], np.int32)

    def step(self, fresh: bool = False, **values: int) -> str:
        """The skill that runs after a step on which these fields got these values."""
        for name, value in {"step": self.state["step"][0] + 1, **values}.items():
            self.state[name][0] = value
        running, switched, _ = self._host.step(self.state, self._running, np.array([fresh]))
        if switched[0]:
            self.state["skill_start_depth"][0] = self.state["depth"][0]
            self.state["skill_turns"][0] = self.state["skill_steps"][0] = 0
        self._running = running
        self.told = self._host.told.get(0, "")
        return NAMES[running[0]]

    def __enter__(self) -> "_Played":
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()


def test_after_remembers_stages_in_their_order(skills: list[Skill]) -> None:
    text = "when after(depth >= 2, depth == 1) use descender\nwhen depth >= 2 use ascender\n"
    with _Played(text + "otherwise use discoverer\n", skills) as game:
        assert game.step(fresh=True) == "discoverer"
        assert game.step(depth=2) == "ascender"
        assert game.step(depth=1) == "descender"
        assert game.step(depth=2) == "descender"  # for ever
        assert game.step(depth=1, fresh=True) == "discoverer"  # of this episode only


def test_a_rule_interrupts_those_below_and_gives_way_when_it_ends(skills: list[Skill]) -> None:
    with _Played("when badly_hurt use descender\notherwise use discoverer\n", skills) as game:
        assert game.step(fresh=True) == "discoverer"
        assert game.told == "otherwise"
        assert game.step(hp=1) == "descender"
        assert game.told == "when badly_hurt"
        assert game.step(hp=14) == "discoverer"


def test_a_skill_that_cannot_start_gives_way(skills: list[Skill]) -> None:
    with _Played("when kills >= 1 use ascender\notherwise use discoverer\n", skills) as game:
        assert game.step(fresh=True) == "discoverer"
        assert game.step(kills=1) == "discoverer"  # the ascender may not start on level 1
        assert game.step(depth=2) == "discoverer"  # it is not asked for again at once
        assert game.step(step=int(game.state["step"][0]) + rules.RETRY) == "ascender"


def test_a_skill_that_failed_rests(skills: list[Skill]) -> None:
    with _Played("when downstairs_seen use descender\notherwise use discoverer\n", skills) as game:
        assert game.step(fresh=True, downstairs_seen=0) == "discoverer"
        assert game.step(downstairs_seen=1) == "descender"
        assert game.step(skill_turns=500) == "discoverer"  # its time was up on the same level
        assert game.step() == "discoverer"
        assert game.step(step=int(game.state["step"][0]) + rules.REST) == "descender"


def test_an_interruption_that_came_to_nothing_is_forgotten(skills: list[Skill]) -> None:
    """A program interrupts while no skill may start, so the call goes on; later it ends by itself."""
    poor = "def may_start(state):\n    return state.gold == 0\n"
    poor += "def should_end(state):\n    return state.hp == 1\n"
    text = "when kills >= 1 use ascender\nwhen depth >= 1 use descender\notherwise use discoverer\n"
    with _Played(text, [replace(one, program=poor) for one in skills]) as game:
        assert game.step(fresh=True) == "descender"
        assert game.step(kills=1, gold=1) == "descender"
        assert game.step(kills=0, gold=0, hp=1) == "discoverer"  # the descender rests, as after any end
