"""A run that is killed with SIGKILL in every stage ends with the same artefacts as one that was not."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import tiny

from maestromotif.pipeline.stages import STAGES

NAMES = [stage.name for stage in STAGES if stage.name != "quality"]  # which asks as annotate does


def manifest(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "manifest.json").read_text())
    return found


def kill_in(stage: str, config: Path, run: Path, seconds: float) -> bool:
    """Kill all processes of the run `seconds` after the stage has begun; False if it was done before."""
    process = tiny.start("run", config)
    try:
        while process.poll() is None:
            if (run / stage / "manifest.json").exists():
                return False
            if any((run / ".work").glob(f"{stage}-*")):
                time.sleep(seconds)
                return process.poll() is None and not (run / stage / "manifest.json").exists()
            time.sleep(0.01)
        raise AssertionError(f"the run ended before '{stage}' began")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    tiny.run("run", tiny.write_config(folder))
    return folder / "runs" / "tiny"


def test_killed_in_every_stage_and_started_again_it_ends_with_the_same_artefacts(
    unbroken: Path, tmp_path: Path
) -> None:
    config, run = tiny.write_config(tmp_path), tmp_path / "runs" / "tiny"
    dice = random.Random()
    killed = []
    for stage in NAMES:
        lasted = manifest(unbroken, stage)["seconds"]
        # Rather early, because a machine that was busy before may be quick now.
        if kill_in(stage, config, run, dice.uniform(0, 0.3 * lasted)):
            killed.append(stage)
    tiny.run("run", config)
    assert {"collect", "annotate", "train", "evaluate"} <= set(killed), killed
    for stage in NAMES:
        assert manifest(run, stage)["outputs"] == manifest(unbroken, stage)["outputs"], stage
        assert manifest(run, stage)["key"] == manifest(unbroken, stage)["key"], stage


def test_what_is_done_is_not_done_again(unbroken: Path) -> None:
    config = unbroken.parents[1] / "tiny.yaml"
    before = {stage: (unbroken / stage / "manifest.json").stat().st_mtime_ns for stage in NAMES}
    output = tiny.run("run", config)
    assert output.count("already done") == len(NAMES)
    assert before == {stage: (unbroken / stage / "manifest.json").stat().st_mtime_ns for stage in NAMES}
