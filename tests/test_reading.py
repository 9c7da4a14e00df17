"""Files that users bring: every format is read as it is meant, or refused by name. Nothing else happens."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated import mutations, odd_arrays

from maestromotif import head, reading, skill
from maestromotif.agent.episodes import Episode
from maestromotif.annotate import judge, preferences
from maestromotif.collect import observations
from maestromotif.config.load import load
from maestromotif.demonstrate import recordings
from maestromotif.errors import UserError
from maestromotif.nethack import arena, fixed_options
from maestromotif.nethack.recording import Recording
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline import store
from maestromotif.programs import contract
from maestromotif.quality import gold, measures
from maestromotif.replay import kept
from maestromotif.rewards.model import load_rewards
from maestromotif.tasks import task

ROOT = Path(__file__).parents[1]
SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@dataclass(frozen=True)
class Format:
    """A file that users bring: its name, a right content, and what reads it (path -> what was understood)."""

    name: str
    content: bytes
    read: Callable[[Path], Any]
    lines_end: tuple[bytes, ...] = (b"\n", b"\r\n", b"\r")  # that mean the same


def _options(path: Path) -> list[str]:
    lines = reading.read_text(path).split("\n")
    fixed_options.check(lines, str(path))
    return lines


def _skill(path: Path) -> tuple[Any, ...]:
    found = skill.load(path.parent, path.stem)
    return found.description, found.starts, found.ends, found.max_turns, found.wanted


def _task(path: Path) -> tuple[Any, ...]:
    found = task.load(path.parent, path.stem)
    return found.words, found.success, found.steps


def _gold(path: Path) -> list[tuple[Any, ...]]:
    return [(pair.id, pair.a, pair.b, pair.label) for pair in gold.load(path)]


PAIRS = (
    b'{"skill": "descender", "a": "It\'s a wall.", "b": "x \\u2028 y"}\n{"skill": "go", "a": "1", "b": "2"}\n'
)
RECORDING = {
    "seeds": {"core": 1, "disp": 2, "lgen": 3},
    "actions": ["north", "east"],
    "nle": "1.3.0",
    "character": "mon-hum-neu-mal",
    "pages": "all",
}
MANIFEST = {
    "stage": "collect",
    "key": "a" * 64,
    "code": {},
    "outputs": {"deep/numbers.npz": "b" * 64},
}
FORMATS = (
    Format(
        "mine.yaml", b"run:\n  seed: 3\nskills: [descender]\ntasks: [delphi]\ntrain: {steps: 500}\n", load
    ),
    Format("descender.md", (ROOT / "skills/descender.md").read_bytes(), _skill),
    Format("delphi.md", (ROOT / "tasks/delphi.md").read_bytes(), _task),
    Format("training.py", (ROOT / "policies/training.py").read_bytes(), contract.read),
    Format("rc", b'OPTIONS=color,time\nMSGTYPE=hide "You see .*"\n# mine\n', _options),
    Format(
        "altar.des",
        (ROOT / "maestromotif/nethack/arenas/altar.des").read_bytes(),
        lambda p: arena._read(str(p))[1],
    ),
    Format("descender.yaml", (ROOT / "skills/measures/descender.yaml").read_bytes(), measures.load),
    Format(
        "descender.jsonl",
        b"\n".join((ROOT / "skills/gold/descender.jsonl").read_bytes().split(b"\n")[:3]) + b"\n",
        _gold,
        (b"\n", b"\r\n"),
    ),
    Format("pairs.jsonl", PAIRS, judge.read, (b"\n", b"\r\n")),
    Format("game.json", json.dumps(RECORDING, indent=1).encode(), Recording.load),
    Format(
        "manifest.json",
        json.dumps(MANIFEST, indent=1).encode(),
        lambda path: store.Run(path.parent)._read_manifest(path.parent, "again"),
    ),
)


def _said(read: Callable[[Path], Any], path: Path) -> str:
    """What is said of a file that is refused; of one that is read, its path."""
    try:
        read(path)
    except UserError as error:
        return str(error)
    return str(path)


by_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


@by_format
def test_a_byte_order_mark_and_other_line_ends_change_nothing(form: Format, tmp_path: Path) -> None:
    path = tmp_path / form.name
    path.write_bytes(form.content)
    right = form.read(path)
    for end in form.lines_end:
        for mark in (b"", b"\xef\xbb\xbf"):
            path.write_bytes(mark + form.content.replace(b"\n", end))
            assert form.read(path) == right


@by_format
def test_what_is_no_text_is_refused_by_name(form: Format, tmp_path: Path) -> None:
    path = tmp_path / form.name
    text = form.content.decode()

    def refused(said: str) -> None:
        with pytest.raises(UserError) as caught:
            form.read(path)
        assert form.name in str(caught.value)
        assert said in str(caught.value)

    for encoding in ("utf-16", "utf-32"):
        path.write_bytes(text.encode(encoding))
        refused(f":1: not UTF-8 text but {encoding.upper()}; save it as UTF-8")
    second = form.content.index(b"\n") + 1
    path.write_bytes(form.content[:second] + "ä".encode("latin-1") + form.content[second:])
    refused(":2: not UTF-8 text (byte 0xE4); save it as UTF-8")
    path.write_bytes(form.content[:second] + b"\0" + form.content[second:])
    refused(":2: not text: it has a zero byte")
    path.write_bytes(b"\r\n\r\n" + b"\xff")
    refused(":3: not UTF-8 text (byte 0xFF)")


@by_format
def test_what_is_no_file_is_refused_and_nothing_waits(form: Format, tmp_path: Path) -> None:
    makes: tuple[Callable[[Path], None], ...] = (
        os.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("gone"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("/dev/zero"),
    )
    for number, make in enumerate(makes):
        path = tmp_path / str(number) / form.name
        path.parent.mkdir()
        make(path)
        with pytest.raises(UserError, match=form.name.replace(".", r"\.")):
            form.read(path)


@by_format
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_by_name(form: Format, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / form.name
    path.write_bytes(data.draw(mutations(form.content)))
    assert form.name in _said(form.read, path)


def _observations() -> dict[str, Any]:
    return {
        "messages": np.array([b"", b"You kill the newt!"], "S256"),
        "message_id": np.array([0, 1, 1], np.int32),
        "changes": np.zeros((3, len(CHANGES)), np.int8),
        "source": np.zeros(3, np.int8),
    }


def _preferences() -> dict[str, Any]:
    number = np.zeros(2, np.int32)
    return {
        "first": number,
        "second": number,
        "label": np.zeros(2, np.float32),
        "margin": np.zeros(2, np.float32),
    }


def _episodes() -> dict[str, Any]:
    switched = [step % 5 == 0 for step in range(20)]
    made = Episode(
        seeds=(1, 2, 3),
        success=False,
        deepest=2,
        steps=20,
        end="death",
        cause="killed",
        prayers=1,
        actions=[3] * 20,
        skills=[0] * 20,
        switched=switched,
        reasons=[int(bit) for bit in switched],
        check=7,
    )
    return kept.arrays({"trained": [made, made], "random": []})


SETTINGS = load(ROOT / "configs/quickstart.yaml")


def _demonstrations() -> dict[str, Any]:
    numbers = np.zeros(20, np.int32)
    first = np.arange(20) == 0
    made = recordings.Recording(EpisodeSeeds(1, 2, 3), None, numbers, numbers, numbers, first, 0)
    with tempfile.TemporaryDirectory() as folder:
        recordings.write(store.Work(Path(folder)), [made, made], SETTINGS)
        with np.load(Path(folder) / recordings.FILE) as file:
            return dict(file)


ARRAYS: dict[str, tuple[Callable[[], dict[str, np.ndarray]], Callable[[Path], object]]] = {
    "observations.npz": (_observations, lambda path: observations.load(path.parent)),
    "preferences.npz": (
        _preferences,
        lambda path: preferences.read_preferences(path.parent.parent, path.parent.name),
    ),
    "episodes.npz": (_episodes, lambda path: kept.read(path, "evaluate")),
    "demonstrations.npz": (_demonstrations, lambda path: recordings.read(path, SETTINGS)),
}


@pytest.mark.parametrize("name", ARRAYS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_arrays_are_read_or_refused_by_name(name: str, tmp_path: Path, data: st.DataObject) -> None:
    made, read = ARRAYS[name]
    path = tmp_path / name
    store.Work(tmp_path).write_arrays(name, **made())
    read(path)
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(mutations(path.read_bytes())))
    else:
        store.Work(tmp_path).write_arrays(name, **data.draw(odd_arrays(made())))
    assert name in _said(read, path)


@pytest.mark.parametrize("file", ["card.json", "params.msgpack"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_reward_model_is_read_or_refused_by_name(
    file: str, tmp_path: Path, data: st.DataObject
) -> None:
    shutil.copytree(ROOT / "rewards/descender", tmp_path / "descender", dirs_exist_ok=True)
    path = tmp_path / "descender" / file
    load_rewards(tmp_path, ["descender"])
    path.write_bytes(data.draw(mutations(path.read_bytes())))
    # Which of the two files is wrong cannot be known if they do not fit together.
    assert "/descender/" in _said(lambda path: load_rewards(path.parent.parent, ["descender"]), path)


@given(st.lists(SOME_TEXT, min_size=1), st.booleans())
def test_lines_of_json_hold_every_character(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], escaped: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "captions.jsonl"
    rows = [{"caption": text, "message": "", "changes": [number % 3]} for number, text in enumerate(texts)]
    path.write_bytes("".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows).encode())
    assert [row for _, row in reading.read_json_lines(path)] == rows
    assert preferences.read_captions(path.parent) == rows


def test_every_line_break_of_unicode_may_stand_in_a_caption(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    row = {
        "message": "\x85 \xc3\x85",
        "changes": [],
        "caption": "Åsa\x85 bites\u2028 the\u2029 newt.\x0b\x0c\x1c\x1d\x1e",
    }
    path.write_bytes(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    assert preferences.read_captions(tmp_path) == [row]


@given(SOME_TEXT.filter(lambda text: "\r" not in text and "\0" not in text and "---" not in text))
def test_the_words_of_a_skill_are_kept(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    path = tmp_path_factory.mktemp("skills") / "a.md"
    path.write_text(f"---\nname: a\n---\nGo. {words} Stop.\n", encoding="utf-8", newline="\n")
    assert head.read(path, ["name"], ["name"], "").body == f"Go. {words} Stop."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"skill": "d", "a": "x \\ud83d y", "b": "z"}', "\\ud83d is half of a surrogate pair"),
        ('{"skill": "d", "a": "x", "a": "y", "b": "z"}', "'a' is given twice in one object"),
        ('{"skill": "d", "a": "x", "b": "z", "c": NaN}', "NaN is not a number of JSON"),
        ('{"skill": "d", "a": "x", "b": -Infinity}', "-Infinity is not a number of JSON"),
        ('{"skill": "d", "a": "x", "b": 1e999}', "1e999 is too large"),
        ('{"skill": "d", "a": "x", "b": ' + "9" * 5000 + "}", "not JSON"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('{"skill": "d", "a": "x", "b": true}', "the field 'b' should be a text (got True)"),
        ('{"skill": "d", "a": "x", "b": ["' + "y" * 10_000 + '"]}', "should be a text (got ['yyyy"),
        ('["d", "x", "y"]', "should be a JSON object"),
    ],
)
def test_a_wrong_line_of_pairs_is_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"skill": "d", "a": "1", "b": "2"}}\n\n{line}\n')
    with pytest.raises(UserError) as caught:
        judge.read(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_pair_of_surrogate_escapes_is_one_character(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"skill": "d", "a": "\\ud83d\\ude00", "b": "\\\\ud83d"}\n')
    assert judge.read(path)[0][1:] == ("\N{GRINNING FACE}", "\\ud83d")


def test_a_pipe_with_a_writer_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, PAIRS)
    os.close(writer)
    assert len(judge.read(Path(f"/dev/fd/{reader}"))) == 2
    os.close(reader)


def test_bytes_of_the_command_line_that_are_no_text_are_named() -> None:
    reading.check_characters("café", "the task")
    with pytest.raises(UserError, match=r"^the task: not UTF-8 text \(byte 0xE9\)"):
        reading.check_characters(os.fsdecode(b"caf\xe9"), "the task")


def test_a_text_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "descender.md"
    path.write_bytes(b"x" * (reading.WRITTEN + 1))
    with pytest.raises(UserError, match=r"descender\.md: has more than 1 MiB"):
        skill.load(tmp_path, "descender")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a b", "a\nb", "ähre", "a.md", "", ".", "a/../b"]
)
def test_names_do_not_leave_their_folders(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("---\nname: x\n---\nwords")
    with pytest.raises(UserError, match="is not a skill name"):
        skill.load(tmp_path / "skills", name)
    with pytest.raises(UserError, match="is not a task's name"):
        task.load(tmp_path / "tasks", name)
