"""Training with and without something, in turns: what the speeds of the turns say."""

import statistics
from collections.abc import Sequence
from typing import Any


def compared(turns: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """Figures of an even number of turns: seconds and environment steps of each, the even ones with it.

    share_of_speed: part of the speed that is lost, 1 - speed with / speed without, of all turns together.
    share_of_turns: the same as the median over neighbouring turns, which a busy moment of the machine sways
    less.
    """
    (on_seconds, on_steps), (off_seconds, off_steps) = (
        tuple(map(sum, zip(*turns[which::2], strict=True))) for which in (0, 1)
    )
    speeds = [steps / seconds for seconds, steps in turns]
    pairs = zip(speeds[::2], speeds[1::2], strict=True)
    on, off = on_steps / on_seconds, off_steps / off_seconds
    return {
        "share_of_speed": round(1 - on / off, 4),
        "share_of_turns": round(statistics.median(1 - a / b for a, b in pairs), 4),
        "steps_per_second": {"with": round(on), "without": round(off)},
        "turns": len(turns),
        "seconds": round(on_seconds + off_seconds),
    }


def show(number: int, seconds: float, steps: int) -> None:
    """Prints a turn that has ended; turns are counted from 1."""
    which = "with" if number % 2 else "without"
    print(f"turn {number:3} {which:8} {steps / seconds:9,.0f} steps/s", flush=True)
