"""Temporary folders that do not outlive their process, and where they lie."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maestromotif.errors import UserError
from maestromotif.pipeline import locks
from maestromotif.pipeline.refused import is_disk_full
from maestromotif.signals import undisturbed

_PREFIX = "maestromotif-"
_LOCK = "in-use"


def short_temporary_folder() -> str:
    """The folder for temporary files, or /tmp if its path is too long.

    NetHack allows 127 bytes for the path of its options, and Linux 107 for the path of a socket. Raises
    UserError if there is no folder in which this process may write.
    """
    try:
        with undisturbed():  # it tries the folder with a file, which a signal would leave there
            folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(f"{error.strerror}; set TMPDIR to a folder where you may write") from error
    longest = 107 - len("/maestromotif-12345678/listener-12345678")
    return folder if len(os.fsencode(folder)) <= longest else "/tmp"


def temporary_folder() -> tuple[Path, int]:
    """Make a folder with a lock that ends with this process; remove the folders of ended processes.

    Raises UserError if there is no room.
    """
    parent = Path(short_temporary_folder())
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, locks.HeldError):  # another user's, in use, or already removed
            held = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                if locks.lock(held) is None:
                    _remove(left)
            finally:
                os.close(held)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Lock the file before it gets the name that others look for, so that they never find it unlocked.
        lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise no_room(parent, error) from error
    locks.lock(lock)
    (folder / "new").rename(folder / _LOCK)
    return folder, lock


def _remove(folder: Path) -> None:
    """Remove a folder with its lock last, so that what a kill leaves of it is found again."""
    for path in folder.iterdir():
        if path.name != _LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for the block. After a SIGKILL another process removes it. Raises UserError."""
    folder, lock = temporary_folder()
    try:
        yield folder
    except OSError as error:
        if is_disk_full(error):
            raise no_room(folder, error) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def no_room(folder: Path, error: OSError) -> UserError:
    """The error for a folder for temporary files that is full, or in which nothing can be written."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / 1e6
    return UserError(
        f"{folder}: no room for temporary files: {error.strerror or error} ({free:.1f} MB free there); "
        "free some space, or set TMPDIR to another folder"
    )
