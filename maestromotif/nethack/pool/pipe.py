"""Single bytes between a pool and its workers, which are awaited at every step.

They use the connection's socket directly, because the connection's own messages take several system calls.
The calls keep the interpreter's lock. A learner has several threads, and a thread that releases the lock gets
it back only when another one releases it. Once per worker and step, that takes longer than the games.
"""

import ctypes
import math
import os
import select
import socket
from multiprocessing.connection import Connection

_SLICE = 0.5  # seconds: a process that was stopped and goes on has lost one slice of its patience

_LIBC = ctypes.PyDLL(None, use_errno=True)
for _name in ("send", "recv"):
    _function = getattr(_LIBC, _name)
    _function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    _function.restype = ctypes.c_ssize_t


def send(connection: Connection, data: bytes) -> None:
    """Raises ConnectionError if the other end is closed."""
    if _LIBC.send(connection.fileno(), data, len(data), 0) < 0:
        raise ConnectionError(os.strerror(ctypes.get_errno()))


def receive(connection: Connection, size: int, seconds: float = math.inf) -> bytes:
    """Wait for the next bytes, `size` at most. Raises EOFError if the other end is closed.

    Raises TimeoutError after so many seconds, not counting those in which this process was stopped.
    """
    there = ctypes.create_string_buffer(size)
    if (length := _LIBC.recv(connection.fileno(), there, size, socket.MSG_DONTWAIT)) > 0:
        return there.raw[:length]
    if seconds < math.inf:
        poll, waited = select.poll(), 0.0
        poll.register(connection.fileno(), select.POLLIN)
        while not poll.poll(_SLICE * 1000):
            if (waited := waited + _SLICE) >= seconds:
                raise TimeoutError
    if not (data := os.read(connection.fileno(), size)):
        raise EOFError
    return data
