"""wandb for real, offline and without a key: what was logged can be read back while the run goes on."""

import http.server
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_stages
import wandb
import wandb_stub
from wandb_offline import folders, history, inspect

import maestromotif.tracking.wandb
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.tracking.journal import read
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracking import Tracking
from maestromotif.tracking.wandb import group_of

KEY = "5" * 40
CONFIG = "configs/quickstart.yaml"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, no key, no mode: wandb as on a fresh machine."""
    home = tmp_path / "home"
    home.mkdir()
    for variable in (
        "WANDB_API_KEY",
        "WANDB_MODE",
        "WANDB_DIR",
        "WANDB_DATA_DIR",
        "NETRC",
        "XDG_CONFIG_HOME",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    wandb.teardown()  # it remembers the key and the server of the test before
    return home


def test_rows_tables_pages_and_artefacts_can_be_read_back(tmp_path: Path, nobody: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "params").write_text("1")
    config = load(CONFIG, ("tracking.wandb=offline",))
    run = tmp_path / "run"
    logged = (Logged("skill/{skill}/reward", "reward", "", "max"),)
    with Tracking(config, run, f"{CONFIG} run.seed=0") as tracking:
        tracker = tracking.stage("train", "train-a", logged)
        for step in range(0, 3000, 1000):
            tracker.row(step, {"skill/descender/reward": step / 10, "skill/ascender/reward": 0.0})
        tracker.table(2000, "captions", ["caption", "z"], [["</b> & 'so'", 1.5]])
        tracker.page(2000, "replay/descender", "<!doctype html><p>here</p>", "after 2,000 steps")
        tracker.artefact("train", "policy", tmp_path / "model", facts={"digest": "ab" * 32})
        tracking.stage("distil", "distil-a", ()).row(7, {"rm/descender/val_acc": 0.9})
    rows = history(run)
    assert [row["skill/descender/reward"] for row in rows if "skill/descender/reward" in row] == [0, 100, 200]
    assert [row["env_step"] for row in rows if "skill/descender/reward" in row] == [0, 1000, 2000]
    assert [row["skill/ascender/reward"] for row in rows[:3]] == [0, 0, 0]  # zeros are values
    assert next(row["distil/step"] for row in rows if "rm/descender/val_acc" in row) == 7
    [folder] = folders(run)
    pages = [path.read_text() for path in folder.rglob("*.html")]
    assert pages == ["<!doctype html><p>here</p>"]
    tables = [json.loads(path.read_text()) for path in folder.rglob("*.table.json")]
    assert tables[0]["data"] == [["</b> & 'so'", 1.5]]
    text = json.dumps(inspect(folder))
    assert "seed-0" in text
    assert group_of(config, CONFIG) in text
    assert "ab" * 32 in text
    assert not [path for path in nobody.rglob("*") if "artifacts" in path.parts]


def test_axis_and_summary_of_every_figure_are_told(tmp_path: Path) -> None:
    config = load(CONFIG, ("tracking.wandb=offline",))
    with Tracking(config, tmp_path, CONFIG) as tracking:
        logged = (Logged("loss/kl", "nats", "", "max"),)
        tracking.stage("train", "train-a", logged).row(1, {"loss/kl": 1.0})
        tracking.stage("gate", "gate-a", ()).row(1, {"gate/problems": 0})
    metrics = {
        record["metric"]["name"]: record["metric"]
        for record in inspect(folders(tmp_path)[0])
        if record["type"] == "metric" and "name" in record["metric"]
    }
    assert metrics["loss/kl"]["summary"] == {"max": True}
    assert metrics["gate/problems"]["step_metric"] == "gate/step"


def test_a_row_reaches_wandbs_file_while_the_run_goes_on(tmp_path: Path) -> None:
    config = load(CONFIG, ("tracking.wandb=auto",))
    with Tracking(config, tmp_path, CONFIG) as tracking:
        began = time.monotonic()
        tracking.stage("train", "train-a", ()).row(512, {"loss/kl": 0.125})
        while not any(row.get("loss/kl") == 0.125 for row in history(tmp_path)):
            assert time.monotonic() - began < 60
            time.sleep(0.2)


def small(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(small_stages.FOLDER), "run", "mine.yaml", "tracking.wandb=offline"]
    output = (folder / "output.txt").open("ab")
    environment |= {
        name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"
    }  # a test's own
    with output:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)


def test_after_a_kill_the_same_run_goes_on_and_each_row_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(small_stages.CONFIG)
    (tmp_path / "program.py").write_text("")
    run = tmp_path / "runs" / "quickstart"
    for chunks in (2, 6):
        with small(tmp_path, SECONDS_A_CHUNK="0.3") as process:
            until = time.monotonic() + 60
            while len(list(read(run / "tracking" / "journal.jsonl"))) < chunks:
                assert process.poll() is None, (tmp_path / "output.txt").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
    with small(tmp_path) as process:
        assert process.wait() == 0, (tmp_path / "output.txt").read_text()
    rows = [row for row in history(run) if "draw/chunks" in row]
    assert [row["draw/chunks"] for row in rows] == list(range(1, small_stages.CHUNKS + 1))
    assert [row["_step"] for row in rows] == list(range(small_stages.CHUNKS))
    assert len(folders(run)) == 3
    ids = {
        record["run"]["run_id"]
        for folder in folders(run)
        for record in inspect(folder)
        if record["type"] == "run"
    }
    assert len(ids) == 1


@pytest.fixture
def refusing() -> Iterator[str]:
    """A server that knows no key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("key", [None, "0" * 40])
