"""What the system refuses to a running command, in words: room on a disk, the right to write, open files.

Such an error is no mistake in the code, so the user gets a sentence with the path and what helps. Python
ignores the signal of the limit for the size of files (`ulimit -f`), so that limit is an error like a full
disk.
"""

import errno
import os
import shutil
from collections.abc import Container
from pathlib import Path

from maestromotif.errors import UserError

_NO_ROOM: dict[int | None, str] = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "quota used up",
    errno.EFBIG: "file too large, for the system allows no larger one (ulimit -f),",
}
_AGAIN = "run the same command again"
_SAFE = "finished stages are not affected"


def is_disk_full(error: BaseException) -> bool:
    """Whether the error, or one of its causes, means that there is no room: of the disk, quota or limit."""
    return _find(error, _NO_ROOM) is not None


def disk_full(path: Path, error: BaseException) -> UserError:
    """The error for a file or folder `path` for which there is no room. error: as in `is_disk_full`."""
    found = _find(error, _NO_ROOM)
    number = errno.ENOSPC if found is None else found.errno
    if number == errno.EFBIG:
        helps = "raise the limit with: ulimit -f unlimited"
    else:
        helps = f"free some space on {_mount(path)}"
    what = f"{_NO_ROOM[number]} while writing {path} ({_free(path)} MB free there)"
    return UserError(f"{what}; {_SAFE}; {helps} and {_AGAIN}")


def in_words(error: BaseException, where: Path | None = None) -> UserError | None:
    """The error for what the system refuses; None for any other error, and for a `UserError`.

    where: the folder that was written to, for an error that names no file.
    """
    if isinstance(error, UserError):
        return None
    found = _find(error, _NO_ROOM)
    if found is None and isinstance(error, OSError) and error.errno in _HELPS:
        found = error
    if found is None:
        return None
    name = found.filename if found.filename2 is None else found.filename2  # of a copy, where it goes
    named = Path(os.fsdecode(name)) if isinstance(name, str | bytes) else where
    if found.errno in _NO_ROOM:
        if named is None:
            return UserError(f"{_NO_ROOM[found.errno]}: {found.strerror}; free some space and {_AGAIN}")
        return disk_full(named, found)
    place = "" if named is None else f"{named}: "
    return UserError(f"{place}{found.strerror}; {_HELPS[found.errno]}, and {_AGAIN}; {_SAFE}")


_WRITE = "let this user write there, or name another folder (run.root is that of the runs)"
_OPEN = "raise the limit of open files with: ulimit -n 4096, or lower nethack.games and nethack.workers"
_LOOK = "look at this disk, or at the server that it is on"
_HELPS: dict[int | None, str] = {
    errno.EACCES: _WRITE,
    errno.EPERM: _WRITE,
    errno.EROFS: "make the file system writable, or name another folder (run.root is that of the runs)",
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.EIO: _LOOK,
    errno.ESTALE: _LOOK,
    errno.ENAMETOOLONG: "use shorter names, as of run.name",
}


def _find(error: BaseException, numbers: Container[int | None]) -> OSError | None:
    """The error, or the first of its causes, that has one of these numbers."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, OSError) and link.errno in numbers:
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _mount(path: Path) -> Path:
    """Where the file system of a path begins."""
    there = _there(path)
    return next(place for place in (there, *there.parents) if os.path.ismount(place))


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(_there(path).parent).free // 1_000_000
    except OSError:
        return 0
