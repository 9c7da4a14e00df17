"""Signals that end a command."""

import signal
import sys
import threading
from typing import Any

_SOON = 0.05  # seconds


class Stopped(KeyboardInterrupt):
    """What a signal raises.

    A KeyboardInterrupt itself that passes through `exec` of a text, as dataclasses use it, would make Python
    end a module's process with SIGINT, whatever status the command has.
    """


class Stop:
    """The signals that end the command as Ctrl-C does, so that worker processes are stopped too.

    number: of the signal that came first; 0: none. Only SIGINT interrupts again what is being closed.
    """

    def __init__(self) -> None:
        self.number = 0
        self._dropped = False  # whether Python has dropped what was raised
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as after `nohup`
                signal.signal(number, self._came)
        sys.unraisablehook = self._unraisable

    def over(self) -> None:
        """The command is done: what comes now must not make its status one of a command that was stopped."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _came(self, number: int, frame: Any) -> None:
        if self.number and number != signal.SIGINT and not self._dropped:
            return
        self._dropped = False
        self.number = self.number or number
        raise Stopped

    def _unraisable(self, unraisable: Any) -> None:
        """Python drops what is raised in a callback of its garbage collector or in `__del__`: send it again.

        From another thread and a little later, since this function runs in such a place too.
        """
        if not (self.number and isinstance(unraisable.exc_value, Stopped)):
            sys.__unraisablehook__(unraisable)
            return
        self._dropped = True
        main = threading.main_thread().ident
        again = threading.Timer(_SOON, lambda: signal.pthread_kill(main or 0, self.number))
        again.daemon = True
        again.start()
