"""A task is exported with the shipped policy; its evaluator scores programs in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import yaml
from click.testing import CliRunner

from maestromotif.cli.main import cli
from maestromotif.errors import UserError
from maestromotif.evaluate.export import export
from maestromotif.evaluate.exported import check_unchanged

pytestmark = pytest.mark.slow  # many processes, each of which starts JAX and the games

ROOT = Path(__file__).parents[2]
RUN = Path("policies/trained/six_skills")
WRONG = """\
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return "diver"
"""


@pytest.fixture(scope="module", autouse=True)
def _in_the_repository() -> Iterator[None]:
    """The shipped policy's config names files relative to the repository."""
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, _in_the_repository: None) -> Path:
    folder = tmp_path_factory.mktemp("export") / "task"
    words = ["down_and_back", "--to", str(folder), "--episodes", "2", "--max-steps", "40"]
    done = CliRunner().invoke(cli, ["export-task", *words], catch_exceptions=False)
    assert done.output == f"{folder}\n"
    return folder


def evaluate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As a user calls it, from a folder in which no path of the repository exists."""
    return subprocess.run(
        [sys.executable, str(folder / "evaluate.py"), *words],
        cwd=folder.parent,
        env=tiny.environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_evaluator_scores_the_starter_as_at_export(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "starter.py", tmp_path / "mine.py")
    done = evaluate(exported, str(tmp_path / "mine.py"), "--episodes", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    starter, random = json.loads((exported / "scores.json").read_text())
    assert found.pop("manifest")
    assert found == {**starter, "program": "mine.py"}
    assert (found["metric"], found["episodes"], found["max_steps"]) == ("success", 2, 40)
    assert found["low"] <= found["value"] <= found["high"]
    assert found["salt"] is None
    assert random["program"] == "random_skills.py"


def test_hidden_games_are_others_and_the_salt_stays_secret(exported: Path, tmp_path: Path) -> None:
    salt = tmp_path / "salt"
    salt.write_text("a secret of the judge\n")
    done = evaluate(exported, str(exported / "random_skills.py"), "--episodes", "2", "--salt", str(salt))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["salt"]) == 8
    assert "secret" not in done.stdout + done.stderr
    salt.write_text("short")
    done = evaluate(exported, str(exported / "starter.py"), "--salt", str(salt))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{salt}: a salt has at least 16 characters" in done.stderr


def test_the_folder_says_what_is_wanted_and_is_read_only(exported: Path) -> None:
    text = " ".join((exported / "README.md").read_text().split())
    assert "python evaluate.py PROGRAM" in text
    assert "`depth >= 2`, then `depth == 1`" in text
    assert "downstairs_seen: bool" in text
    told = yaml.safe_load((exported / "metadata.yaml").read_text())
    assert (told["name"], told["metric"], told["higher_is_better"]) == ("down_and_back", "success", True)
    assert set(told["baseline_scores"]) == {"starter.py", "random_skills.py"}
    assert not [path for path in exported.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]


def test_a_changed_folder_scores_nothing(exported: Path, tmp_path: Path) -> None:
    changed = tmp_path / "task"
    shutil.copytree(exported, changed)
    check_unchanged(changed)
    (changed / "skills" / "ascender.py").chmod(0o644)
    (changed / "skills" / "ascender.py").write_text("")
    (changed / "tasks" / "down_and_back.md").unlink()
    (changed / "skills" / "extra.py").write_text("")
    done = evaluate(changed, str(changed / "starter.py"))
    assert done.returncode == 2
    assert "skills/ascender.py: was changed" in done.stderr
    assert "tasks/down_and_back.md: is missing" in done.stderr
    assert "skills/extra.py: is not part of the export" in done.stderr


def test_a_program_that_fails_its_check_has_no_score(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WRONG)
    done = evaluate(exported, str(tmp_path / "mine.py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/mine.py:3" in done.stderr
    assert "diver" in done.stderr
    done = evaluate(exported, str(tmp_path / "none.py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/none.py: no such program" in done.stderr


def test_what_is_wrong_is_said_and_leaves_no_folder(exported: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    with pytest.raises(UserError, match="did you mean 'down_and_back'"):
        export(RUN, "down_and_bakc", to, 0)
    with pytest.raises(UserError, match="nowhere: does not exist"):
        export(Path("nowhere"), "down_and_back", to, 0)
    with pytest.raises(UserError, match="task: exists and is not an empty folder"):
        export(RUN, "down_and_back", exported, 0)
    (tmp_path / "mine.py").write_text(WRONG)
    with pytest.raises(UserError, match=r"mine.py:3"):
        export(RUN, "down_and_back", to, 0, starter=tmp_path / "mine.py")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_scores_can_be_left_out_and_a_missing_program_has_a_trivial_starter(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "far.md").write_text("---\nname: far\nsuccess: [depth >= 9]\n---\nGo far down.\n")
    (tmp_path / "run").mkdir()
    text = (RUN / "config.yaml").read_text()
    text = text.replace("- down_and_back", "- far").replace(
        "tasks_folder: tasks", f"tasks_folder: {tmp_path}/tasks"
    )
    (tmp_path / "run" / "config.yaml").write_text(text)
    shutil.copy(RUN / "policy.msgpack", tmp_path / "run")
    folder = export(tmp_path / "run", "far", tmp_path / "to", 0)
    assert json.loads((folder / "scores.json").read_text()) == []
    assert 'return "discoverer"' in (folder / "starter.py").read_text()
    assert "Go far down." in (folder / "README.md").read_text()
