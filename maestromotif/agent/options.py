"""Skill calls over time, under a program over skills.

The program selects among the skills that may start; a skill runs until it terminates (the options framework,
Sutton, Precup and Singh 1999).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maestromotif.programs.sandbox import CallEnd, Host


class CallStart:
    """Where the running calls of N games began: `at[name]` int32 [N] for `step`, `turn` and `depth`."""

    def __init__(self, games: int) -> None:
        self.at = {name: np.zeros(games, np.int32) for name in ("step", "turn", "depth")}

    def begin(self, state: Mapping[str, np.ndarray], where: np.ndarray) -> None:
        """Calls begin in the games bool [N] `where`."""
        for name, start in self.at.items():
            start[where] = state[name][where]

    def full_state(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tracked state with the fields of the running skill added."""
        return {
            **state,
            "skill_steps": state["step"] - self.at["step"],
            "skill_turns": state["turn"] - self.at["turn"],
            "skill_start_depth": self.at["depth"].copy(),  # `begin` overwrites it
        }


class Options:
    """Which skill runs in each of N games.

    `running` int32 [N] is the skill that acts next; `switched` bool [N] is true if its call has just begun.
    `reason` int8 [N] is the `CallEnd` of the call that has just ended, NOT where none has. `told` holds why
    the program chose the calls that have just begun, by game, where it says so.
    """

    def __init__(self, host: Host, games: int) -> None:
        self._host = host
        self.running = np.full(games, -1, np.int32)
        self.switched = np.ones(games, bool)
        self.reason = np.zeros(games, np.int8)
        self.told: dict[int, str] = {}
        self._start = CallStart(games)

    @property
    def start_depth(self) -> np.ndarray:
        """Depth at which each running call began, int32 [N]."""
        return self._start.at["depth"]

    @property
    def start_turn(self) -> np.ndarray:
        """Game turn at which each running call began, int32 [N]."""
        return self._start.at["turn"]

    def full_state(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tracked state with the fields of the running skill added."""
        return self._start.full_state(state)

    def advance(self, state: Mapping[str, np.ndarray], fresh: np.ndarray) -> None:
        """Run the program on the state after a step; `fresh` bool [N]: an episode has just begun."""
        self._start.begin(state, fresh)
        none = self.running < 0
        self.running, self.switched, self.reason = self._host.step(
            self.full_state(state), np.where(fresh, -1, self.running), fresh
        )
        self.reason[none] = CallEnd.NOT
        self.told = self._host.told
        self._start.begin(state, self.switched)

    def snapshot(self) -> dict[str, Any]:
        """A copy of the state, without the program's host, which has its own `dump`."""
        start = {name: value.copy() for name, value in self._start.at.items()}
        now = {name: getattr(self, name).copy() for name in ("running", "switched", "reason")}
        return now | {"start": start}

    def restore(self, snapshot: dict[str, Any]) -> None:
        for name in ("running", "switched", "reason"):
            setattr(self, name, np.array(snapshot[name]))
        self._start.at = {name: np.array(value) for name, value in snapshot["start"].items()}
