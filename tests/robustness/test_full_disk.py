"""A disk that becomes full at random moments: a sentence, and the same command goes on when there is room."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import filling
import pytest
import tiny
from killing import outputs
from small_disk import on_small_disk

from maestromotif.pipeline.stages import STAGES

NAMES = [stage.name for stage in STAGES if stage.name != "quality"]  # which asks as annotate does
TASK = ("see some squares of the level", "--by", "edits", "--search", "oneshot", "--success", "explored >= 2")
SMALL = ("--games", "2", "--episode-steps", "20")


@dataclass(frozen=True)
class Run:
    status: int
    said: str


def run_on_disk(folder: Path, start: str, rooms: list[int], *command: object) -> tuple[list[Run], Path]:
    """Run a command of the command line in a copy of the disk that begins with the shell command `start`.

    Returns its runs, and a copy of what is on the disk in the end.
    """
    disk, kept = folder / "disk", folder / "kept"
    program = [sys.executable, filling.__file__, disk, ",".join(map(str, rooms)), *command]
    script = f'mount -o remount,size={filling.PLENTY} {disk} && {start} && "$@"; cp -r {disk} {kept}'
    done = on_small_disk(folder, "sh", "-c", script, "sh", *program)
    runs = [Run(status, out + said) for status, out, said in map(json.loads, done.stdout.splitlines())]
    assert len(runs) == len(rooms) + 1, done.stderr
    return runs, kept


def check(runs: list[Run], disk: Path) -> None:
    for one in runs[:-1]:
        assert one.status == 2, one.said
        assert "Traceback" not in one.said, one.said
        last = one.said.splitlines()[-1]
        assert last.startswith(f"disk full while writing {disk}/"), one.said
        assert f"free some space on {disk} and run the same command again" in last
    assert runs[-1].status == 0, runs[-1].said


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a whole run. TINY_RUN in the environment is one that is there already."""
    if there := os.environ.get("TINY_RUN"):
        return Path(there)
    folder = tmp_path_factory.mktemp("unbroken")
    tiny.run("run", tiny.write_config(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stage", NAMES)
def test_a_disk_that_becomes_full_in_a_stage(
    stage: str, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in tiny.environment(WANDB_MODE="disabled").items():
        monkeypatch.setenv(name, value)
    dice, disk, whole = random.Random(), tmp_path / "disk", unbroken / "runs" / "tiny"
    needed = sum(path.stat().st_size for path in (whole / stage).rglob("*") if path.is_file())
    first = dice.randrange(needed)
    rooms = [first, dice.randrange(needed - first)]  # too little together, since what was written stays
    start = tmp_path / "start"
    for name in NAMES[: NAMES.index(stage)]:
        shutil.copytree(whole / name, start / "runs" / "tiny" / name)
    (start / "runs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "config").mkdir()
    config = tiny.write_config(tmp_path / "config")
    config.write_text(config.read_text().replace(str(config.parent), str(disk)))
    command = (sys.executable, "-m", "maestromotif", stage, config, "--stale", "reuse")
    runs, kept = run_on_disk(tmp_path, f"cp -r {start}/runs {disk}", rooms, *command)
    check(runs, disk)
    run = kept / "runs" / "tiny"
    assert outputs(run, stage) == outputs(whole, stage), rooms
    assert not list(run.glob(".work/*"))


@pytest.mark.parametrize(
    "words",
    [
        ("tasks", "--count", "60", "--to"),
        pytest.param(("export-task", "delphi", "--episodes", "0", "--to"), marks=pytest.mark.slow),
        pytest.param(("compose", *TASK, *SMALL, "--output"), marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_a_disk_that_becomes_full_outside_of_stages(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written in the end is what is written where nothing is full."""
    monkeypatch.chdir(tiny.ROOT)
    disk, command = tmp_path / "disk", (sys.executable, "-m", "maestromotif", *words)
    rooms = sorted(random.Random().sample(range(0, 40_000, 4096), 2))
    runs, kept = run_on_disk(tmp_path, "true", rooms, *command, disk / "made")
    check(runs, disk)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run([*command, other / "made"], check=True, capture_output=True)
    made, whole = files(kept), files(other)
    assert made.keys() == whole.keys()
    for name in made.keys() - {
        "made/search.jsonl",
        "made/transcript.md",
        "made/result.md",
        "made/search.html",
    }:
        assert made[name] == whole[name], name  # the others tell what it took
