"""Operators without a model: edits of programs and of tables, and what the check says of the results."""

import ast
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from maestromotif import skill
from maestromotif.compose import edits, rules, table_edits
from maestromotif.compose.candidates import Candidate
from maestromotif.compose.operators import Edits
from maestromotif.compose.rules import FACTS, Comparison, Flag
from maestromotif.compose.table_edits import Guards
from maestromotif.errors import UserError

ROOT = Path(__file__).parents[2]
NAMES = ["discoverer", "descender", "ascender"]
SKILLS = skill.load_all(ROOT / "skills", NAMES)
SOURCE = """\
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if state.depth < 3 and state.downstairs_seen:
            return self.prefer("descender", available)
        if state.kills == 2:
            return self.prefer("ascender", available)
        return self.prefer("discoverer", available)

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
"""
OTHER = SOURCE.replace("state.kills == 2", "state.gold >= 99").replace("state.depth < 3 and ", "")
TABLE = """\
when after(depth >= 2, kills >= 1) use ascender
when downstairs_seen and depth < 3 use descender
otherwise use discoverer
"""
MATERIAL = edits.Material(NAMES, lambda random: "state.altar_in_view", OTHER)


def changed_lines(before: str, after: str) -> set[str]:
    """Lines that only the second has, without their indentation."""
    return {line.strip() for line in after.splitlines()} - {line.strip() for line in before.splitlines()}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("shift", "if state.kills == 3:"),
        ("flip", "if state.depth >= 3 and state.downstairs_seen:"),
        ("drop", "if state.depth < 3:"),
        ("add", "if state.kills == 2 and state.altar_in_view:"),
        ("rename", "return self.prefer('ascender', available)"),
        ("copy", "if state.gold >= 99:"),
    ],
)
def test_an_edit_of_a_program_changes_one_place(name: str, line: str) -> None:
    plain = ast.unparse(ast.parse(SOURCE))
    made = {edits.edited(SOURCE, Random(seed), MATERIAL, [name]) for seed in range(40)}
    assert None not in made
    assert any(text is not None and line in {one.strip() for one in text.splitlines()} for text in made)
    for text in made:
        assert text is not None
        ast.parse(text)
        assert len(changed_lines(plain, text)) <= (2 if name == "copy" else 1)


def test_branches_change_places() -> None:
    made = {edits.edited(SOURCE, Random(seed), MATERIAL, ["swap"]) for seed in range(20)}
    texts = [text for text in made if text is not None]
    assert any(text.index("kills") < text.index("depth") for text in texts)
    assert any("return available[0] if wanted in available else wanted" in text for text in texts)


@pytest.mark.parametrize("program", sorted((ROOT / "policies").glob("*.py")), ids=lambda path: path.stem)
def test_programs_of_the_project_can_be_edited(program: Path) -> None:
    source = program.read_text()
    for name in edits.EDITS:
        for seed in range(3):
            made = edits.edited(source, Random(seed), MATERIAL, [name])
            assert made is None or ast.parse(made)
    assert edits.edited(source, Random(0), MATERIAL) is not None


def test_the_statement_that_a_problem_names_is_removed() -> None:
    wrong = SOURCE.replace("if state.kills == 2:", "if state.kils == 2:")
    shorter = edits.without(wrong, ["candidate.py:5:18: GameState has no field 'kils'"])
    assert shorter is not None
    assert "kils" not in shorter
    assert "downstairs_seen" in shorter
    only = edits.without("def a():\n    return 1\n", ["a.py:2: wrong"])
    assert only == "def a():\n    pass\n"
    assert edits.without(SOURCE, ["candidate.py:99: no such line", "no line"]) is None
    assert edits.without("Sure!", ["candidate.py:1:5: not Python"]) is None


