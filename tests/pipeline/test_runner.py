"""Which stages run and which are skipped; a killed run ends with the same artefacts as an unbroken one."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import small_stages.page
import small_stages.total
from small_disk import on_small_disk

from maestromotif import __version__
from maestromotif.cli import main
from maestromotif.config.load import load
from maestromotif.config.schema import Config, RunSettings
from maestromotif.errors import UserError
from maestromotif.pipeline import keys, runner, store
from maestromotif.pipeline import stages as ours
from maestromotif.pipeline.store import Artefact

STAGES = small_stages.STAGES


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(small_stages.CONFIG)
    Path("program.py").write_text("first")


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Runs all stages and returns those that had something to do."""

    def run_all(*overrides: str) -> list[str]:
        config = load("mine.yaml", overrides)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="maestromotif"):
            runner.run_all(config, runner.open_run(config, "mine.yaml"), STAGES)
        return [stage.name for stage in STAGES if f"] {stage.name}: done in" in caplog.text]

    return run_all


def run_one(stage: str, *overrides: str) -> Artefact:
    config = load("mine.yaml", overrides)
    return runner.run_stage(config, stage, runner.open_run(config, "mine.yaml"), STAGES)


def everything(folder: Path) -> dict[str, bytes]:
    """Content of every output file of the finished stages."""
    found = {}
    for stage in STAGES:
        manifest = json.loads((folder / stage.name / "manifest.json").read_text())
        for name in manifest["outputs"]:
            found[f"{stage.name}/{name}"] = (folder / stage.name / name).read_bytes()
    return found


