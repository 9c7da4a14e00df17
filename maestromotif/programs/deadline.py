"""One limit of time for work that has several parts, such as the check of a program."""

import time


class Deadline:
    """A moment `seconds` after this object was made, on the wall clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())
