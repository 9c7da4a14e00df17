"""What both peers share besides the game: arguments, the measurement window and cleanup."""

import argparse
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil


def arguments(description: str) -> argparse.ArgumentParser:
    """Arguments of both peers; defaults from `configs/quickstart.yaml`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--rollout", type=int, default=32, help="steps per game between two updates")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--minibatches", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128, help="units of the recurrent network")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--max-steps", type=int, default=600, help="step limit of an episode")
    parser.add_argument(
        "--warm-up", type=float, default=15, help="seconds of training before the measurement"
    )
    parser.add_argument("--seconds", type=float, default=60, help="length of the measurement")
    parser.add_argument("--steps", type=int, help="end the measurement after this many environment steps")
    return parser


def cpu_seconds() -> dict[int, float]:
    """CPU seconds so far, user and system, of this process and its live descendants, by process id."""
    used = {}
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[process.pid] = times.user + times.system
    return used


class Meter:
    """Measures from the first update after the warm-up.

    The warm-up begins with the first update, so the figures leave out startup and compilation.
    """

    def __init__(self, warm_up: float, seconds: float, steps: int | None) -> None:
        self._warm_up, self._seconds, self._steps = warm_up, seconds, steps
        self._first_update: float | None = None
        self._start: tuple[float, int, dict[int, float]] | None = None

    def over(self, steps: int) -> bool:
        """Call after every update with the environment steps trained on so far. Returns True at the end."""
        now = time.perf_counter()
        if self._first_update is None:
            self._first_update = now
        if self._start is None:
            if now - self._first_update >= self._warm_up:
                self._start = now, steps, cpu_seconds()
            return False
        start, first, used = self._start
        if now - start < self._seconds and (self._steps is None or steps - first < self._steps):
            return False
        self.seconds, self.steps = now - start, steps - first
        self.cpu_seconds = {pid: time - used.get(pid, 0.0) for pid, time in cpu_seconds().items()}
        return True

    def figures(self) -> dict[str, Any]:
        """The measurement, available once `over` has returned True."""
        return {
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "steps_per_second": round(self.steps / self.seconds, 1),
            "cpu_seconds_per_step": sum(self.cpu_seconds.values()) / self.steps,
        }


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder for everything that is written.

    At the end, also on interrupt or termination, the folder is deleted and all descendants of this process
    are killed. A SIGKILL of this process leaves both behind.
    """
    folder = Path(tempfile.mkdtemp())

    def tidy() -> None:
        killed = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
                # Python's resource tracker cleans up after the others, then exits.
                if "resource_tracker" not in " ".join(process.cmdline()):
                    process.kill()
                    killed.append(process)
        psutil.wait_procs(killed, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)

    def end(number: int, frame: Any) -> None:
        tidy()
        os._exit(128 + number)

    # Set both: a process that a shell starts in the background ignores SIGINT by default.
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    try:
        yield folder
    finally:
        tidy()
