"""The journal: append-only, once each, whole after a kill, and a new one for a new training."""

import json
import logging
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import on_small_disk

from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.tracking.journal import Journal, Record, read
from maestromotif.tracking.logged import Logged, axis_of, logged_of
from maestromotif.tracking.tracking import Tracking

CONFIG = "configs/quickstart.yaml"


def config() -> Config:
    return load(CONFIG, ("tracking.wandb=disabled",))


def run_id(folder: Path) -> str:
    journal = Journal(folder)
    journal.close()
    return journal.run_id


def records(folder: Path) -> list[Record]:
    return list(read(folder / "tracking" / "journal.jsonl"))


def test_a_row_is_on_the_disk_at_once(tmp_path: Path) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        tracker.row(512, {"loss/kl": 0.25, "loss/entropy": math.nan, "loss/clipped": np.float64(0.5)})
        [record] = records(tmp_path)
    assert record["figures"] == {"loss/kl": 0.25, "loss/clipped": 0.5}
    assert (record["n"], record["stage"], record["attempt"], record["step"]) == (0, "train", "train-a", 512)


def test_what_a_resumed_stage_logs_again_is_kept_once(tmp_path: Path) -> None:
    for first in (0, 3):  # the second process resumes at step 3 and repeats steps 3 and 4
        with Tracking(config(), tmp_path, CONFIG) as tracking:
            tracker = tracking.stage("train", "train-a", ())
            for step in range(first, 5 if first == 0 else 8):
                tracker.row(step, {"loss/kl": float(step)})
                tracker.row(step, {"watch/success": step / 10})
                tracker.table(step, "episodes", ["step"], [[step]])
    steps: dict[tuple[str, str], list[int]] = {}
    for record in records(tmp_path):
        name = record.get("name") or next(iter(record["figures"]))
        steps.setdefault((record["kind"], name), []).append(record["step"])
    logged = [("row", "loss/kl"), ("row", "watch/success"), ("table", "episodes")]
    assert steps == {one: list(range(8)) for one in logged}
    assert [record["n"] for record in records(tmp_path)] == list(range(24))


def test_another_training_begins_another_journal_with_what_came_before_it(tmp_path: Path) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracking.stage("distil", "distil-a", ()).row(0, {"rm/x/val_acc": 0.9})
        tracking.stage("train", "train-a", ()).row(10, {"loss/kl": 1.0})
        tracking.stage("evaluate", "evaluate-a", ()).row(0, {"eval/success": 0.5})
    first = run_id(tmp_path)
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracking.stage("train", "train-b", ()).row(5, {"loss/kl": 2.0})
    assert [(one["n"], one["stage"], one["step"]) for one in records(tmp_path)] == [
        (0, "distil", 0),
        (1, "train", 5),
    ]
    assert run_id(tmp_path) == f"{first}-2"
    assert len(list(read(tmp_path / "tracking" / "journal-1.jsonl"))) == 3


def test_two_run_folders_are_two_runs(tmp_path: Path) -> None:
    assert run_id(tmp_path / "a") != run_id(tmp_path / "b")
    assert run_id(tmp_path / "a") == run_id(tmp_path / "a")


