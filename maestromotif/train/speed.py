"""Where the time of training goes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Seconds:
    """Where an actor's time went, in seconds, and how many bytes it moved to and from the device."""

    def __init__(self) -> None:
        self.games = 0.0  # waiting for the games
        self.policy = 0.0  # from observations to actions
        self.program = 0.0  # the program over skills
        self.host = 0.0  # everything else: rewards and counts
        self.bytes = 0

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Adds the time of the block to `what`."""
        began = time.perf_counter()
        yield
        setattr(self, what, getattr(self, what) + time.perf_counter() - began)


def summary(all_seconds: Sequence[Seconds], steps: int) -> dict[str, float]:
    """Per environment step: microseconds summed over actors, by `Seconds`' names; and bytes."""
    each = {name: sum(vars(one)[name] for one in all_seconds) / max(steps, 1) for name in vars(Seconds())}
    times = {f"{name}_us": round(1e6 * value, 2) for name, value in each.items() if name != "bytes"}
    return times | {"bytes_per_step": round(each["bytes"], 1)}
