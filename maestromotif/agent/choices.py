"""What the skills' own programs say: which skills may start now, and whether the running one has ended.

For a controller outside of the sandbox, which chooses the skills of one game itself. The sandbox answers for
K copies of the game at once: in copy k a program asks for skill k, and gets it if it may start.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

import numpy as np

from maestromotif.programs.sandbox import CallEnd, ProgramHost
from maestromotif.skill import Skill

# A copy is told its number at the beginning of the episode, where `skill_steps` is 0 otherwise.
_ASKS = """\
NAMES = {names}


class Program:
    def __init__(self) -> None:
        self.wanted = -1

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if self.wanted < 0:
            self.wanted = state.skill_steps
        wanted = NAMES[self.wanted]
        return wanted if wanted in available else available[0]

    def should_end(self, state: GameState) -> bool:
        return True
"""


class Answer(NamedTuple):
    """may_start: bool [K], by skill. ended: whether the running skill's own program ends its call."""

    may_start: np.ndarray
    ended: bool


class Choices:
    """Asks the programs of K skills about one game, for one episode. A context manager.

    seed: of the programs' `random`. place: what to name in the error if no skill may start at the beginning.
    """

    def __init__(self, skills: Sequence[Skill], seed: int, place: str) -> None:
        self._copies = len(skills)
        program = _ASKS.format(names=[skill.name for skill in skills])
        self._host = ProgramHost(program, skills, self._copies, seed, place)

    def begin(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """The skills that may start at the beginning of an episode, bool [K].

        state: all fields of GameState but `skill`, arrays [1]. Raises UserError if no skill may start or a
        program fails.
        """
        told = {**self._copied(state), "skill_steps": np.arange(self._copies, dtype=np.int32)}
        none = np.full(self._copies, -1, np.int32)
        self._host.step(told, none, np.ones(self._copies, bool))
        return self.ask(state, -1).may_start

    def ask(self, state: Mapping[str, np.ndarray], running: int) -> Answer:
        """What the programs say after a step. state: as in `begin`. running: index of the running skill.

        Raises UserError if a program fails.
        """
        acting = np.full(self._copies, running, np.int32)
        found, switched, reason = self._host.step(self._copied(state), acting, np.zeros(self._copies, bool))
        may_start = switched & (found == np.arange(self._copies))
        return Answer(may_start, bool(reason[running] == CallEnd.SKILL))

    def _copied(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.repeat(value, self._copies) for name, value in state.items()}

    def close(self) -> None:
        """Stops the sandbox. Safe to call twice."""
        self._host.close()

    def __enter__(self) -> "Choices":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
