"""Locks on open files. The system releases them when their process ends, however it ends."""

import errno
import fcntl

_HELD = (errno.EAGAIN, errno.EACCES)


class HeldError(Exception):
    """Another process holds the lock."""


def lock(descriptor: int, *, wait: bool = False) -> OSError | None:
    """Lock an open file for this process. wait: until another process releases it.

    Returns None if it is locked, and the reason if the file system has no locks: some shared ones answer
    ENOLCK, ENOSYS or EOPNOTSUPP. Raises HeldError if another process holds it and `wait` is false.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD:
            raise HeldError from error
        return error
    return None
