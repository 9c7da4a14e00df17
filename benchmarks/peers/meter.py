"""What both peers have in common besides the game: their arguments, the measured window, and a clean end."""

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
    """Those of both peers; the defaults are those of `configs/quickstart.yaml`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--rollout", type=int, default=32, help="steps a game between two updates")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--minibatches", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128, help="units of the recurrent network")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--max-steps", type=int, default=600, help="steps of an episode at most")
    parser.add_argument("--warm-up", type=float, default=15, help="seconds of learning before it")
    parser.add_argument("--seconds", type=float, default=60, help="length of the measurement")
    parser.add_argument("--steps", type=int, help="end the measurement after so many environment steps")
    return parser


def cpu_seconds() -> dict[int, float]:
    """User and system time so far of this process and each of its living descendants, by process id."""
    used = {}
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[process.pid] = times.user + times.system
    return used


class Meter:
    """Measures from the first update after the warm-up on.

    The warm-up begins with the first update, so that nothing of starting and compiling is in the figures.
    """

    def __init__(self, warm_up: float, seconds: float, steps: int | None) -> None:
        self._warm_up, self._seconds, self._steps = warm_up, seconds, steps
        self._first_update: float | None = None
        self._start: tuple[float, int, dict[int, float]] | None = None

    def over(self, steps: int) -> bool:
        """To be told after every update how many environment steps were learned from; True at the end."""
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
        """What was measured, once it is over."""
        return {
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "steps_per_second": round(self.steps / self.seconds, 1),
            "cpu_seconds_per_step": sum(self.cpu_seconds.values()) / self.steps,
        }


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for all that is written.

    At the end, also when interrupted or terminated, it is gone, and so are all descendants of this process.
    A SIGKILL of this process itself leaves both behind.
    """
    folder = Path(tempfile.mkdtemp())

    def tidy() -> None:
        killed = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end meanwhile
                # Python's resource tracker releases what the others leave, and then ends by itself.
                if "resource_tracker" not in " ".join(process.cmdline()):
                    process.kill()
                    killed.append(process)
        psutil.wait_procs(killed, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)

    def end(number: int, frame: Any) -> None:
        tidy()
        os._exit(128 + number)

    # Both explicitly: a process that a shell puts into the background is born deaf to the first.
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    try:
        yield folder
    finally:
        tidy()
