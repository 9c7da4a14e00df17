"""How processes of games begin, and the folders that they leave nothing in."""

import fcntl
import multiprocessing as mp
import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

from maestromotif.nethack.pool.capacity import short_temporary_folder

_PREFIX = "maestromotif-"
_LOCK = "in-use"


def server_context() -> ForkServerContext:
    """Processes that a server forks, which is started if it does not run yet.

    They are not forked from here, for threads must not be copied into a game; and the server has everything
    imported, so that a worker is there in a moment. It listens on a socket in the folder for temporary files.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["maestromotif.nethack.pool.preload"])
    usual = tempfile.gettempdir()
    try:
        tempfile.tempdir = short_temporary_folder()
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = usual
    return context


def temporary_folder() -> tuple[Path, int | None]:
    """A new folder and its lock, which ends with this process; folders of ended processes are removed."""
    parent = Path(short_temporary_folder())
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or removed meanwhile
            held = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    # Locked before it has the name that others look for: they must never find it free.
    lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "new").rename(folder / _LOCK)
    return folder, lock
