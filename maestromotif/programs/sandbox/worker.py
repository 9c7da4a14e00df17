"""A process of the interpreter Monty, with limits on its time, memory, recursion and clock.

Monty itself ends code that takes too long. What it cannot interrupt, such as its parser and its type checker,
is ended with the process.
"""

import contextlib
import resource
import time
from datetime import UTC, datetime

import pydantic_monty as monty

MEMORY_BYTES = 64 << 20  # of a program's values
RECURSION = 150
_SCHEDULED = 2  # with a process, in the number of a clock of Linux: its time on processors
_PROCESS_BYTES = 1 << 30  # address space of the process, against what Monty does not count


class Worker:
    """A new process with one `session`. A turn is the time between two answers of the session.

    seconds: limit of a turn, raised inside as TimeoutError. grace: the process is killed at the end of a turn
    that is longer by more than this share. seed: of the first random numbers. stubs: declarations for the
    type checker, which then checks the code that the session is fed; None: no check.
    """

    def __init__(self, seconds: float, seed: int = 0, stubs: str | None = None, grace: float = 0.5) -> None:
        seconds = max(seconds, 0.01)
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(
                monty.Monty(max_processes=1, turn_duration_limit_grace=grace * seconds)
            )
            self.session = stack.enter_context(
                pool.checkout(
                    limits={
                        "max_turn_duration_secs": seconds,
                        "max_memory": MEMORY_BYTES,
                        "max_recursion_depth": RECURSION,
                        "max_suspensions": 2**62,  # one exchange per pool step, for the whole run
                    },
                    type_check=stubs is not None,
                    type_check_stubs=stubs,
                    type_check_format="json",
                    os_policy={
                        "datetime": datetime(1987, 7, 28, tzinfo=UTC),  # the same in every run
                        "sleep": "zero",
                        "random_start": {"seed": seed},
                        "process_time": "zero",
                    },
                )
            )
            pid = self.session.worker_pid
            if pid is not None:
                _, most = resource.prlimit(pid, resource.RLIMIT_AS)
                most = _PROCESS_BYTES if most == resource.RLIM_INFINITY else min(most, _PROCESS_BYTES)
                resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
            self._open = stack.pop_all()

    def cpu_seconds(self) -> float | None:
        """Processor time that the process has taken; None where the system does not tell."""
        pid = self.session.worker_pid
        try:
            return None if pid is None else time.clock_gettime(~pid << 3 | _SCHEDULED)
        except OSError:
            return None

    def close(self) -> None:
        """Ends the process. Safe to call twice."""
        self._open.close()


def drop(stream: str, text: str) -> None:
    """Discards printed output, which could flood the log of a long run."""
