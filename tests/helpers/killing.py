"""Starts the command line in a session of its own, sends it signals, and looks for what is left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tiny

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    killed: bool  # else it was done before


def start(temporary: Path, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "maestromotif", *map(str, words)],
        cwd=tiny.ROOT,
        env=tiny.environment(TMPDIR=str(temporary), WANDB_MODE="disabled", PYTHONFAULTHANDLER="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: "subprocess.Popen[str]", number: signal.Signals, group: bool, seconds: float) -> Ended:
    """Send a signal after some seconds, to the process or to its whole group, and wait for all to end."""
    try:
        output, _ = process.communicate(timeout=seconds)
        return Ended(process.returncode, output, killed=False)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if group else process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        left, output = session(process.pid), ""
        process.send_signal(signal.SIGABRT)  # Python then writes what each thread does
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = process.communicate(timeout=10)
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"{number.name} did not end these processes: {left}\n{output}") from None
    deadline = time.monotonic() + 60
    while (left := session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"{number.name} left these processes: {left}"
    return Ended(process.returncode, output, killed=True)


def outputs(run: Path, stage: str) -> dict[str, str]:
    """Name -> SHA-256 of the files of a finished stage."""
    found: dict[str, str] = json.loads((run / stage / "manifest.json").read_text())["outputs"]
    return found


def session(leader: int) -> list[str]:
    """The command lines of the processes of a session that are alive."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state, _, _, sid = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(sid) == leader and state != "Z":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
        except OSError:  # not a process, or it has just ended
            continue
    return found


def check(ended: Ended, number: signal.Signals) -> None:
    """The exit status and the last words of a command that a signal has stopped."""
    if not ended.killed:
        assert ended.status == 0, ended.output
    elif ended.status == 0:  # it came when all was done
        assert "stopped" not in ended.output, ended.output
    elif number is signal.SIGKILL or not ended.output:  # at once, or before Python was ready to handle it
        assert ended.status == -number
    else:
        assert ended.status == 128 + number, (number, ended.status, ended.output)
        assert "Traceback" not in ended.output, ended.output
        assert ended.output.splitlines()[-1] == "stopped; start the same command again to go on"
