"""Skill files: what is read; every mistake gets a message with file and line."""

import hashlib
from pathlib import Path

import pytest

from maestromotif import skill
from maestromotif.errors import UserError

ROOT = Path(__file__).parent.parent
GOOD = """---
name: brawler
starts: at any time
ends: when nothing hits back
---
The agent should pick fights.

And win them.
"""


def write(folder: Path, text: str, name: str = "brawler") -> Path:
    path = folder / f"{name}.md"
    path.write_text(text)
    return path


def message(folder: Path, *names: str) -> str:
    with pytest.raises(UserError) as error:
        skill.load_all(folder, names)
    return str(error.value)


def test_reads_head_body_and_program(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    one = skill.load(tmp_path, "brawler")
    assert one.description == "The agent should pick fights.\n\nAnd win them."
    assert (one.starts, one.ends, one.max_turns) == ("at any time", "when nothing hits back", 300)
    assert one.program is None
    (tmp_path / "brawler.py").write_text("x = 1\n")
    write(tmp_path, GOOD.replace("name: brawler", "name: brawler\nmax_turns: 40"))
    two = skill.load(tmp_path, "brawler")
    assert (two.program, two.max_turns) == ("x = 1\n", 40)
    assert one.digest != two.digest


def test_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert skill.load(tmp_path, "brawler").digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_progress_is_read_and_leaves_the_description_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    before = skill.load(tmp_path, "brawler")
    write(tmp_path, GOOD.replace("---\nThe", "wanted: [killed]\nprogress: [health]\n---\nThe"))
    after = skill.load(tmp_path, "brawler")
    assert (after.wanted, after.progress) == (("killed",), ("health",))
    assert after.description == before.description


def test_order_is_the_order_asked_for() -> None:
    names = ["ascender", "discoverer", "descender"]
    assert [one.name for one in skill.load_all(ROOT / "skills", names)] == names


def test_all_skills_of_the_project_load() -> None:
    names = sorted(path.stem for path in (ROOT / "skills").glob("*.md"))
    assert {"discoverer", "descender", "ascender", "merchant", "worshipper"} <= set(names)
    for one in skill.load_all(ROOT / "skills", names):
        assert one.description.startswith("The agent should")
        assert one.program is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "brawler.md:1: the file is empty"),
        ("The agent should fight.\n", "brawler.md:1: no head"),
        ("\n\nwords\n", "brawler.md:3: no head"),
        ("---\nname: brawler\n", "brawler.md:1: the head is not closed"),
        (GOOD.replace("ends: when", "ends: [when"), "brawler.md:4: is not valid YAML"),
        (GOOD.replace("ends:", "end:"), "brawler.md:4: unknown key 'end'; did you mean 'ends'?"),
        (GOOD.replace("ends: when nothing hits back\n", ""), "brawler.md:2: the key 'ends' is missing"),
        (GOOD.replace("at any time", ""), "brawler.md:3: 'starts' must be text, got None"),
        (GOOD.replace("at any time", "7"), "brawler.md:3: 'starts' must be text, got 7"),
        (GOOD.replace("name: brawler", "name: bawler"), "brawler.md:2: the name is 'bawler' but the file is"),
        (
            GOOD.replace("---\nThe", "name: x\n---\nThe"),
            "brawler.md:5: 'name' is given twice, first on line 2",
        ),
        (
            GOOD.replace("---\nThe", "max_turns: many\n---\nThe"),
            "brawler.md:5: 'max_turns' must be a whole number",
        ),
        (
            GOOD.replace("---\nThe", "max_turns: 0\n---\nThe"),
            "brawler.md:5: 'max_turns' must be a whole number",
        ),
        (
            GOOD.replace("---\nThe", "max_turns: 0100\n---\nThe"),
            "brawler.md:5: '0100' would be read as the number 64",
        ),
        (GOOD.replace("at any time", '"\u200b"'), "brawler.md:3: 'starts' must be text, got '\\u200b'"),
        (GOOD.replace("at any time", '"\\udfff"'), "brawler.md:3: \\udfff is half of a surrogate pair"),
        ("---\n- a\n---\nwords\n", "brawler.md:2: the head must be lines of 'key: value'"),
        (
            GOOD.replace("---\nThe", "wanted: [killed]\nprogress: [kiled]\n---\nThe"),
            "brawler.md:6: 'progress': no event 'kiled'; did you mean 'killed'?",
        ),
        (
            GOOD.replace("---\nThe", "wanted: [killed]\nprogress: [killed]\n---\nThe"),
            "brawler.md:6: 'killed' is both wanted and progress",
        ),
        (GOOD.replace("---\nThe", "progress: [killed]\n---\nThe"), "brawler.md:5: 'progress' needs 'wanted'"),
        (GOOD.split("The agent")[0], "brawler.md:6: nothing below the head"),
        (GOOD.split("The agent")[0] + "\n \n", "nothing below the head"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, text)
    assert expected in message(tmp_path, "brawler")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "brawler.md").write_bytes(b"---\nname: brawler\n\xff\n")
    assert "brawler.md:3: not UTF-8" in message(tmp_path, "brawler")


def test_missing_files(tmp_path: Path) -> None:
    assert "does not exist" in message(tmp_path / "nowhere", "brawler")
    assert "holds no skill" in message(tmp_path, "brawler")
    write(tmp_path, GOOD)
    text = message(tmp_path, "brawller")
    assert "did you mean 'brawler'?" in text
    assert "known are brawler" in message(tmp_path, "dancer")
    assert "is not a skill name" in message(tmp_path, "../brawler")


def test_all_problems_at_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    text = message(tmp_path, "brawler", "brawler", "dancer")
    assert "'brawler' is listed twice" in text
    assert "dancer.md: no such file" in text
    assert "the list is empty" in message(tmp_path)


def test_what_is_no_file_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "loop.md").symlink_to("loop.md")
    (tmp_path / "gone.md").symlink_to("nowhere.md")
    (tmp_path / "folder.md").mkdir()
    for name, said in (
        ("loop", "Too many levels"),
        ("gone", "a link to nowhere.md"),
        ("folder", "directory"),
    ):
        with pytest.raises(UserError, match=said):
            skill.load(tmp_path, name)
    with pytest.raises(UserError, match="no such file"):  # longer than any file's name
        skill.load(tmp_path, "x" * 300)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("---\nThe", "max_turns: 99999999999999999999\n---\nThe"), "at most 1000000, got 999"),
        (GOOD.partition("---\nThe")[0] + "---\n\u200b\n", "nothing below the head"),
    ],
)
def test_numbers_beyond_a_game_and_characters_that_nobody_sees(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UserError, match=said):
        skill.load(tmp_path, "brawler")
