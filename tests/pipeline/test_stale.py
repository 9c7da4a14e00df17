"""Stale work is reported, and neither reused nor repeated until the user chooses."""

import json
import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_learning
import small_stages
import tiny

import maestromotif
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.pipeline import runner, store
from maestromotif.pipeline.runner import Stale
from maestromotif.pipeline.stages import Stage
from maestromotif.pipeline.store import Artefact

RUN = Path("runs/quickstart")


def stages_of(package: str) -> tuple[Stage, ...]:
    return (
        Stage("draw", "", f"{package}.draw", (), ("run", "collect", "nethack")),
        Stage("total", "", f"{package}.total", ("draw",), ("distil",)),
        Stage("page", "", f"{package}.page", ("draw", "total"), ("tasks", "tracking")),
    )


STAGES = stages_of("edited_stages")


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the small stages to edit. What runs is what was imported first."""
    folder = tmp_path / "edited_stages"
    shutil.copytree(small_stages.FOLDER, folder)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(small_stages.CONFIG)
    Path("program.py").write_text("first")
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "edited_stages"]:
        del sys.modules[name]


def edit(path: Path) -> None:
    path.write_text(path.read_text() + f"\nEDITED = {time.monotonic_ns()}\n")


def run(stale: Stale | None = None, *overrides: str) -> list[Artefact]:
    config = load("mine.yaml", overrides)
    return runner.run_all(config, runner.open_run(config, "mine.yaml"), STAGES, stale=stale)


def run_one(name: str, stale: Stale | None = None) -> Artefact:
    config = load("mine.yaml")
    return runner.run_stage(config, name, runner.open_run(config, "mine.yaml"), STAGES, stale)


def manifest(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RUN / stage / "manifest.json").read_text())
    return found


def untimed(error: UserError) -> str:
    return re.sub(r"took \d+ s", "took 0 s", str(error))


def test_the_manifest_says_which_code_made_it() -> None:
    run()
    assert list(manifest("draw")["code"]) == ["edited_stages/__init__.py", "edited_stages/draw.py"]


def test_edited_code_stops_a_run_and_names_every_stale_stage(code: Path) -> None:
    run()
    before = {stage.name: manifest(stage.name) for stage in STAGES}
    edit(code / "draw.py")
    edit(code / "page.py")
    with pytest.raises(UserError) as caught:
        run()
    assert untimed(caught.value).splitlines() == [
        f"{RUN}/draw (took 0 s): the code has changed since: edited_stages/draw.py",
        f"{RUN}/page (took 0 s): the code has changed since: edited_stages/page.py",
        "use it as it is with: maestromotif run mine.yaml --stale reuse",
        "or make it again with: maestromotif run mine.yaml --stale repeat",
    ]
    assert before == {stage.name: manifest(stage.name) for stage in STAGES}


def test_stale_work_is_reused_only_while_the_user_says_so(
    code: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    before = manifest("draw")
    edit(code / "draw.py")
    with caplog.at_level(logging.INFO, "maestromotif"):
        run("reuse")
    assert "[1/3] draw: used as it is; runs/quickstart/draw (took" in caplog.text
    assert "[2/3] total: already done" in caplog.text
    assert manifest("draw") == before
    with pytest.raises(UserError, match="--stale repeat"):
        run()


def test_repeated_work_is_current_and_the_older_is_kept(code: Path) -> None:
    run()
    old, text = manifest("draw"), (code / "draw.py").read_text()
    edit(code / "draw.py")
    run("repeat")
    assert manifest("draw")["code"] != old["code"]
    assert manifest("draw")["outputs"] == old["outputs"]  # so that what is behind it is current too
    run()
    (code / "draw.py").write_text(text)  # the edit is taken back: its own artefact is there again
    run()
    assert manifest("draw") == old
    assert len(list(RUN.glob(".earlier/draw-*"))) == 1


def test_a_stage_alone_asks_for_its_inputs_too(code: Path, caplog: pytest.LogCaptureFixture) -> None:
    run()
    edit(code / "draw.py")
    with pytest.raises(UserError) as caught:
        run_one("total")
    assert str(caught.value).splitlines()[1:] == [
        "use it as it is with: maestromotif total mine.yaml --stale reuse",
        "or make it again with: maestromotif draw mine.yaml --stale repeat",
    ]
    edit(code / "total.py")
    old = manifest("total"), manifest("draw")
    with caplog.at_level(logging.INFO, "maestromotif"):
        run_one("total", "repeat")  # a long training is kept, and what follows from it done again
    assert "draw: used as it is" in caplog.text
    assert manifest("draw") == old[1]
    assert manifest("total")["code"] != old[0]["code"]


def half_done(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stage `draw` that was stopped before its end."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.Run, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            run()
    (folder,) = RUN.glob(".work/draw-*")
    return folder


def test_half_done_work_of_older_code_is_stale_too(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, text = half_done(monkeypatch), (code / "draw.py").read_text()
    edit(code / "draw.py")
    with pytest.raises(UserError) as caught:
        run()
    first = str(caught.value).splitlines()[0]
    assert first == f"{folder} (unfinished): the code has changed since: edited_stages/draw.py"
    run("reuse")
    made = manifest("draw")
    assert made["resumed"]
    assert made["facts"]["computed"] == 0
    assert " then " in made["code"]["edited_stages/draw.py"]
    for now in (text, (code / "draw.py").read_text()):  # made by both, so it passes for neither
        (code / "draw.py").write_text(now)
        with pytest.raises(UserError, match=r"draw \(took \d+ s\): the code has changed since"):
            run()


def test_half_done_work_of_older_code_is_not_lost_when_it_begins_again(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, text = half_done(monkeypatch), (code / "draw.py").read_text()
    edit(code / "draw.py")
    run("repeat")
    assert not manifest("draw")["resumed"]
    assert store.has_work(folder)
    (code / "draw.py").write_text(text)
    run()  # the edit is taken back: the run resumes
    assert manifest("draw")["resumed"]
    assert not folder.exists()


def test_an_edit_while_a_command_runs_is_written_down(
    code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finish = store.Run.finish

    def finish_and_edit(self: store.Run, *arguments: Any) -> Artefact:
        edit(code / "total.py")
        return finish(self, *arguments)

    monkeypatch.setattr(store.Run, "finish", finish_and_edit)
    with caplog.at_level(logging.INFO, "maestromotif"):
        run()
    assert "total: edited while this command was running: edited_stages/total.py" in caplog.text
    assert " then " in manifest("total")["code"]["edited_stages/total.py"]


def test_an_old_run_folder_says_what_to_do_with_it() -> None:
    run()
    for stage in STAGES:
        old = manifest(stage.name)
        del old["code"]
        (RUN / stage.name / "manifest.json").write_text(json.dumps(old | {"version": "0.1.0"}))
    for command in (run, lambda: run_one("page"), lambda: run("reuse")):
        with pytest.raises(UserError) as caught:
            command()
        first, second = str(caught.value).splitlines()
        assert first.startswith(
            f"{RUN}/draw/manifest.json: does not say which code made it, because version 0.1.0"
        )
        assert second == (f"start another run with run.name=another, or remove this one: rm -r {RUN}")


def test_what_was_made_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain in which every stage is given all those before it, as the report is."""
    names = [f"s{number}" for number in range(8)]
    chain = tuple(
        Stage(name, "", "edited_stages.draw", tuple(names[:number]), ("run", "collect"))
        for number, name in enumerate(names)
    )
    config = load("mine.yaml")
    runner.run_all(config, runner.open_run(config), chain)
    seen: list[Path] = []
    sha256 = store.sha256

    def counting(path: Path) -> str:
        seen.append(path)
        return sha256(path)

    monkeypatch.setattr(store, "sha256", counting)
    runner.run_stage(config, names[-1], runner.open_run(config), chain)
    assert sorted(path.parent.name for path in seen) == names
    seen.clear()
    runner.run_all(config, runner.open_run(config), chain)
    assert sorted(path.parent.name for path in seen) == names


