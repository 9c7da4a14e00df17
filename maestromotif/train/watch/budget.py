"""How much time the evaluation during training may take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """At most a share of the time since its creation.

    Work is divided into pieces of a few kinds. A piece may begin when the time that its kind took last fits
    into what is left. So the budget is exceeded by at most what a piece takes longer than the last one, and
    that is taken off the pieces that follow.

    guesses: seconds of the first piece of a kind; 0 for a kind that is not named.
    """

    def __init__(
        self, share: float, guesses: dict[str, float], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._share, self._clock, self._began = share, clock, clock()
        self.seconds_of = dict(guesses)  # the last piece of each kind
        self.spent = 0.0  # seconds

    @property
    def elapsed(self) -> float:
        """Seconds since creation."""
        return self._clock() - self._began

    def left(self, later: float = 0.0) -> float:
        """Seconds that may still be spent now, or will be `later` seconds from now."""
        return self._share * (self.elapsed + later) - self.spent

    def affords(self, seconds: float, later: float = 0.0) -> bool:
        """Whether as much is left; always, if the share is 1."""
        return self._share == 1 or self.left(later) >= seconds

    def covers(self, kind: str) -> bool:
        """Whether the next piece of this kind may begin."""
        return self.affords(self.seconds_of.get(kind, 0.0))

    @contextmanager
    def piece(self, kind: str) -> Iterator[None]:
        """Counts the time of the block."""
        began = self._clock()
        try:
            yield
        finally:
            self.seconds_of[kind] = self._clock() - began
            self.spent += self.seconds_of[kind]
