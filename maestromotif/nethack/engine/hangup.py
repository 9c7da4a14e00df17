"""What SIGHUP means to a process in which NetHack plays."""

import signal
import threading


def handle_again() -> None:
    """Set this process's handling of SIGHUP again: NetHack ignores it everywhere when a game ends (`end.c`).

    Python can set it in the main thread only; elsewhere this does nothing.
    """
    handler = signal.getsignal(signal.SIGHUP)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, handler)