@settings(deadline=None, max_examples=30)
@given(cut=st.integers(min_value=1, max_value=200))
def test_a_line_cut_short_is_removed_and_written_again(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with Tracking(config(), folder, CONFIG) as tracking:
        for step in range(3):
            tracking.stage("train", "train-a", ()).row(step, {"loss/kl": float(step)})
    path = folder / "tracking" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with Tracking(config(), folder, CONFIG) as tracking:
        for step in range(4):
            tracking.stage("train", "train-a", ()).row(step, {"loss/kl": float(step)})
    assert [record["figures"] for record in records(folder)] == [
        {"loss/kl": float(step)} for step in range(4)
    ]


def test_a_damaged_line_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        for step in range(3):
            tracking.stage("train", "train-a", ()).row(step, {"loss/kl": float(step)})
    path = tmp_path / "tracking" / "journal.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], '{"n": 1, "sta', lines[2], "[" * 100_000, ""]))
    with caplog.at_level(logging.WARNING, logger="maestromotif"):
        assert [record["step"] for record in records(tmp_path)] == [0, 2]
    assert f"{path}:2: is damaged" in caplog.text
    assert f"{path}:4: is damaged" in caplog.text


def test_pages_and_tables_keep_hostile_text(tmp_path: Path) -> None:
    said = '</script><b>"it\'s"</b>\x1b[2J'
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        tracker.page(7, "replay/descender", said, said)
        tracker.table(7, "captions", ["caption", "z"], [[said, math.inf]])
    page, table = records(tmp_path)
    assert (tmp_path / "tracking" / str(page["file"])).read_text() == said
    assert page["caption"] == said
    assert table["rows"] == [[said, None]]


def test_only_the_newest_pages_are_kept(tmp_path: Path) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        for step in range(0, 3000, 100):
            tracker.page(step, "replay/a", "<p>", "")
        tracker.page(0, "replay/b", "<p>", "")
    kept = {path.name for path in (tmp_path / "tracking" / "pages").iterdir()}
    newest = {f"train-a-replay-a-{step}.html" for step in range(1000, 3000, 100)}
    assert kept == newest | {"train-a-replay-b-0.html"}


def test_a_failing_journal_does_not_stop_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tracking").write_text("a file where the folder belongs")
    with (
        caplog.at_level(logging.WARNING, logger="maestromotif"),
        Tracking(config(), tmp_path, CONFIG) as tracking,
    ):
        tracker = tracking.stage("train", "train-a", ())
        tracker.row(1, {"loss/kl": 1.0})
    assert len(caplog.messages) == 1
    assert "nothing more is logged, but the run goes on" in caplog.text


FILLS_A_DISK = """
import sys
from pathlib import Path
from maestromotif.config.load import load
from maestromotif.tracking.journal import read
from maestromotif.tracking.tracking import Tracking

folder = Path(sys.argv[1])
with Tracking(load("configs/quickstart.yaml", ("tracking.wandb=disabled",)), folder, "x") as tracking:
    tracker = tracking.stage("train", "train-a", ())
    tracker.row(1, {"loss/kl": 1.0})
    tracker.table(1, "large", ["text"], [["x" * 100_000]] * 50)
    tracker.row(2, {"loss/kl": 2.0})
print([record["step"] for record in read(folder / "tracking" / "journal.jsonl") if record["kind"] == "row"])
"""


def test_a_full_disk_does_not_stop_a_run(tmp_path: Path) -> None:
    done = on_small_disk(tmp_path, sys.executable, "-c", FILLS_A_DISK, tmp_path / "disk" / "run")
    assert done.returncode == 0, done.stderr
    assert "nothing more is logged, but the run goes on" in done.stderr
    assert done.stdout.strip() == "[1]"


def test_a_table_that_cannot_be_written_costs_only_itself(tmp_path: Path) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        circle: list[object] = []
        circle.append(circle)
        tracker.table(1, "circle", ["x"], [[circle]])
        tracker.row(1, {"loss/kl": 1.0})
    assert [record["kind"] for record in records(tmp_path)] == ["row"]


def test_names_are_matched_part_by_part() -> None:
    known = (Logged("skill/{skill}/reward", "reward", ""), Logged("loss/kl", "nats", ""))
    assert logged_of("skill/a_b/reward", known) is known[0]
    assert logged_of("skill/a/b/reward", known) is None
    assert logged_of("loss/klx", known) is None
    assert (axis_of("train"), axis_of("distil")) == ("env_step", "distil/step")


def test_every_line_is_json_by_the_standard(tmp_path: Path) -> None:
    with Tracking(config(), tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        tracker.row(1, {"a": math.inf, "b": 2})
        tracker.table(1, "t", ["x"], [[float("nan")], [np.float64(3)], [np.int64(4)]])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = (tmp_path / "tracking" / "journal.jsonl").read_text().splitlines()
    parsed = [json.loads(line, parse_constant=refuse) for line in lines]
    assert parsed[0]["figures"] == {"b": 2}
    assert parsed[1]["rows"] == [[None], [3.0], [4]]
