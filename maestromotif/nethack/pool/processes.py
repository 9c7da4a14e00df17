"""Starts the processes of games, and makes temporary folders that do not outlive them."""

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
    """The context for processes that a server forks; starts the server if it does not run yet.

    A fork of this process would copy its threads into a game. The server has everything imported, so a worker
    starts quickly. It listens on a socket in the folder for temporary files.
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
    """Make a folder with a lock that ends with this process; remove the folders of ended processes."""
    parent = Path(short_temporary_folder())
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or already removed
            held = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    # Lock the file before it gets the name that others look for, so that they never find it unlocked.
    lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "new").rename(folder / _LOCK)
    return folder, lock