def maestromotif_command(folder: Path, package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maestromotif", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=tiny.environment(PYTHONPATH=str(package)),
    )


@pytest.mark.slow
def test_a_training_outlives_an_edit_of_the_events(tmp_path: Path) -> None:
    """The real command line and the real training, in a copy of the checkout that is edited."""
    package = tmp_path / "check out"
    shutil.copytree(Path(maestromotif.__file__).parent, package / "maestromotif")
    Path("small.yaml").write_text(small_learning.CONFIG)
    words = ("train", "small.yaml", "run.name=my.run", f"run.root={tmp_path}/my runs")
    first = maestromotif_command(tmp_path, package, *words)
    assert first.returncode == 0, first.stderr
    policy = tmp_path / "my runs/my.run/train/policy.msgpack"
    before = policy.read_bytes()

    events = package / "maestromotif/nethack/events.py"
    events.write_text(events.read_text() + "\nMORE = 1\n")
    second = maestromotif_command(tmp_path, package, *words)
    assert second.returncode == 2
    says, reuse, repeat = second.stderr.strip().splitlines()
    assert says.startswith(f"{policy.parent} (took ")
    assert says.endswith("the code has changed since: maestromotif/nethack/events.py")
    command = f"maestromotif train small.yaml run.name=my.run '{words[-1]}' --stale"
    assert (reuse.partition(": ")[2], repeat.partition(": ")[2]) == (f"{command} reuse", f"{command} repeat")
    assert policy.read_bytes() == before

    third = maestromotif_command(tmp_path, package, *words, "--stale", "reuse")
    assert third.returncode == 0, third.stderr
    assert "train: used as it is; " in third.stderr
    assert third.stdout.strip() == str(policy.parent)
    assert policy.read_bytes() == before

    fourth = maestromotif_command(tmp_path, package, *words, "--stale", "repeat")
    assert fourth.returncode == 0, fourth.stderr
    assert "train: begins" in fourth.stderr
    assert policy.read_bytes() == before  # the edit had no effect on what is learned
    assert list((tmp_path / "my runs/my.run/.earlier").glob("train-*/policy.msgpack"))
