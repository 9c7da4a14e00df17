"""Measures of a skill: correct files are read; every mistake gets a message with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.errors import UserError
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES
from maestromotif.quality import gold, measures
from maestromotif.quality.measures import Clause, Measures

SKILLS = Path(__file__).parents[2] / "skills"
RIGHT = """worth:
  "depth: deeper": 1
  killed: -0.5
clauses:
  - words: going deeper
    fact: "depth: deeper"
    good: true
    instead: "depth: higher"
  - words: killing is bad
    fact: You kill the newt!
    good: false
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = measures.path_of(tmp_path, "digger")
    path.parent.mkdir()
    path.write_text(RIGHT)
    assert measures.load_all(tmp_path, ["digger", "sleeper"]) == {
        "digger": Measures(
            {"depth: deeper": 1.0, "killed": -0.5},
            (
                Clause("going deeper", "depth: deeper", True, "depth: higher"),
                Clause("killing is bad", "You kill the newt!", False),
            ),
        )
    }


def test_every_skill_with_gold_pairs_has_measures() -> None:
    names = sorted(path.stem for path in (SKILLS / gold.FOLDER).glob("*.jsonl"))
    assert len(names) == 5
    assert all(known.worth and known.clauses for known in measures.load_all(SKILLS, names).values())
    assert [*measures.load_all(SKILLS, names)] == names


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        (RIGHT, "", 1, "the file: must be lines of 'key: value' with keys such as worth, clauses"),
        ('"depth: deeper": 1', f"killed: {'9' * 400}", 2, "cannot be read as int"),
        (RIGHT, "{}", 1, "empty; it needs worth or clauses"),
        ('"depth: deeper": 1', "depth: deeper: 1", 2, 'quotes, as in "depth: deeper"'),
        ("worth:", "wort:", 1, "unknown key 'wort'; did you mean 'worth'?"),
        ("  killed:", "  kiled:", 3, "worth: unknown fact 'kiled'; did you mean 'killed'?"),
        ('"depth: deeper": 1', '"depth: deper": 1', 2, "did you mean 'depth: deeper'?"),
        (
            "killed: -0.5",
            "killed: yes",
            3,
            "worth of 'killed': must be a number such as 1.0 or -1.0, got True",
        ),
        ("killed: -0.5", "killed: .nan", 3, "must be a number"),
        ("killed: -0.5", "killed: [1]", 3, "must be a number"),
        ("killed:", '"depth: deeper":', 3, "'depth: deeper' is given twice"),
        ("    good: true\n", "", 5, "a clause lacks 'good'; it needs words, fact and good"),
        ("good: true", "good: 1", 7, "good: must be true or false, got 1"),
        ('"depth: higher"', "You stop.", 8, "instead: 'You stop.' is not a change; known are depth: deeper"),
        ('fact: "depth: deeper"', 'fact: "depth: deepest"', 6, "did you mean 'depth: deeper'?"),
        ("You kill the newt!", "killed", 10, "'killed' is an event; write a message of the game"),
        ("You kill the newt!", "Ça!", 10, "fact: must be ASCII with at most 255 characters"),
        ("You kill the newt!", "2026-99-99x", None, ""),
        ("You kill the newt!", "12", 10, "fact: must be text, got 12"),
        ("killing is bad", "going deeper", 9, "words: 'going deeper' is used twice"),
        ("    good: true\n", "    good: true\n    bad: 1\n", 8, "a clause: unknown key 'bad'"),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, old: str, new: str, line: int | None, says: str
) -> None:
    path = tmp_path / "digger.yaml"
    path.write_text(RIGHT.replace(old, new, 1))
    if line is None:
        measures.load(path)
        return
    with pytest.raises(UserError) as caught:
        measures.load(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert says in str(caught.value)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = measures.path_of(tmp_path, "digger")
    path.parent.mkdir()
    path.write_text(RIGHT.replace("killed", "kiled").replace("good: true", "good: maybe"))
    (path.parent / "singer.yaml").write_bytes(b"\xff")
    with pytest.raises(UserError) as caught:
        measures.load_all(tmp_path, ["digger", "singer"])
    assert len(str(caught.value).splitlines()) == 3
    assert "not UTF-8 text" in str(caught.value)


@given(st.sampled_from([*EVENTS, *CHANGES, "depth: deeper", "depth: seen", "You stop."]))
def test_changes_are_known_by_their_facts(fact: str) -> None:
    assert measures.change_of(fact) == (("depth", 1) if fact == "depth: deeper" else None)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_its_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("measures") / "digger.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        measures.load(path)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017
