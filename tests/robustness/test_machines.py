"""Machines that refuse something: limits, folders that may only be read, odd names, output to a full disk."""

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
import tiny
from limits import limited

import maestromotif

TASKS = ("tasks", "--count", "60", "--to")
# The wall clock is for people, and for the dates of a server: durations and limits are `time.monotonic`.
WALL_CLOCK: dict[str, set[str]] = {
    "time.time": {"tracking/journal.py", "language/replies.py"},
    "datetime.now": set(),
}


def run(
    *words: object,
    prefix: tuple[str, ...] = (),
    variables: dict[str, str] | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """The command line in the repository's folder, in a process with these limits and variables."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "maestromotif", *map(str, words)],
        cwd=tiny.ROOT,
        env=tiny.environment(PYTHONPATH=str(tiny.ROOT), WANDB_MODE="disabled", **(variables or {})),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_limit_for_the_size_of_files_is_said_and_leaves_no_half_file(tmp_path: Path) -> None:
    said = sentence(run(*TASKS, tmp_path / "made", prefix=limited(RLIMIT_FSIZE=4096)))
    assert said.startswith("file too large, for the system allows no larger one (ulimit -f), while writing ")
    assert f"{tmp_path}/made/index.jsonl (" in said
    assert said.endswith("raise the limit with: ulimit -f unlimited and run the same command again")
    assert not list(tmp_path.glob("made/.tmp-*"))
    assert not (tmp_path / "made" / "index.jsonl").exists()
    assert run(*TASKS, tmp_path / "made").returncode == 0


def test_output_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        said = sentence(run(*TASKS, tmp_path / "made", stdout=full))
    assert said.startswith("what this command prints cannot be written: No space left on device; ")


@pytest.fixture(scope="module")
def nobody() -> tuple[str, ...]:
    """The words before a command for a user without rights, whom root plays in a namespace of its own."""
    if os.getuid() != 0:
        return ()
    words = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets root be nobody else")
    return words


SHIPPED = "policies/trained/six_skills"
SEE = ("compose", "see some squares", "--success", "explored >= 2", "--by", "edits", "--search", "oneshot")
FEW = ("evaluate.episodes=4", "nethack.games=4", "nethack.workers=1", "evaluate.max_steps=5")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("evaluate", SHIPPED, "run.root=READ", *FEW),
            "READ/shipped_six_skills: cannot be used as the run's",
        ),
        (("report", SHIPPED, "run.root=READ", *FEW), "READ/shipped_six_skills: cannot be used as the run"),
        ((*SEE, "--output", "READ/made"), "--output: READ/made: is no folder that can be written: "),
        (("export-task", "delphi", "--to", "READ/made"), "--to: READ/made: is no folder that can be writ"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_a_command_names_the_folder_that_it_may_only_read(
    words: tuple[str, ...], says: str, nobody: tuple[str, ...], tmp_path: Path
) -> None:
    read = tmp_path / "read"
    read.mkdir(mode=0o555)
    said = sentence(run(*(word.replace("READ", str(read)) for word in words), prefix=nobody))
    assert said.startswith(says.replace("READ", str(read)))
    assert "Permission denied" in said


def test_who_may_write_nowhere_but_in_the_temporary_folder_can_watch(
    nobody: tuple[str, ...], tmp_path: Path
) -> None:
    """With a home folder, a cache and a TMPDIR that may only be read; the system has /tmp too."""
    read = tmp_path / "read"
    read.mkdir(mode=0o555)
    names = ("HOME", "XDG_CACHE_HOME", "MAESTROMOTIF_CACHE", "TMPDIR")
    done = run(
        *("watch", SHIPPED, "--episodes", "1", "--fps", "100"),
        prefix=nobody,
        variables=dict.fromkeys(names, str(read)),
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "episode 1: policy of step" in done.stdout


def test_no_place_for_temporary_files(tmp_path: Path) -> None:
    """As on a machine where none of the usual folders can be written."""
    code = "import os, runpy, sys, tempfile\ntempfile._candidate_tempdir_list = lambda: ['/proc/none']\n"
    code += f"sys.argv[1:] = ['watch', {SHIPPED!r}]\nrunpy.run_module('maestromotif', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tiny.ROOT,
        env=tiny.environment(PYTHONPATH=str(tiny.ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    said = sentence(done)
    assert said.startswith("No usable temporary directory found in ['/proc/none']; set TMPDIR to a folder")


def test_a_folder_that_may_only_be_read_is_named(nobody: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "read").mkdir(mode=0o555)
    said = sentence(run(*TASKS, tmp_path / "read" / "made", prefix=nobody))
    assert said.startswith(f"{tmp_path}/read/made: Permission denied; let this user write there")


def test_names_with_spaces_and_letters_that_the_terminal_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "Läufe – mine"
    folder.mkdir()
    program = folder / "prögram.py"
    program.write_text((tiny.ROOT / "policies" / "training.py").read_text(), encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = run("check", program, "--limit", 120, variables=plain)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("gram.py: accepted, as a program over skills\n")


TRIAL = """
from maestromotif.nethack.check import check
for finding in check():
    print(finding.state, finding.what, repr(finding.extra))
"""


def test_the_doctor_says_which_limit_keeps_games_from_starting() -> None:
    command = [*limited(RLIMIT_NOFILE=64), sys.executable, "-c", TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("missing NetHack does not play: nethack.games: ")
    assert "raise the limit with: ulimit -n 70" in last
    assert last.endswith("None")  # to install the package again would not help


def test_the_doctor_says_what_stages_would_refuse(tmp_path: Path) -> None:
    """And the command that helps, for a home folder in which nothing can be written."""
    (tmp_path / "home").write_text("is a file")
    code = (
        "from maestromotif.cli import doctor; from maestromotif.config.load import load\n"
        "config = load('configs/quickstart.yaml')\n"
        "model = doctor.part('maestromotif.language.backends', config.language)\n"
        "for found in (*doctor.foreseen(config), *model):\n"
        "    print(found.state, found.what, '|', found.fix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=tiny.environment(HOME=str(tmp_path / "home"), PYTHONPATH=str(tiny.ROOT)),
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stages, model, *_ = done.stdout.splitlines()
    own = shlex.quote(str(tiny.ROOT / "cache"))
    assert stages.startswith(f"missing {tmp_path}/home/.cache")
    assert "Set language.cache to a writable folder" in stages
    assert model.startswith(f"missing {tmp_path}/home/.cache")
    assert model.endswith(f"| mkdir -p {own} && export MAESTROMOTIF_CACHE={own}")


def test_durations_do_not_depend_on_the_wall_clock() -> None:
    """A clock may be set while a command runs."""
    package = Path(maestromotif.__file__).parent
    for path in package.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
        for name, allowed in WALL_CLOCK.items():
            found = [call for call in calls if call == name or call.endswith(f".{name}")]
            assert not found or str(path.relative_to(package)) in allowed, (path, found)