def test_an_edit_of_a_table_changes_one_place() -> None:
    table = rules.parse(TABLE, NAMES)
    other = rules.parse("when altar_in_view use ascender\notherwise use ascender", NAMES)
    material = table_edits.Material(NAMES, Guards(), other)
    expected = {
        "shift": "when after(depth >= 3, kills >= 1) use ascender",
        "flip": "when not downstairs_seen and depth < 3 use descender",
        "swap": "when downstairs_seen and depth < 3 use descender",
        "drop": "when downstairs_seen use descender",
        "add": "when downstairs_seen and depth < 3 and",
        "rename": "otherwise use ascender",
        "copy": "when altar_in_view use ascender",
    }
    assert set(expected) == set(table_edits.EDITS)
    for name, line in expected.items():
        texts = set()
        for seed in range(80):
            made = table_edits.edited(table, Random(seed), material, [name])
            assert made is not None
            assert rules.parse(str(made), NAMES) == made
            texts.add(str(made))
        assert any(line in text for text in texts), name
        assert name == "shift" or TABLE not in texts


def test_guards_are_often_about_the_task_and_its_numbers() -> None:
    guards = Guards(["then(depth >= 7, total(sold) >= 2)", "happened(killed)", "not (((", "altar_tests"])
    drawn = [guards.plain(Random(seed)) for seed in range(400)]
    of_task = [one for one in drawn if one.fact in ("depth", "items_sold", "kills", "altar_tests")]
    assert 0.45 < len(of_task) / len(drawn) < 0.75
    assert {one.value for one in drawn if isinstance(one, Comparison) and one.fact == "depth"} == {7}
    assert {one.value for one in drawn if isinstance(one, Comparison) and one.fact == "items_sold"} == {2}
    assert {one.fact for one in drawn} > {"gold", "hungry"}
    assert all(isinstance(one, Flag) == (FACTS[one.fact].type is bool) for one in drawn)


def test_numbers_are_those_of_simulated_games() -> None:
    numbers = table_edits.usual_numbers()
    assert set(numbers) == {name for name, fact in FACTS.items() if fact.type is int}
    assert numbers["depth"][0] == 1
    assert 1 < numbers["depth"][-1] < 20
    assert numbers["turn"][-1] > 100


def test_each_operator_makes_programs_that_the_check_accepts_and_repeats_them() -> None:
    operators = Edits(SKILLS, "Go down and come back.", ["depth >= 2", "depth == 1"])
    drafts = [operators.draft(seed) for seed in range(4)]
    assert len({one.table for one in drafts}) == 4
    python = Candidate(SOURCE)
    made = [
        operators.improve(drafts[0], [], 5),
        operators.crossover(drafts[0], drafts[1], 6),
        operators.improve(python, [], 7),
        operators.crossover(python, Candidate(OTHER), 8),
        operators.crossover(drafts[0], python, 9),
    ]
    for one in (*drafts, *made):
        assert one.problems == ()
        assert (
            one.table is None
            or rules.program(rules.parse(one.table, NAMES), "").partition("\n")[0] in one.source
        )
    assert made[0] != drafts[0]
    assert made[2].source != ast.unparse(ast.parse(SOURCE)) + "\n"
    assert operators.draft(3) == drafts[3]
    assert operators.improve(drafts[0], [], 5) == made[0]
    assert operators.calls == 0


def test_debugging_without_a_model() -> None:
    operators = Edits(SKILLS, "words")
    wrong = Candidate(
        SOURCE.replace("if state.kills == 2:", "if state.kils == 2:"),
        problems=("candidate.py:5:18: no field",),
    )
    assert operators.debug(wrong, 0).problems == ()
    for hopeless in (
        Candidate("Sure!", problems=("candidate.py:1:5: not Python",)),
        Candidate("", "when", ("x",)),
    ):
        assert operators.debug(hopeless, 1) == operators.draft(1)


def test_without_skills_there_is_nothing_to_write() -> None:
    with pytest.raises(UserError, match="skills: the list is empty"):
        Edits([], "words")


def test_what_the_check_refuses_says_why() -> None:
    """With one skill, a program that names another is refused; the edits only draw from the skills given."""
    operators = Edits(SKILLS[:1], "words")
    wrong = replace(Candidate(SOURCE), table=None)
    made = operators.improve(wrong, [], 3)
    assert any("'descender' is not a skill of this run" in one for one in made.problems)
