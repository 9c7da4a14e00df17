"""wandb for real, offline, without a key: what was logged can be read back, and a failure loses nothing."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import artefacts
import pytest

from maestromotif.config.schema import TrackingSettings
from maestromotif.pipeline.store import Work
from maestromotif.report import report, tracked


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, no key, no mode: wandb as on a fresh machine."""
    home = tmp_path / "home"
    home.mkdir()
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "NETRC", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


def inspect(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Records of an offline run, read by wandb's own tool."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def test_offline_without_a_key_and_readable_back(
    nobody: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = artefacts.config(tmp_path / "runs")
    with caplog.at_level(logging.INFO, logger="maestromotif"):
        report.run(config, artefacts.make(tmp_path / "made"), Work(tmp_path / "report"))
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("wandb: ")]
    assert [line for line in said if "going offline (" in line]
    assert not [
        one for one in caplog.records if one.name == "maestromotif" and one.levelno >= logging.WARNING
    ]

    [folder] = (tmp_path / "runs" / "handmade" / "wandb").glob("offline-run-*-handmade-0")
    text = json.dumps(inspect(folder))
    curve = [
        json.loads(line) for line in (tmp_path / "made" / "train" / "curve.jsonl").read_text().splitlines()
    ]
    for row in (curve[0], curve[-1]):
        assert str(row["skill/descender/reward_per_call"]) in text
    for key in (
        "eval/success/down_and_back",
        "rm/ascender/val_acc",
        "ann/discoverer/tie_rate",
        "eval/results",
        "paid/descender/unwanted_share",
        "paid/median_steps",
    ):
        assert key in text
    pages = [
        path
        for path in folder.rglob("*.html")
        if path.read_bytes() == (tmp_path / "report" / "report.html").read_bytes()
    ]
    assert len(pages) == 1


def test_disabled_does_nothing(nobody: Path, tmp_path: Path) -> None:
    config = artefacts.config(tmp_path / "runs", tracking=TrackingSettings(wandb="disabled"))
    tracked.log_run(config, {}, tmp_path / "missing.html")
    assert not (tmp_path / "runs").exists()


def test_a_failure_is_a_warning_and_the_report_is_kept(
    nobody: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The place of the run's folder is taken by a file, so wandb cannot write.
    (tmp_path / "runs").write_text("")
    config = artefacts.config(tmp_path / "runs", tracking=TrackingSettings(wandb="offline"))
    report.run(config, artefacts.make(tmp_path / "made"), Work(tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").stat().st_size > 300_000
    [warning] = [record.getMessage() for record in caplog.records if record.name == "maestromotif"]
    assert "NotADirectoryError" in warning or "FileExistsError" in warning
    assert "tracking.wandb=disabled" in warning
