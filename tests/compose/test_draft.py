"""Operators by a language model: tables by a real small one, and what a model can get wrong, scripted."""

from dataclasses import replace
from pathlib import Path

import pytest
from dice_player import DicePlayer
from scripted import Scripted

from maestromotif.compose.budget import Budget
from maestromotif.compose.candidates import Candidate, Game, Operators
from maestromotif.compose.draft import NO_CODE, WRITINGS, ProgramWriter, TableWriter, WithEdits, code_of
from maestromotif.compose.operators import Edits
from maestromotif.compose.search import Rules
from maestromotif.compose.searches import SEARCHES, run
from maestromotif.compose.transcript import Transcript
from maestromotif.compose.tree import Tree
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.language.model import LanguageModel
from maestromotif.programs import check
from maestromotif.skill import Skill, load
from maestromotif.tasks.task import Task

ROOT = Path(__file__).parents[2]
TASK = Task("t", "Go down to level 3.", "p.py", ("depth >= 3",))
SMALL = LanguageSettings(model="smollm2-135m-instruct", threads=1, context=2048)
TABLE = "when downstairs_seen use descender\notherwise use discoverer\n"
GAMES = [
    Game(True, 1.0, 40, "step 40: the task was achieved"),
    Game(False, 0.3, 90, "step 90: the hero died: killed by a jackal"),
    Game(False, 0.6, 90, "step 90: it was the last step"),
]
GOOD = """\
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]
"""


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load(ROOT / "skills", name) for name in ("discoverer", "descender", "ascender")]


def test_a_small_model_drafts_a_table_that_the_checks_accept(skills: list[Skill], tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "transcript.md")
    writer = TableWriter(backends.open_model(SMALL), TASK, skills, transcript)
    assert isinstance(writer, Operators)
    made = writer.draft(7)
    assert not made.problems
    check.program(made.source, "p.py", skills)
    assert made == writer.draft(7)
    assert writer.calls == 2
    assert "smollm2-135m-instruct wrote (seed 7)" in (tmp_path / "transcript.md").read_text()


def test_a_recorded_conversation_gives_the_same_table(skills: list[Skill], tmp_path: Path) -> None:
    path = str(tmp_path / "answers.jsonl")
    spoken = backends.open_model(SMALL.model_copy(update={"record": path}))
    made = TableWriter(spoken, TASK, skills).draft(3)
    settings = LanguageSettings(backend="recorded", model=SMALL.model, path=path)
    assert TableWriter(backends.open_model(settings), TASK, skills).draft(3) == made


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_each_search_by_a_small_model_and_by_its_recorded_answers(
    name: str, skills: list[Skill], tmp_path: Path
) -> None:
    path = str(tmp_path / "answers.jsonl")
    spoken = backends.open_model(SMALL.model_copy(update={"record": path, "context": 4096}))
    found = search_by(spoken, name, skills, tmp_path / "spoken.jsonl")
    assert found.spent.calls >= (1 if name == "oneshot" else 2)
    settings = LanguageSettings(backend="recorded", model=SMALL.model, path=path)
    again = search_by(backends.open_model(settings), name, skills, tmp_path / "recorded.jsonl")
    assert [(node.candidate, node.games) for node in again.nodes] == [
        (node.candidate, node.games) for node in found.nodes
    ]


def search_by(model: LanguageModel, name: str, skills: list[Skill], journal: Path) -> Tree:
    writer = TableWriter(model, TASK, skills)
    return run(name, journal, writer, DicePlayer(skills), Budget(calls=6), Rules(rungs=(2, 4)))


def test_a_table_that_breaks_off_is_a_problem_that_is_fed_back(skills: list[Skill]) -> None:
    model = Scripted("when downstairs_seen use desc", TABLE)
    writer = TableWriter(model, TASK, skills)
    broken = writer.draft(0)
    assert "there is no skill 'desc'" in broken.problems[0]
    assert writer.debug(broken, 1).table == TABLE
    assert broken.problems[0] in model.asked[1]


def test_the_model_is_told_of_the_worst_and_the_best_game(skills: list[Skill]) -> None:
    model = Scripted(TABLE)
    TableWriter(model, TASK, skills).improve(Candidate("", TABLE), GAMES, 0)
    assert "killed by a jackal" in model.asked[0]
    assert "was achieved" in model.asked[0]
    assert "last step" not in model.asked[0]


def test_a_larger_model_is_told_how_every_game_ended(skills: list[Skill]) -> None:
    model = Scripted(GOOD)
    ProgramWriter(model, TASK, skills).improve(Candidate(GOOD), [*GAMES, GAMES[1]], 0)
    assert (
        "- step 90: the hero died: killed by a jackal (2x)\n- step 90: it was the last step" in model.asked[0]
    )
    assert "1 achieved the task" in model.asked[0]


def test_most_improvements_of_tables_are_edits(skills: list[Skill]) -> None:
    model = Scripted(TABLE, TABLE)
    both = WithEdits(TableWriter(model, TASK, skills), Edits(skills, TASK.words, TASK.success))
    draft = both.draft(0)
    changed = [both.improve(draft, GAMES, seed) for seed in (1, 2, 3)]
    assert both.calls == 1
    assert all(one.table != TABLE for one in changed)
    both.improve(draft, GAMES, WithEdits.BY_MODEL)
    assert both.calls == 2
    both.debug(replace(draft, problems=("is the same program as candidate 1",)), 5)
    assert both.calls == 2
    assert both.choose(["a", "b", "c"], 0) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"Here it is:\n```python\n{GOOD}```\nIt explores.", GOOD),
        (f"```\n{GOOD}", GOOD),  # it was cut off
        (f"```python\nimport os\n```\nand\n```python\n{GOOD}```", GOOD),
        (f"Plan: none.\n{GOOD}", GOOD),
        ("The class Program should explore first.", None),
        ("```python\nprint('hello')\n```", None),
        ("", None),
    ],
)
def test_the_program_in_an_answer(answer: str, code: str | None) -> None:
    assert code_of(answer) == code


def test_a_model_that_never_writes_code_is_an_error(skills: list[Skill]) -> None:
    writer = ProgramWriter(Scripted(*["I would go down."] * NO_CODE), TASK, skills)
    first = writer.draft(0)
    assert first.problems == ("the answer holds no Python file with a class Program",)
    writer.debug(first, 1)
    with pytest.raises(UserError, match=r"scripted: wrote no program in 3 answers.*'I would go down\.'"):
        writer.debug(first, 2)


def test_half_a_file_is_refused_with_its_line_and_debugged(skills: list[Skill]) -> None:
    model = Scripted(f"```python\n{GOOD[:-13]}", f"```python\n{GOOD}```")
    writer = ProgramWriter(model, TASK, skills)
    broken = writer.draft(0)
    assert broken.problems
    assert broken.problems[0].startswith("program.py:3:")
    assert writer.debug(broken, 1) == Candidate(GOOD)
    assert broken.problems[0] in model.asked[1]
    assert writer.calls == 2


def test_the_ways_to_write_are_operators(skills: list[Skill]) -> None:
    for way in WRITINGS.values():
        made = way.make(Scripted() if way.asks else None, TASK, skills, Transcript(), 0)
        assert isinstance(made, Operators)
        assert made.calls == 0
