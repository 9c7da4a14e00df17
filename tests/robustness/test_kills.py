"""Signals to one process and to the whole group, at random moments: nothing is lost, and nothing is left."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import killing
import pytest
import tiny
from killing import outputs

from maestromotif.compose import journal
from maestromotif.pipeline.stages import STAGES

STAGE_NAMES = [stage.name for stage in STAGES if stage.name != "quality"]


@pytest.fixture
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="test-", dir="/tmp") as folder:
        yield Path(folder)


def test_a_killed_collection_ends_with_the_same_observations(tmp_path: Path, temporary: Path) -> None:
    """While games are played; the whole group is meant, as by a batch system, or the command alone."""
    dice = random.Random()
    folders = [tmp_path / name for name in ("unbroken", "killed")]
    for folder in folders:
        folder.mkdir()
    unbroken, config = map(tiny.write_config, folders)
    whole = killing.start(temporary, "collect", unbroken)
    assert killing.end(whole, signal.SIGKILL, True, 300).status == 0
    run = folders[1] / "runs" / "tiny"
    for number, group in ((signal.SIGTERM, True), (signal.SIGHUP, False), (signal.SIGKILL, True)):
        process = killing.start(temporary, "collect", config)
        while process.poll() is None and not any((run / ".work").glob("collect-*")):
            time.sleep(0.02)
        ended = killing.end(process, number, group, dice.uniform(0, 1))
        killing.check(ended, number)
        if number is not signal.SIGKILL:
            assert not list(temporary.iterdir())
    last = killing.end(killing.start(temporary, "collect", config), signal.SIGKILL, True, 300)
    assert last.status == 0, last.output
    assert outputs(run, "collect") == outputs(folders[0] / "runs" / "tiny", "collect")
    assert not list(temporary.iterdir())
    assert not list(run.rglob(".tmp-*"))


@pytest.mark.slow
def test_fifty_kills_at_any_moment_of_a_run_change_no_artefact(tmp_path: Path, temporary: Path) -> None:
    """KILLS in the environment is another number of kills, for `make soak`."""
    dice, count = random.Random(), int(os.environ.get("KILLS", "50"))
    (tmp_path / "unbroken").mkdir()
    (tmp_path / "killed").mkdir()
    whole = killing.start(temporary, "run", tiny.write_config(tmp_path / "unbroken"))
    assert killing.end(whole, signal.SIGKILL, True, 3600).status == 0
    config, run = tiny.write_config(tmp_path / "killed"), tmp_path / "killed" / "runs" / "tiny"
    kills = 0
    for _ in range(count):
        number, group = dice.choice(killing.SIGNALS), dice.random() < 0.5
        ended = killing.end(killing.start(temporary, "run", config), number, group, dice.uniform(2, 20))
        killing.check(ended, number)
        kills += ended.killed
    last = killing.end(killing.start(temporary, "run", config), signal.SIGKILL, True, 3600)
    assert last.status == 0, last.output
    assert kills >= count // 5
    for stage in STAGE_NAMES:
        assert outputs(run, stage) == outputs(tmp_path / "unbroken" / "runs" / "tiny", stage), stage
    assert not list(temporary.iterdir())
    assert not list(run.rglob(".tmp-*"))


SHORT = ("evaluate.episodes=8", "evaluate.max_steps=60", "nethack.games=8")
SOUGHT = ("--search", "greedy", "--candidates", "6", "--games", "4", "--episode-steps", "40")
COMMANDS = {
    "evaluate": (("evaluate", "policies/trained/six_skills", *SHORT), "run.root="),
    "compose": (
        ("compose", "see some squares of the level", "--by", "edits", *SOUGHT, "--success", "explored >= 2"),
        "--output=",
    ),
}


def told(folder: Path) -> dict[str, object]:
    """What a command has made, without the times."""
    run = folder / "shipped_six_skills"
    if run.is_dir():
        return {stage: outputs(run, stage) for stage in ("compose", "evaluate")}
    found: dict[str, object] = {
        name: (folder / name).read_text() for name in ("task.md", "prompt.md", "result.json")
    }
    began, events = journal.read(folder / "search.jsonl")
    return found | {
        "began": began.model_dump(),
        "events": [one.model_dump(exclude={"seconds"}) for one in events],
    }


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_moment_a_command_goes_on_to_the_same_result(
    command: str, tmp_path: Path, temporary: Path
) -> None:
    dice, (words, to) = random.Random(), COMMANDS[command]
    began = time.monotonic()
    whole = killing.end(killing.start(temporary, *words, f"{to}{tmp_path}/whole"), signal.SIGKILL, True, 3600)
    assert whole.status == 0, whole.output
    lasted = time.monotonic() - began
    again = (*words, f"{to}{tmp_path}/killed")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGKILL):
        process = killing.start(temporary, *again)
        killing.check(killing.end(process, number, dice.random() < 0.5, dice.uniform(0, lasted)), number)
    last = killing.end(killing.start(temporary, *again), signal.SIGKILL, True, 3600)
    assert last.status == 0, last.output
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert not list(temporary.iterdir())
    assert not list((tmp_path / "killed").rglob(".tmp-*"))


@pytest.mark.slow
def test_watching_that_is_killed_leaves_nothing(temporary: Path) -> None:
    """After a SIGKILL the next command removes the temporary files. Ctrl-C is how one stops to watch."""
    dice = random.Random()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process = killing.start(temporary, "watch")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("episode 1: ")
        ended = killing.end(process, number, dice.random() < 0.5, dice.uniform(0, 3))
        wanted = {signal.SIGKILL: -9, signal.SIGINT: 0}.get(number, 128 + number)
        assert (ended.killed, ended.status) == (True, wanted), ended.output
        assert "Traceback" not in ended.output
        assert number is signal.SIGKILL or not list(temporary.iterdir())
