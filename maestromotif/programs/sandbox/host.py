"""What the rest of the code knows of a sandbox: a host steps programs for N games, and can be saved."""

from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int


@runtime_checkable
class Host(Protocol):
    """One program over skills and the skills' own programs, running for N games. A context manager.

    A sandbox is a class with these methods, and with the constructor and `load` of `monty.ProgramHost`. The
    package's `__init__` names the one in use.
    """

    games: int  # N

    def step(
        self,
        state: dict[str, np.ndarray],
        running: Int[np.ndarray, " N"],
        fresh: Bool[np.ndarray, " N"],
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """The skill that each game is under from now on (int32), and whether a new call begins (bool).

        state: one array [N] a field of GameState; `skill` need not be there, it follows from `running`.
        running: index of the skill that acted, -1 where there is none yet. fresh: a new episode has begun,
        so the game gets a new object of Program. A skill goes on where it has not ended, or where none may
        start. Raises UserError with file, line and cause when a program fails; the host is then closed.
        """

    def dump(self) -> bytes:
        """Everything that is needed to continue exactly from here: memories, random state, counters."""

    def close(self) -> None:
        """Ends the sandbox. Safe to call twice."""

    def __enter__(self) -> "Host": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
