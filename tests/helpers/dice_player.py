"""A player of simulated games, for tests of searches: real programs in the real sandbox, in milliseconds.

A game is `trial_states.Dice` for `STEPS` steps. The right skill is the descender where a way down was seen on
level 1 or 2, the ascender below level 2, and the discoverer elsewhere. The progress of a game is the share of
its steps with the right skill, and a success is a share of at least `ENOUGH`.
"""

from collections.abc import Sequence

import numpy as np

from maestromotif.compose.candidates import Game
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill

STEPS = 20
ENOUGH = 0.8


class DicePlayer:
    """A `Player`. first: the seed of episode 0, which the others follow. played: all episodes, in order."""

    def __init__(self, skills: Sequence[Skill], first: int = 0) -> None:
        self._skills, self._first = skills, first
        self._names = [one.name for one in skills]
        self.played: list[int] = []

    def play(self, source: str, episodes: range) -> list[Game]:
        self.played += episodes
        games = [Dice(1, self._first + number) for number in episodes]
        running, fresh = np.full(len(games), -1, np.int32), np.ones(len(games), bool)
        right = np.zeros(len(games), np.int64)
        with ProgramHost(source, self._skills, len(games), 0, "candidate.py") as host:
            for _ in range(STEPS):
                state = {name: np.concatenate([one.state[name] for one in games]) for name in games[0].state}
                running, switched, *_ = host.step(state, running, fresh)
                right += running == self._wanted(state)
                for number, one in enumerate(games):
                    one.advance(running[number : number + 1], switched[number : number + 1])
                fresh = np.concatenate([one.fresh for one in games])
        return [
            Game(share >= ENOUGH, share, STEPS, f"the right skill on {share:.0%} of the steps")
            for share in (right / STEPS).tolist()
        ]

    def _wanted(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Index of the right skill in each game."""
        right = np.where(state["downstairs_seen"], "descender", "discoverer")
        right = np.where(state["depth"] > 2, "ascender", right)
        return np.array([self._names.index(name) for name in right])
