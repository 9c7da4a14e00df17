"""Starts the processes of games and environments, and says what signals mean to them."""

import atexit
import multiprocessing as mp
import os
import shutil
import signal
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver, spawn
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from maestromotif.errors import UserError
from maestromotif.nethack.temporary import temporary_folder
from maestromotif.signals import undisturbed

GRACE = 30  # seconds that a process may take to end after a signal
NAMES = ("games-", "environment-")  # beginnings of the names of our processes


def begin_without_the_script() -> None:
    """In the server: our processes do not run the script that starts them.

    multiprocessing runs that script again in every new process, because it may define what the process does.
    Ours need nothing of it. So a script needs no `if __name__ == "__main__":` to open a pool, and it may come
    from a pipe. Other processes of the same server begin as usual.
    """
    for name in ("_fixup_main_from_path", "_fixup_main_from_name"):
        setattr(spawn, name, _unless_ours(getattr(spawn, name)))


def _unless_ours(run: Callable[[str], None]) -> Callable[[str], None]:
    def run_script(script: str) -> None:
        if not mp.current_process().name.startswith(NAMES):
            run(script)

    return run_script


def how_it_ended(process: BaseProcess) -> str:
    """In words, of a process that has ended."""
    code = process.exitcode
    known = signal.valid_signals()
    return f"died ({signal.Signals(-code).name if code and -code in known else f'exit code {code}'})"


def may_lack_memory(process: BaseProcess) -> bool:
    """Whether a process that has ended may have been short of memory, judged by what ended it."""
    return process.exitcode in (-signal.SIGKILL, -signal.SIGBUS)


def server_context() -> ForkServerContext:
    """The context for processes that a server forks; starts the server if it does not run yet.

    A fork of this process would copy its threads into a game. The server has everything imported, so a worker
    starts quickly. It listens on a socket in a temporary folder.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["maestromotif.nethack.pool.preload"])
    # Not the folder that multiprocessing would make: nothing removes that after a SIGKILL.
    mp.current_process()._config["tempdir"] = str(_server_folder())  # type: ignore[attr-defined]
    forkserver.ensure_running()
    return context


@cache
def _server_folder() -> Path:
    """Of this process, until it ends; after a SIGKILL another process removes it."""
    folder, _ = temporary_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class SharedFile:
    """A file descriptor for the process that is started with it as an argument."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        # Made while the process is started, it travels with the order to start it; made before, it would
        # wait on a socket, which may be removed.
        return _arrived, (DupFd(self._descriptor),)

    def detach(self) -> int:
        """The descriptor, in the process that was started."""
        raise RuntimeError("this is the process that shares the file")


def _arrived(duplicate: Any) -> Any:
    return duplicate


def start(make: Callable[[ForkServerContext], BaseProcess]) -> BaseProcess:
    """Start the process that `make` returns; also if the server's socket was removed with its folder.

    Raises UserError in a daemonic process, such as those of Gymnasium's `AsyncVectorEnv`: multiprocessing
    lets it have no processes of its own.
    """
    if mp.current_process().daemon:
        raise UserError(
            "games need processes of their own, which a daemonic process cannot have: start it with "
            "daemon=False, or make vectors of environments with vectorization_mode='sync'"
        )
    process = make(server_context())
    try:
        with undisturbed():  # the server cannot read half of an order to start a process
            process.start()
    except (FileNotFoundError, ConnectionError):
        # Forget that server, which ends with the last of its processes, and start another.
        server: Any = forkserver._forkserver
        os.close(server._forkserver_alive_fd)
        server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
        _server_folder.cache_clear()
        process = make(server_context())
        with undisturbed():
            process.start()
    return process


def ends_with_its_parent() -> None:
    """What signals mean to a process that another one directs: a signal to the whole group is the other's.

    It ends on request, or when the other ends. Without either it ends after some seconds, because of SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.alarm(GRACE))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
