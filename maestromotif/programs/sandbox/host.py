"""The interface of a sandbox: a host steps programs for N games, and can be saved."""

from enum import IntEnum
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int


class CallEnd(IntEnum):
    """Why a skill's call ended."""

    NOT = 0  # it goes on, or there was none
    SKILL = 1  # the skill's own `should_end`: its goal is reached, or its time is up
    PROGRAM = 2  # the `should_end` of the program over skills interrupted it
    EPISODE = 3  # the episode was over, whatever the skill and the program would have said


@runtime_checkable
class Host(Protocol):
    """Runs a program over skills and the skills' own programs for N games. A context manager.

    A sandbox is a class with these methods and with the constructor and `load` of `monty.ProgramHost`. The
    package's `__init__` names the one in use.
    """

    games: int  # N
    told: dict[int, str]  # game -> why the program chose, for calls that began with the last step; if it said

    def step(
        self,
        state: dict[str, np.ndarray],
        running: Int[np.ndarray, " N"],
        fresh: Bool[np.ndarray, " N"],
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """The skill that each game runs from now on (int32), whether a new call begins (bool), and why the
        call before it ended (int8, `CallEnd`).

        state: one array [N] per field of GameState; `skill` is optional, because it follows from `running`.
        running: index of the skill that acted, -1 if there is none yet. fresh: games where a new episode has
        begun; they get a new object of Program. A skill continues if it has not ended, or if no skill may
        start. In fresh games, the call before ended with its episode, even if the host saw none. Raises
        `problems.ProgramError` with file, line and cause if a program fails; the host is then closed.
        """

    def dump(self) -> bytes:
        """The state needed to continue exactly from here: memory, random state, counters."""

    def close(self) -> None:
        """Stops the sandbox. Safe to call twice."""

    def __enter__(self) -> "Host": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
