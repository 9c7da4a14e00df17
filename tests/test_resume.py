"""A run that is killed with SIGKILL in its stages ends with the same artefacts as one that was not."""

import json
import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tiny
import wandb_offline

from maestromotif.pipeline.stages import STAGES
from maestromotif.tracking.journal import Record, read
from maestromotif.tracking.logged import PROGRESS, logged_of
from maestromotif.train.metrics import METRICS

OFFLINE = "tracking.wandb=offline"
PACED = ("watch", "replay", "speed")  # rows that depend on how fast the machine is
NAMES = [stage.name for stage in STAGES if stage.name != "quality"]  # which asks as annotate does
LONG = ("collect", "annotate", "train", "evaluate")


def manifest(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "manifest.json").read_text())
    return found


def kill_in(stage: str, config: Path, run: Path, seconds: float) -> bool:
    """Kill all processes of the run `seconds` after the stage has begun; False if it was done before."""
    process = tiny.start("run", config, OFFLINE)
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
    tiny.run("run", tiny.write_config(folder), OFFLINE)
    return folder / "runs" / "tiny"


@pytest.mark.parametrize("short", [1, pytest.param(len(NAMES), marks=pytest.mark.slow)])
def test_killed_in_its_stages_and_started_again_it_ends_with_the_same_artefacts(
    unbroken: Path, tmp_path: Path, short: int
) -> None:
    """In all long stages, and in at most so many of the short ones."""
    config, run = tiny.write_config(tmp_path), tmp_path / "runs" / "tiny"
    dice = random.Random()
    others = [stage for stage in NAMES if stage not in LONG]
    chosen = {*LONG, *dice.sample(others, min(short, len(others)))}
    killed = []
    for stage in (stage for stage in NAMES if stage in chosen):
        lasted = manifest(unbroken, stage)["seconds"]
        # Rather early, because a machine that was busy before may be quick now.
        if kill_in(stage, config, run, dice.uniform(0, 0.3 * lasted)):
            killed.append(stage)
    tiny.run("run", config, OFFLINE)
    assert set(LONG) <= set(killed), killed
    for stage in NAMES:
        assert manifest(run, stage)["outputs"] == manifest(unbroken, stage)["outputs"], stage
        assert manifest(run, stage)["key"] == manifest(unbroken, stage)["key"], stage
    assert curve_of(read(run / "tracking" / "journal.jsonl")) == curve_of(
        read(unbroken / "tracking" / "journal.jsonl")
    )
    assert wandb_steps(run) == [
        record["n"] for record in read(run / "tracking" / "journal.jsonl") if record["kind"] != "artefact"
    ]
    assert wandb_names(run) == wandb_names(unbroken)


def curve_of(records: Iterable[Record]) -> list[tuple[int, float]]:
    """Step and a figure of each row of the learning curve."""
    rows = [
        (one["step"], one["figures"]) for one in records if one["stage"] == "train" and one["kind"] == "row"
    ]
    return [(step, row["loss/entropy"]) for step, row in rows if "loss/entropy" in row]


def wandb_steps(run: Path) -> list[int]:
    """The steps of the rows of all processes, in the order in which they are uploaded."""
    return [row["_step"] for row in wandb_offline.history(run)]


def wandb_names(run: Path) -> set[str]:
    """Everything that wandb was given, by name."""
    own = {name for row in wandb_offline.history(run) for name in row if not name.startswith("_")}
    return {name for name in own if name.partition("/")[0] not in PACED}


def test_all_that_a_run_logs_is_in_the_tables_that_the_documentation_shows(unbroken: Path) -> None:
    logged: dict[str, set[str]] = {stage: set() for stage in NAMES}
    kinds = set()
    for record in read(unbroken / "tracking" / "journal.jsonl"):
        kinds.add(record["kind"])
        if record["kind"] != "artefact":
            logged[record["stage"]] |= {record["name"]} if "name" in record else {*record["figures"]}
    assert kinds == {"row", "table", "page", "artefact"}
    for stage in (stage for stage in STAGES if stage.name in NAMES):
        known = (*stage.logged(), *PROGRESS)
        assert not [name for name in logged[stage.name] if logged_of(name, known) is None], stage.name
        if stage.name != "soup":  # which has no figures of its own
            assert logged[stage.name], stage.name
    # The other way round: what the tables promise of a training is logged, events that did not happen too.
    missing = {one.name for one in METRICS if not any(one.logged.matches(name) for name in logged["train"])}
    # No game need end in so short a training, and this config sets no target_kl.
    assert missing <= {"episode/length_mean", "loss/update_kl"}, missing


def test_what_is_done_is_not_done_again(unbroken: Path) -> None:
    config = unbroken.parents[1] / "tiny.yaml"
    before = {stage: (unbroken / stage / "manifest.json").stat().st_mtime_ns for stage in NAMES}
    output = tiny.run("run", config, OFFLINE)
    assert output.count("already done") == len(NAMES)
    assert before == {stage: (unbroken / stage / "manifest.json").stat().st_mtime_ns for stage in NAMES}
