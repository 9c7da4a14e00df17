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
