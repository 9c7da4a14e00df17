"""The journal of a search: what is read of it, whole, cut off anywhere or damaged."""

import shutil
from pathlib import Path

import pytest
from dice_player import DicePlayer
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif import skill
from maestromotif.compose import searches, told, tree, tree_page
from maestromotif.compose.budget import Budget
from maestromotif.compose.journal import Journal, Stopped
from maestromotif.compose.operators import Edits
from maestromotif.compose.search import Rules
from maestromotif.compose.tree import Tree
from maestromotif.errors import UserError

SKILLS = skill.load_all(Path(__file__).parents[2] / "skills", ["discoverer", "descender", "ascender"])
IDENTITY = {"search": "evolution", "rungs": [2, 4], "debugs": 2, "seed": 7, "task": "be <right>"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of an evolution with crossovers."""
    path = tmp_path_factory.mktemp("search") / "journal.jsonl"
    operators = Edits(SKILLS, "Be right.", ["downstairs_seen", "depth > 2"])
    rules = Rules(rungs=(2, 4), seed=7)
    searches.run("evolution", path, operators, DicePlayer(SKILLS), Budget(13), rules, {"task": "be <right>"})
    return path


def is_prefix(shorter: Tree, longer: Tree) -> bool:
    return len(shorter.nodes) <= len(longer.nodes) and all(
        (one.number, one.operator, one.parents, one.seed, one.candidate)
        == (other.number, other.operator, other.parents, other.seed, other.candidate)
        and one.games == other.games[: len(one.games)]
        for one, other in zip(shorter.nodes, longer.nodes, strict=False)
    )


@given(share=st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_any_beginning_of_a_journal_tells_the_beginning_of_the_tree(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    content = whole.read_bytes()
    first_line = content.index(b"\n") + 1
    size = first_line + round(share * (len(content) - first_line))
    cut = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    cut.write_bytes(content[:size])
    shorter, longer = tree.load(cut), tree.load(whole)
    assert is_prefix(shorter, longer)
    assert shorter.spent.games == sum(len(node.games) for node in shorter.nodes)
    assert told.text(shorter).count("\n") == 1 + len(shorter.nodes)


def test_the_tree_is_told_in_text_and_on_a_page_that_loads_nothing(whole: Path) -> None:
    found = tree.load(whole)
    best = found.best
    assert best is not None
    text = told.text(found)
    assert text.count("← best") == 1
    assert f"{best.number} {told.made(best)}: success" in text
    assert "13 candidates" in text
    assert "the budget of 13 candidates is used up" in text
    page = tree_page.page(found, "Search of <b>")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.partition("<style>")[0]
    assert page.count("<details>") == 13
    assert page.count('class="best"') == 1
    for forbidden in ("<script", "src=", "@import"):
        assert forbidden not in page


def test_a_tree_of_one_long_chain_is_told(whole: Path) -> None:
    found = tree.load(whole)
    first = found.nodes[0]
    found.nodes = [
        tree.Node(number, "improve", (number - 1,) if number > 1 else (), 0, first.candidate)
        for number in range(1, 1501)
    ]
    assert max(map(len, told.text(found).splitlines()[1:])) < 60
    assert tree_page.page(found, "Chain").count("<details>") == 1500


def test_half_a_line_is_cut_off_before_the_search_goes_on(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    content = whole.read_bytes()
    path.write_bytes(content + b'{"seconds":3.1,"kind":"st')
    with Journal(path, IDENTITY) as journal:
        journal.add(Stopped(why="tired", seconds=99))
    assert path.read_bytes().startswith(content)
    assert tree.load(path).stopped == "tired"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"number":1,', '"number":one,', r":2: is damaged: Invalid JSON"),
        ('"operator":"draft"', '"operator":"dream"', r":2: is damaged: candidate\.operator: Input should be"),
        ('"number":2,', '"number":7,', r":\d+: is damaged: candidate 7 comes after candidate 1; restore"),
        ('"candidate":1,"first":0', '"candidate":9,"first":0', "there is no candidate 9 before this line"),
        ('"candidate":1,"first":0', '"candidate":1,"first":2', "candidate 1 has 0 games, not 2; restore"),
        (
            '"progress":',
            '"progress":NaN,"was":',
            r":\d+: is damaged: .*progress: Input should be a finite number",
        ),
        ('"kind":"stop"', '"kind":"pause"', "is damaged: Input tag 'pause'"),
    ],
)
def test_a_damaged_line_is_named(whole: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "journal.jsonl"
    text = whole.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=f"journal.jsonl.*{message}"):
        tree.load(path)


def test_no_other_file_is_taken_for_a_journal(tmp_path: Path) -> None:
    for content in ("class Program:\n    pass", "no line end"):
        path = tmp_path / "program.py"
        path.write_text(content)
        with pytest.raises(
            UserError, match=r'program.py:1: is not the journal .* begins with \{"kind":"search"'
        ):
            Journal(path, IDENTITY)
        assert path.read_text() == content
    with pytest.raises(UserError, match=r"missing\.jsonl: the journal cannot be read: No such file"):
        tree.load(tmp_path / "missing.jsonl")


def test_another_search_does_not_resume_it(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    shutil.copy(whole, path)
    with pytest.raises(
        UserError,
        match=r":1: is the journal of another search: seed is 6 here and 7 there; .* another journal",
    ):
        Journal(path, IDENTITY | {"seed": 6})
    assert path.read_bytes() == whole.read_bytes()


def test_two_searches_do_not_write_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, IDENTITY), pytest.raises(UserError, match="another process is writing this journal"):
        Journal(path, IDENTITY)