def test_a_second_run_has_nothing_to_do(
    run: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    assert run() == ["draw", "total", "page"]
    assert "[1/3] draw: begins" in caplog.text
    assert "; left: total, page" in caplog.text
    written = {
        path: path.stat().st_mtime_ns for path in Path("runs/quickstart").rglob("*.*") if path.is_file()
    }
    assert run() == []
    assert "[1/3] draw: already done" in caplog.text
    for path, when in written.items():
        assert path.name in ("config.yaml", ".lock") or path.stat().st_mtime_ns == when


def test_the_manifest_says_what_a_stage_was_made_from(run: Callable[..., list[str]]) -> None:
    run("distil.epochs=3")
    manifest = json.loads(Path("runs/quickstart/total/manifest.json").read_text())
    draw = json.loads(Path("runs/quickstart/draw/manifest.json").read_text())
    assert manifest["config"]["distil.epochs"] == 3
    assert {key.split(".")[0] for key in manifest["config"]} == {"distil"}
    assert manifest["inputs"] == {"draw": Artefact(Path(), draw).digest}
    assert list(manifest["files"]) == ["program.py"]
    assert manifest["facts"] == {"count": 50 * small_stages.CHUNKS}
    assert load("runs/quickstart/config.yaml").distil.epochs == 3


def test_only_what_depends_on_a_change_is_made_again(run: Callable[..., list[str]]) -> None:
    run()
    first = everything(Path("runs/quickstart"))
    assert run("distil.epochs=2") == ["total", "page"]
    assert everything(Path("runs/quickstart")) != first
    assert run("distil.epochs=2", "evaluate.episodes=7") == ["page"]
    assert run("distil.epochs=2", "run.seed=1") == ["draw", "total", "page"]
    assert run() == []  # the first settings again: their outputs were kept
    assert everything(Path("runs/quickstart")) == first


def test_an_input_made_again_with_the_same_content_changes_nothing_behind_it(
    run: Callable[..., list[str]],
) -> None:
    run()
    assert run("nethack.max_steps=7") == ["draw"]


def test_a_changed_file_counts_as_a_change(run: Callable[..., list[str]]) -> None:
    run()
    Path("program.py").write_text("second")
    assert run() == ["total"]


@pytest.mark.parametrize(
    "setting",
    ["nethack.workers=3", "language.threads=2", "language.cache=elsewhere", "tracking.project=other"],
)
def test_how_fast_and_where_is_no_change(run: Callable[..., list[str]], setting: str) -> None:
    run()
    assert run(setting) == []


def test_a_stage_beside_the_path_is_run_if_the_config_asks_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beside = ours.Stage("soup", "Soup.", "small_stages.total", ("draw",), ("distil",), optional=True)
    page = ours.Stage("page", "Page.", "small_stages.page", ("draw", "total", "soup"), ())
    stages = (*STAGES[:2], beside, page)

    def run(*overrides: str, until: str | None = None) -> list[str]:
        config = load("mine.yaml", overrides)
        made = runner.run_all(config, runner.open_run(config, "mine.yaml"), stages, until)
        return [artefact.path.name for artefact in made]

    assert run(until="total") == ["draw", "total"]
    assert run() == ["draw", "total", "page"]
    assert run("run.further=[soup]") == ["draw", "total", "soup", "page"]
    assert list(run_inputs("page")) == ["draw", "total", "soup"]
    with caplog.at_level(logging.INFO, "maestromotif"):
        assert run() == ["draw", "total", "page"]
    assert "[1/3] draw: already done" in caplog.text  # an optional stage does not change the others
    assert list(run_inputs("page")) == ["draw", "total"]
    with pytest.raises(
        UserError, match="--until soup: not a stage of this run; its stages are: draw, total, page"
    ):
        run(until="soup")


def run_inputs(stage: str) -> dict[str, str]:
    manifest = json.loads(Path(f"runs/quickstart/{stage}/manifest.json").read_text())
    return dict(manifest["inputs"])


def test_what_cannot_be_read_is_found_before_anything_runs(run: Callable[..., list[str]]) -> None:
    Path("program.py").unlink()
    with pytest.raises(
        UserError, match=r"program\.py: cannot be read: No such file.*compose\.training must name"
    ):
        run()
    assert not Path("runs/quickstart/draw").exists()
    assert not Path("runs/quickstart/.work").exists()


def test_a_stage_alone_names_the_command_for_what_it_lacks() -> None:
    with pytest.raises(
        UserError, match=r"stage 'draw' is not finished; .*: maestromotif run mine\.yaml --until draw"
    ):
        run_one("total")
    run_one("draw")
    assert run_one("total").manifest["facts"] == {"count": 50 * small_stages.CHUNKS}


def test_a_stage_alone_refuses_what_was_made_otherwise() -> None:
    for stage in ("draw", "total", "page"):
        run_one(stage)
    with pytest.raises(UserError) as caught:
        run_one("page", "distil.epochs=2")
    lines = str(caught.value).splitlines()
    assert (
        lines[0]
        == "runs/quickstart/total: was made with other settings or inputs: distil.epochs was 30, is 2"
    )
    assert lines[1] == "make it again with: maestromotif total mine.yaml"
    with pytest.raises(
        UserError, match=r"draw: was made with other settings or inputs: run\.seed was 0, is 1"
    ):
        run_one("page", "run.seed=1")
    Path("program.py").write_text("second")
    with pytest.raises(
        UserError, match=r"total: was made with other settings or inputs: program\.py has changed"
    ):
        run_one("page")
    run_one("total")
    run_one("page")
    run_one("draw", "collect.explorer_steps=60")
    with pytest.raises(
        UserError, match=r"total: was made with other settings or inputs: 'draw' was made again since"
    ):
        run_one("page", "collect.explorer_steps=60")


def test_a_stage_that_fails_leaves_the_earlier_ones_whole(run: Callable[..., list[str]]) -> None:
    with pytest.raises(RuntimeError, match="not liked"):
        run("distil.epochs=666")
    assert run("distil.epochs=2") == ["total", "page"]


def test_damage_is_found_before_it_spreads(run: Callable[..., list[str]]) -> None:
    run()
    Path("runs/quickstart/draw/numbers.npz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"draw/numbers\.npz: is damaged.*\n.*rm -r runs/quickstart/draw"):
        run()


def test_each_file_of_a_finished_run_is_hashed_once(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    hashed: list[Path] = []

    def counting(path: Path) -> str:
        hashed.append(path)
        return true_hash(path)

    true_hash = store.sha256
    monkeypatch.setattr(store, "sha256", counting)
    for again in (lambda: run_one("page"), run):
        hashed.clear()
        again()
        outputs = [path for path in hashed if "runs" in path.parts]
        assert len(outputs) == len(set(outputs)) > 2


def test_what_a_stage_would_refuse_is_found_before_the_first_begins(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def foresee(config: Config) -> None:
        raise UserError("mine.txt:3: is wrong")

    monkeypatch.setattr(small_stages.page, "foresee", foresee, raising=False)
    with pytest.raises(UserError, match=r"^mine\.txt:3: is wrong$"):
        run()
    assert not list(Path("runs/quickstart").glob("*/manifest.json"))


def test_a_finished_stage_is_not_asked_what_it_would_refuse(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, say, which a run that goes on after its annotation no longer needs."""
    run()

    def foresee(config: Config) -> None:
        raise UserError("no key")

    monkeypatch.setattr(small_stages.total, "foresee", foresee, raising=False)
    shutil.rmtree("runs/quickstart/page")
    assert run() == ["page"]
    shutil.rmtree("runs/quickstart/total")
    with pytest.raises(UserError, match=r"^no key$"):
        run()


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(small_stages.FOLDER), *arguments]


def test_a_killed_run_goes_on_and_ends_like_an_unbroken_one(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("run.name=unbroken")
    monkeypatch.setenv("SECONDS_A_CHUNK", "0.1")
    for attempt in range(2):
        with subprocess.Popen(
            command("run", "mine.yaml"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            wait_for(lambda: len(chunks()) >= 3 * (attempt + 1), process)  # noqa: B023 - awaited at once
            process.kill()
        assert not Path("runs/quickstart/draw").exists()
    assert run() == ["draw", "total", "page"]
    assert everything(Path("runs/quickstart")) == everything(Path("runs/unbroken"))
    facts = json.loads(Path("runs/quickstart/draw/manifest.json").read_text())["facts"]
    assert facts["computed"] <= small_stages.CHUNKS - 6  # what was done was not done again


def chunks() -> list[Path]:
    return list(Path("runs/quickstart").glob(".work/draw-*/.scratch/[0-9]*.npz"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_how_to_go_on(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, signal_number: signal.Signals
) -> None:
    monkeypatch.setenv("SECONDS_A_CHUNK", "0.1")
    with subprocess.Popen(
        command("run", "mine.yaml"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_for(lambda: bool(chunks()), process)
        process.send_signal(signal_number)
        output = process.communicate()[0].decode()
    assert process.returncode == 128 + signal_number
    assert output.splitlines()[-1] == "stopped; start the same command again to go on"
    assert "Traceback" not in output


def test_a_full_disk_ends_a_run_with_words_and_more_space_lets_it_go_on(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    arguments = ("run", "mine.yaml", f"run.root={disk}/runs")
    script = " ".join(command(*arguments, "collect.explorer_steps=100000"))
    # full after some chunks; then the same command with room for it
    twice = f"{script}; echo status $?; mount -o remount,size=20m {disk} && {script}; echo status $?"
    done = on_small_disk(tmp_path, "sh", "-c", twice)
    assert done.stdout.splitlines() == [
        "status 2",
        f"{disk}/runs/quickstart/page/page.html",
        "status 0",
    ], done.stderr
    assert f"disk full while writing {disk}/runs/quickstart/.work/draw-" in done.stderr
    assert "draw: resumes" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_users_of_the_table_have_every_stage() -> None:
    names = [stage.name for stage in ours.STAGES]
    verbs = {name: verb for name, verb in main.cli.commands.items() if name in names}
    assert list(verbs) == names
    firsts = [(verb.help or "").partition("\n")[0] for verb in verbs.values()]
    assert firsts == [stage.help for stage in ours.STAGES]
    further = get_args(get_args(RunSettings.model_fields["further"].annotation)[0])
    assert list(further) == [stage.name for stage in ours.STAGES if stage.optional]
    assert ours.STAGES[-1].inputs == tuple(names[:-1])  # the report shows all of them


@pytest.mark.parametrize("stage", ours.STAGES, ids=lambda stage: stage.name)
def test_every_stage_is_there_and_comes_after_its_inputs(stage: ours.Stage) -> None:
    names = [other.name for other in ours.STAGES]
    assert all(names.index(name) < names.index(stage.name) for name in stage.inputs)
    assert callable(stage.reads())
    assert callable(stage.run())


def test_every_setting_is_in_the_key_of_a_stage_or_is_known_not_to_matter() -> None:
    os.chdir(Path(__file__).parents[2])
    config = load("configs/quickstart.yaml")
    everywhere = set(keys.picked(config, tuple(Config.model_fields)))
    before_report = {key for stage in ours.STAGES[:-1] for key in keys.picked(config, stage.settings)}
    only_shown = {key for key in everywhere - before_report if not key.startswith("tracking.")}
    assert only_shown == {"skills_folder", "tasks_folder"}  # the texts in it count by their content


def test_finished_rewards_stand_in_for_the_stages_that_make_them() -> None:
    os.chdir(Path(__file__).parents[2])

    def inputs(stage: str, *overrides: str) -> list[str]:
        config = load("configs/quickstart.yaml", overrides)
        path = runner._Path(config, runner.open_run(config), ours.STAGES, None, "")
        return path.inputs(path.by_name[stage])

    assert inputs("train") == ["distil"]
    assert inputs("train", "reward.path=rewards") == []
    assert inputs("report", "reward.path=rewards") == ["compose", "train", "evaluate"]
    assert inputs("distil", "reward.path=rewards") == ["collect", "annotate", "curate"]  # the verb works
    assert inputs("evaluate", "reward.path=rewards", "train.policy=mine") == ["compose"]
    assert inputs("report", "reward.path=rewards", "train.policy=mine") == ["compose", "evaluate"]


def test_the_folder_of_a_run_of_another_version_is_called_one(tmp_path: Path) -> None:
    """Its config may have what this version does not know."""
    (tmp_path / "config.yaml").write_text("skills: [descender]\ntasks: [down]\ntrain: {warp: 9}\n")
    (tmp_path / "collect").mkdir()
    (tmp_path / "collect" / "manifest.json").write_text('{"version": "99.1"}')
    with pytest.raises(UserError, match="unknown key") as raised:
        runner.config_of(tmp_path)
    last = str(raised.value).splitlines()[-1]
    assert last.startswith(f"{tmp_path}: was made by version 99.1, and this is version {__version__}")
    (tmp_path / "collect" / "manifest.json").write_text("[]")
    with pytest.raises(UserError, match=r"config\.yaml:3: train\.warp: unknown key[^\n]*$"):
        runner.config_of(tmp_path)