def test_one_that_was_asked_for_and_cannot_start_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str, key: str | None
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", refusing)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    config = load(CONFIG, ("tracking.wandb=online",))
    with (
        Tracking(config, tmp_path, CONFIG) as tracking,
        pytest.raises(UserError, match=r"tracking\.wandb: online: wandb cannot start: .*"),
    ):
        tracking.stage("train", "train-a", ())


def test_a_wrong_key_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", refusing)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    config = load(CONFIG, ("tracking.wandb=auto",))
    with caplog.at_level(logging.INFO, logger="maestromotif"), Tracking(config, tmp_path, CONFIG) as tracking:
        tracking.stage("train", "train-a", ()).row(1, {"loss/kl": 1.0})
    assert "wandb: going offline (" in caplog.text
    assert [row["loss/kl"] for row in history(tmp_path)] == [1.0]


def test_the_environment_switches_wandb_off_and_the_config_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for mode, off in (("auto", True), ("offline", False)):
        run = tmp_path / mode
        config = load(CONFIG, (f"tracking.wandb={mode}",))
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="maestromotif"), Tracking(config, run, CONFIG) as tracking:
            for stage in ("collect", "train"):
                tracking.stage(stage, f"{stage}-a", ()).row(1, {"loss/kl": 1.0})
        said = [
            one
            for one in caplog.messages
            if one == "wandb: off, because the environment has WANDB_MODE=disabled"
        ]
        assert len(said) == off
        assert (run / "wandb").exists() is not off
        assert len(list(read(run / "tracking" / "journal.jsonl"))) == 2


def test_the_environment_asks_for_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked then, not even whether the key is right."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_BASE_URL", refusing)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    config = load(CONFIG, ("tracking.wandb=auto",))
    with caplog.at_level(logging.INFO, logger="maestromotif"), Tracking(config, tmp_path, CONFIG) as tracking:
        tracking.stage("train", "train-a", ()).row(1, {"loss/kl": 1.0})
    assert "wandb: going offline (WANDB_MODE asks for it)" in caplog.messages
    assert [row["loss/kl"] for row in history(tmp_path)] == [1.0]


@pytest.mark.parametrize(
    ("address", "key"),
    [("http://127.0.0.1:9", "0" * 40), ("http://127.0.0.1:9", "SECRET\nSECRET"), ("nowhere", "0" * 40)],
)
def test_without_a_network_the_offline_run_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str, key: str
) -> None:
    """Also with a key or an address that wandb cannot use."""
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", key)
    config = load(CONFIG, ("tracking.wandb=auto",))
    with caplog.at_level(logging.INFO, logger="maestromotif"), Tracking(config, tmp_path, CONFIG) as tracking:
        tracker = tracking.stage("train", "train-a", ())
        for step in range(3):
            tracker.row(step, {"loss/kl": float(step)})
    assert "wandb: going offline (" in caplog.text
    assert "in use" not in caplog.text
    assert "SECRET" not in caplog.text
    monkeypatch.delenv("WANDB_BASE_URL")
    assert [row["loss/kl"] for row in history(tmp_path)] == [0.0, 1.0, 2.0]


def test_a_folder_that_wandb_cannot_write_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wandb").write_text("a file where the folder belongs")
    config = load(CONFIG, ("tracking.wandb=auto",))
    with (
        caplog.at_level(logging.WARNING, logger="maestromotif"),
        Tracking(config, tmp_path, CONFIG) as tracking,
    ):
        tracking.stage("train", "train-a", ()).row(1, {"loss/kl": 1.0})
    [warning] = [one for one in caplog.messages if one.startswith("wandb: ")]
    assert "nothing more is sent, but the run goes on" in warning
    assert len(list(read(tmp_path / "tracking" / "journal.jsonl"))) == 1


def test_runs_that_differ_only_in_their_seed_are_one_group() -> None:
    one, other, third = (
        load(CONFIG, changes)
        for changes in (("run.seed=1",), ("run.seed=2", "run.name=b"), ("train.gamma=0.9",))
    )
    assert group_of(one, f"{CONFIG} run.seed=1") == group_of(other, f"{CONFIG} run.seed=2 run.name=b")
    assert group_of(one, CONFIG) != group_of(third, CONFIG)


def online_rows(server: wandb_stub.Server) -> list[dict[str, Any]]:
    """Those of the only run."""
    [rows] = server.rows.values()
    return [row for row in rows if "loss/kl" in row]


def test_online_a_run_goes_on_where_the_server_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(CONFIG, ("tracking.wandb=online",))
    with wandb_stub.running(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        for last in (3, 6):  # the second process logs the first rows again
            with Tracking(config, tmp_path, CONFIG) as tracking:
                tracker = tracking.stage("train", "train-a", ())
                for step in range(last):
                    tracker.row(step, {"loss/kl": float(step)})
        assert [(row["_step"], row["loss/kl"]) for row in online_rows(server)] == [(n, n) for n in range(6)]


def test_a_server_that_dies_does_not_hold_up_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(maestromotif.tracking.wandb, "FINISH_SECONDS", 3.0)
    config = load(CONFIG, ("tracking.wandb=online",))
    with caplog.at_level(logging.WARNING, logger="maestromotif"):
        with wandb_stub.running(KEY) as server:
            monkeypatch.setenv("WANDB_BASE_URL", server.address)
            monkeypatch.setenv("WANDB_API_KEY", KEY)
            tracking = Tracking(config, tmp_path, CONFIG)
            tracker = tracking.stage("train", "train-a", ())
            tracker.row(0, {"loss/kl": 0.0})
        began = time.monotonic()
        for step in range(1, 100):
            tracker.row(step, {"loss/kl": float(step)})
        assert time.monotonic() - began < 5
        with tracking:
            pass
    assert len(list(read(tmp_path / "tracking" / "journal.jsonl"))) == 100
    assert "the server does not take everything" in caplog.text
    wandb.teardown()
