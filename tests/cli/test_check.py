"""The verb `check` as a user meets it: what it prints, its exit status, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = """class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]
"""
ENDLESS = GOOD.replace("return available[0]", "while True: pass")
COMMAND = (sys.executable, "-m", "maestromotif", "check")


def check(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.returncode, done.stdout, done.stderr


def workers() -> set[int]:
    """Process ids of the sandbox's processes whose parent has ended, or is this process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name == "monty" and rest.split()[1] in ("1", str(os.getpid())):
            found.add(int(stat.parent.name))
    return found


def test_accepted_and_refused_files_have_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(GOOD.replace("available[0]", "'descnder'"))
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n" + GOOD.encode())
    (tmp_path / "notes.txt").write_text("words\n")
    there = workers()
    status, out, err = check(
        *("policies/down_and_back.py", "skills/ascender.py", tmp_path / "bad.py", tmp_path / "latin.py"),
        *(tmp_path / "notes.txt", tmp_path, tmp_path / "bda.py", "--limit", "60"),
    )
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "policies/down_and_back.py: accepted, as a program over skills",
        "skills/ascender.py: accepted, as a skill's program",
        f"{tmp_path}/bad.py:3:16: 'descnder' is not a skill of this run; did you mean 'descender'?",
        f"{tmp_path}/latin.py:1: not UTF-8 text (byte 0xE9); save it as UTF-8",
        f"{tmp_path}/notes.txt: not a Python file; its name must end in .py",
        f"{tmp_path}: is a folder; name a program, such as {tmp_path}/NAME.py",
        f"{tmp_path}/bda.py: no such program; did you mean 'bad.py'?",
    ]
    assert workers() <= there


def test_the_limit_and_the_config_are_options(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    status, out, _ = check(tmp_path / "endless.py", "--limit", "1")
    assert (status, out) == (
        1,
        f"{tmp_path}/endless.py:2: it took more than 0.5 s for one call and was stopped\n",
    )
    status, _, err = check("policies/training.py", "--config", "configs/six_skils.yaml")
    assert status == 2
    assert "six_skils.yaml: no such file" in err


def test_odd_paths_are_told_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb\x1b[31m.py").write_text("")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    os.mkfifo(tmp_path / "pipe.py")
    os.mkfifo(tmp_path / "waits.py")
    long = f"{tmp_path}/{'a' * 300}.py"
    began = time.monotonic()
    with subprocess.Popen(["sh", "-c", f"exec 3<>{tmp_path}/waits.py; sleep 60"]) as writer:
        try:
            status, out, err = check(
                *(tmp_path / "a\nb\x1b[31m.py", tmp_path / "loop.py", tmp_path / "gone.py", long),
                *(tmp_path / "pipe.py", tmp_path / "waits.py", "--limit", "1"),
            )
        finally:
            writer.kill()
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        f"{tmp_path}/a\\nb\\x1b[31m.py:1: the file has no code",
        f"{tmp_path}/loop.py: cannot be read: Too many levels of symbolic links",
        f"{tmp_path}/gone.py: cannot be read: No such file or directory; it is a link to nowhere.py, "
        "which does not exist",
        f"{long}: cannot be read: File name too long",
        f"{tmp_path}/pipe.py: cannot be read: Is a pipe that nobody writes to",
        f"{tmp_path}/waits.py: cannot be read: Is a pipe whose writer did not end within 1 s",
    ]
    assert time.monotonic() - began < 60
    assert check("policies/training.py", "--limit", "nan")[0] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    there = workers()
    command = [*COMMAND, str(tmp_path / "no.py"), str(tmp_path / "endless.py"), "--limit", "6"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        assert "no such program" in child.stdout.readline()
        time.sleep(0.3)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number, out + err
    assert "Traceback" not in err
    deadline = time.monotonic() + 30  # other tests have some, too, which end
    while not workers() <= there:
        assert time.monotonic() < deadline
        time.sleep(0.1)
