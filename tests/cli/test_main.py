"""The command line as a user meets it: real processes, their output and their exit status."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_stages

from maestromotif import __version__
from maestromotif.cli.output import print_result
from maestromotif.pipeline.stages import STAGES
from maestromotif.pipeline.store import Artefact


def maestromotif(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maestromotif", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(small_stages.CONFIG)
    return tmp_path


def test_help_names_every_verb_in_order() -> None:
    done = maestromotif("--help")
    assert done.returncode == 0
    places = [
        done.stdout.index(f"\n  {verb} ") for verb in ("run", *(stage.name for stage in STAGES), "doctor")
    ]
    assert places == sorted(places)


def test_help_waits_for_no_heavy_import() -> None:
    code = (
        "import sys; from maestromotif.cli.main import cli; cli(['run', '--help'], standalone_mode=False);"
        "print([m for m in ('jax', 'numpy', 'yaml', 'pydantic', 'wandb', 'nle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version() -> None:
    assert maestromotif("--version").stdout == f"maestromotif {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu", "mine.yaml"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument 'CONFIG'."),
        (
            ["run", "mine.yaml", "--until", "juggle"],
            "'juggle' is not one of 'compose', 'collect', 'annotate'",
        ),
        (["run", "yours.yaml"], "yours.yaml: no such file"),
        (["run", "configs/yours.yaml"], "no such file; it was looked for in "),
        (["watch", "runs/yours"], "runs/yours: does not exist; name a run's folder, such as runs/quickstart"),
        (["tasks", "--to", "made", "--program", "no.py"], "no.py does not exist; it was looked for in "),
        (["tasks", "--to", "task.md", "--count", "1", "--program", "task.md"], "task.md: is not a folder"),
        (["compose", "go", "down"], "put a task in words in quotes: maestromotif compose 'go down'"),
        (["compose", ""], "command line: the name of the config is empty"),
        (["run", "task.md"], "a config is a YAML file, such as configs/quickstart.yaml"),
        (["run", "--train.steps=1000", "mine.yaml"], "name the config first, then KEY=VALUE without dashes"),
        (
            ["train", "mine.yaml", "train.step=1"],
            "command line: train.step: unknown key; did you mean 'steps'?",
        ),
        (
            ["run", "mine.yaml", "--train.steps=1000"],
            "no dashes before an override; write train.steps=1000",
        ),
        (
            ["run", "mine.yaml", "--train.steps", "1000"],
            "no dashes before an override; write train.steps=1000",
        ),
        (
            ["run", "mine.yaml", "run.root=mine.yaml"],
            "mine.yaml/quickstart: cannot be used as the run's folder",
        ),
    ],
)
def test_mistakes_are_said_without_a_traceback_and_exit_with_2(
    folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "skills").mkdir()
    (folder / "task.md").write_text("---\nname: task\n---\nGo down.\n")
    done = maestromotif(*arguments, folder=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_print_config_prints_what_can_be_loaded_again(folder: Path) -> None:
    first = maestromotif("run", "mine.yaml", "train.steps=77", "--print-config", folder=folder)
    assert first.returncode == 0, first.stderr
    assert "  steps: 77\n" in first.stdout
    (folder / "again.yaml").write_text(first.stdout)
    assert maestromotif("train", "again.yaml", "--print-config", folder=folder).stdout == first.stdout
    assert not (folder / "runs").exists()


def test_what_a_stage_says_in_markdown_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gate.md").write_text("| a table |\n")
    print_result(Artefact(tmp_path, {"outputs": {"gate.json": "", "gate.md": ""}, "facts": {}}))
    assert capsys.readouterr().out == f"# {tmp_path / 'gate.md'}\n\n| a table |\n\n{tmp_path}\n"


def test_a_run_tells_its_way_on_stderr_and_its_result_on_stdout(folder: Path) -> None:
    (folder / "program.py").write_text("first")
    command = [sys.executable, str(small_stages.FOLDER), "run", "mine.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs/quickstart/page/page.html\n"
    assert [line.split("  ")[1].split(" in ")[0] for line in done.stderr.splitlines()] == [
        "[1/3] draw: begins",
        "[1/3] draw: done",
        "[2/3] total: begins",
        "[2/3] total: done",
        "[3/3] page: begins",
        "[3/3] page: done",
    ]
