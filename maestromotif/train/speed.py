"""Where the time of training goes.

These figures differ from one run to the next of the same config, so they go to the tracker and never into the
learning curve.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from maestromotif.tracking.logged import Logged
from maestromotif.train.schedule import Schedule

WINDOW_SECONDS = 15.0  # over which a speed is measured, or the last update if that took longer

TIMINGS = (
    Logged("speed/steps_per_second", "steps / s", "Environment steps a second, over all machines.", "mean"),
    Logged("speed/learner", "share", "Share of the time in which the learner updates.", "mean"),
    Logged("speed/learner_waits", "share", "Share of the time in which it waits for a rollout.", "mean"),
    Logged(
        "speed/learner_other",
        "share",
        "Share of the time in which its thread does anything else: reward models, rows, checkpoints, "
        "evaluation.",
        "mean",
    ),
    Logged("speed/actors_games", "share", "Share of the actors' time that they wait for the games.", "mean"),
    Logged("speed/actors_policy", "share", "Likewise for the policy, from observations to actions.", "mean"),
    Logged("speed/actors_program", "share", "Likewise for the program over skills.", "mean"),
    Logged("speed/actors_host", "share", "Likewise for rewards and counts.", "mean"),
    Logged(
        "speed/actors_other",
        "share",
        "The rest of the actors' time: mostly they wait for the learner's parameters.",
        "mean",
    ),
    Logged(
        "speed/policy_lag",
        "updates",
        "By how many updates the policy that played the last rollout is older than the newest (`train.lag`).",
        "max",
    ),
)


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


class Clock(NamedTuple):
    """The time, and what it was spent on since the start: seconds, those of actors summed over them."""

    now: float
    updates: int
    learner: float
    learner_waits: float
    games: float
    policy: float
    program: float
    host: float


def timings(begin: Clock, end: Clock, steps: int, actors: int) -> dict[str, float]:
    """The figures of TIMINGS between two times, without the lag; steps: of an update, over all machines.

    An actor reports its games, program and host at the end of a rollout, so shares over a time shorter than a
    few rollouts are rough.
    """
    spent = Clock._make(late - early for early, late in zip(begin, end, strict=True))
    wall = max(spent.now, 1e-9)
    learner, waits = spent.learner / wall, spent.learner_waits / wall
    of_actors = {
        f"speed/actors_{name}": getattr(spent, name) / (wall * actors)
        for name in ("games", "policy", "program", "host")
    }
    figures = {
        "speed/steps_per_second": spent.updates * steps / wall,
        "speed/learner": learner,
        "speed/learner_waits": waits,
        "speed/learner_other": max(0.0, 1 - learner - waits),
        **of_actors,
        "speed/actors_other": max(0.0, 1 - sum(of_actors.values())),
    }
    return {name: round(value, 4) for name, value in figures.items()}


class Speed:
    """The figures of TIMINGS of this process, over the last WINDOW_SECONDS.

    actors: the seconds of each, which the actors keep up to date.
    """

    def __init__(self, plan: Schedule, actors: Sequence[Seconds]) -> None:
        self._plan, self._actors = plan, actors
        self._clocks: deque[Clock] = deque()

    def begin(self, updates: int) -> None:
        """Call it before the first update of this process."""
        self._clocks.append(self._clock(updates, 0.0, 0.0))

    def after(self, updates: int, learner: float, learner_waits: float) -> dict[str, float]:
        """Call it after each update.

        updates: number done. learner, learner_waits: seconds for which the learner has updated, and waited
        for rollouts, since `begin`.
        """
        now = self._clock(updates, learner, learner_waits)
        while len(self._clocks) > 1 and now.now - self._clocks[1].now >= WINDOW_SECONDS:
            self._clocks.popleft()
        figures = timings(self._clocks[0], now, self._plan.steps, len(self._actors))
        self._clocks.append(now)
        rollout = updates - 1
        return figures | {"speed/policy_lag": rollout - self._plan.parameters_of(rollout)}

    def _clock(self, updates: int, learner: float, learner_waits: float) -> Clock:
        of_actors = (
            sum(getattr(one, name) for one in self._actors) for name in ("games", "policy", "program", "host")
        )
        return Clock(time.perf_counter(), updates, learner, learner_waits, *of_actors)
