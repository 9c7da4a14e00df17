"""Watching a run: one that another process trains, one that was stopped, and folders with something wrong."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_learning
import tiny

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY
from maestromotif.errors import UserError
from maestromotif.evaluate.run_folder import RunFolder, Version
from maestromotif.evaluate.watch import Episode, Moment, Outcome, play
from maestromotif.train.checkpoint import FOLDER

OVERRIDES = ("train.steps=10000000", "evaluate.max_steps=40", "run.name=watched")


def start(folder: Path, *words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "maestromotif", *words],
        cwd=folder,
        env=tiny.environment(PYTHONPATH=str(small_learning.ROOT)),
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def checkpoints(run: Path) -> list[Path]:
    return sorted(path.parent for path in run.glob(f".work/train-*/{FOLDER}/*/0-of-1.msgpack"))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run that a process is training, with at least one checkpoint."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "small.yaml").write_text(small_learning.CONFIG)
    process = start(folder, "train", "small.yaml", *OVERRIDES, stdout=subprocess.DEVNULL)
    run = folder / "runs" / "watched"
    while process.poll() is None and not checkpoints(run):
        time.sleep(0.05)
    assert process.poll() is None
    yield run
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def stopped(training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one checkpoint, in which no process works."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    run.mkdir()
    shutil.copy(training / "config.yaml", run)
    while True:  # training may remove a checkpoint while it is copied
        newest = checkpoints(training)[-1]
        try:
            shutil.copytree(newest, run / newest.relative_to(training))
            return run
        except (OSError, shutil.Error):
            continue


def newest(target: Path) -> Version:
    run = RunFolder(target)
    return run.newest(build(run.config.train.network, len(run.config.skills)))


def test_in_a_pipe_it_prints_calls_and_episodes_of_a_run_that_is_being_trained(training: Path) -> None:
    process = start(training.parents[1], "watch", str(training), "--episodes", "2")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    steps = [
        int(text.replace(",", "")) for text in re.findall(r"episode \d: policy of step ([\d,]+)", output)
    ]
    assert len(steps) == 2
    assert 0 < steps[0] <= steps[1]
    assert re.search(r"^ +0  \w+  read .*depth 1", output, re.MULTILINE)
    assert re.search(r"^ +\d+  .*; deepest level \d; \w+ \d+ steps, reward [+-]", output, re.MULTILINE)
    assert "\x1b" not in output


def test_on_a_terminal_it_draws_and_puts_the_screen_back(stopped: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 80))
    process = start(tmp_path, "watch", str(stopped), "--fps", "50", stdout=slave)
    os.close(slave)
    shown, stop = b"", False
    while select.select([master], [], [], 120)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:  # the process has ended
            break
        if not stop and b"step 10 of episode 1" in shown:
            os.killpg(process.pid, signal.SIGINT)
            stop = True
    assert process.wait(30) == 0, shown.decode()
    assert shown.startswith(b"\x1b[?1049h")
    assert shown.endswith(b"\x1b[?1049l")
    text = shown.decode()
    assert "Dlvl:1" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "step 0: discoverer. Read: " in text
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before


def test_a_terminal_that_is_too_small_is_refused(stopped: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    process = start(tmp_path, "watch", str(stopped), stdout=slave)
    os.close(slave)
    assert process.wait(60) == 2
    assert b"the terminal has 80 x 24 characters and 80 x 30 are needed" in os.read(master, 4096)


def test_each_episode_is_played_by_the_newest_checkpoint(stopped: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    [first] = checkpoints(run)
    played = play(RunFolder(run), training=True)
    begun = next(played)
    assert isinstance(begun, Episode)
    assert begun.version.path == first
    assert begun.version.step == int(first.name) * 128
    moments = []
    while not isinstance(shown := next(played), Outcome):
        assert isinstance(shown, Moment)
        moments.append(shown)
    assert [moment.step for moment in moments] == list(range(shown.steps))
    assert moments[0].reward is None
    assert all(moment.reward is not None and moment.reward >= 0 for moment in moments[1:])
    assert moments[0].switch is not None
    assert moments[0].switch.before == ""

    second = first.with_name(f"{int(first.name) + 4:010d}")
    shutil.copytree(first, second)
    begun = next(played)
    assert isinstance(begun, Episode)
    assert begun.version.path == second
    assert newest(first).path == newest(first / "0-of-1.msgpack").path == first
    played.close()


def test_what_is_wrong_with_a_folder_is_said(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: does not exist; name a run's folder"):
        RunFolder(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"neither it nor a folder above has a config\.yaml"):
        RunFolder(tmp_path)
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    [first] = checkpoints(run)
    config = (run / "config.yaml").read_text()

    (run / "config.yaml").write_text(config.replace("hidden: 16", "hidden: 24"))
    with pytest.raises(UserError, match=r"0-of-1\.msgpack: holds another network than train\.network"):
        newest(run)
    # Cut inside a key; a cut between two lines can leave another valid config.
    (run / "config.yaml").write_text(config[: config.index("hidden: 16") + 3])
    with pytest.raises(UserError, match=r"config\.yaml"):
        newest(run)
    (run / "config.yaml").write_text(config)

    file = first / "0-of-1.msgpack"
    whole = file.read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"no msgpack"):
        file.write_bytes(part)
        with pytest.raises(UserError, match=r"0-of-1\.msgpack: cannot be read as a policy or checkpoint"):
            newest(run)
    file.rename(file.with_name(".tmp-0-of-1.msgpack"))  # as it is while it is written
    with pytest.raises(
        UserError, match="holds no policy and no complete checkpoint yet; training writes its"
    ):
        newest(run)
    (run / "train").mkdir()
    (run / "train" / POLICY).write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"policy\.msgpack: cannot be read as a policy"):
        newest(run)
