"""Signals that end a command."""

import signal
import sys
import threading
import time
from importlib.machinery import ExtensionFileLoader
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

PATIENCE = 2.0  # seconds between two looks at whether the command ends
_SOON = 0.05  # seconds until a signal is sent again
_EXTENSIONS = {ExtensionFileLoader.create_module.__code__, ExtensionFileLoader.exec_module.__code__}


class Stopped(KeyboardInterrupt):
    """What a signal raises.

    A KeyboardInterrupt itself that passes through `exec` of a text, as dataclasses use it, would make Python
    end a module's process with SIGINT, whatever status the command has.
    """


class Stop:
    """The signals that end the command as Ctrl-C does, so that worker processes are stopped too.

    number: of the signal that came first; 0: none. Only SIGINT interrupts again what is being closed. What a
    signal raises can be lost: Python drops it in a callback of its garbage collector or in `__del__`, and
    libraries catch everything. Then the signal is sent again. So is one that comes while a module of C code
    is imported: jaxlib crashes if its import is interrupted.
    """

    def __init__(self) -> None:
        self.number = 0
        self._again = False  # whether the next signal is one that was sent again
        self._taken = False
        self._said: SimpleQueue[bool] = SimpleQueue()  # for each signal: whether it has raised nothing
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as after `nohup`
                signal.signal(number, self._came)
        sys.unraisablehook = self._unraisable
        threading.Thread(target=self._insist, name="stop", daemon=True).start()

    def taken(self) -> None:
        """What a signal has raised is what ends the command."""
        self._taken = True

    def over(self) -> None:
        """The command is done: what comes now must not make its status one of a command that was stopped."""
        self._taken = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self.number and number != signal.SIGINT and not self._again:
            return
        self.number = self.number or number
        importing = _imports_extension(frame)
        self._said.put(importing)
        if not importing:
            self._again = False
            raise Stopped

    def _unraisable(self, unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, Stopped):
            self._said.put(True)
        else:
            sys.__unraisablehook__(unraisable)

    def _insist(self) -> None:
        """Send a signal again that has raised nothing, or after which the main thread twice went on."""
        main, went_on = threading.main_thread().ident or 0, 0
        nothing = self._said.get()
        while not self._taken:
            went_on = 0 if _closes(main) else went_on + 1
            if nothing or went_on == 2:
                self._again, went_on = True, 0
                time.sleep(_SOON)
                signal.pthread_kill(main, self.number)
            try:
                nothing = self._said.get(timeout=PATIENCE)
            except Empty:
                nothing = False


def _imports_extension(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _EXTENSIONS:
            return True
        frame = frame.f_back
    return False


def _closes(thread: int) -> bool:
    """Whether the thread is in a `finally`, an `except` or an `__exit__` because of a signal."""
    now: Any = sys._current_exceptions().get(thread)
    error: BaseException | None = now[1] if isinstance(now, tuple) else now  # a tuple before Python 3.12
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error is not None
