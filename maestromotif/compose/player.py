"""Plays candidates in the real game: a trained policy acts under their programs, and a task judges them."""

import contextlib
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Literal

import jax

from maestromotif.agent.episodes import Episode, LostGamesError, play_wave
from maestromotif.agent.network import Params, build
from maestromotif.agent.playing import batches, network_policy
from maestromotif.compose.candidates import Game
from maestromotif.compose.story import Chronicle
from maestromotif.config.schema import Config
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.tasks.task import Task, steps_of

log = logging.getLogger("maestromotif")

GAMES = 8  # played at once in a search
TRIES = 3  # at games that are lost with a worker
FILE = "program.py"  # in the messages about a candidate


class GamePlayer:
    """Implements `candidates.Player`. A context manager: the games stay open between candidates.

    params: of the config's network. task: judges the games, and gives their length. purpose: of their seeds,
    "search" for games that a search looks at, "final" for those that measure its result. games: N, played at
    once; episode e is number e // N of game e % N, so N is part of what e means. Raises UserError for tasks
    and skills that cannot be read.
    """

    def __init__(
        self,
        config: Config,
        params: Params,
        task: Task,
        purpose: Literal["search", "final"] = "search",
        games: int = GAMES,
    ) -> None:
        self._games = games
        self._config, self._params, self._task, self._purpose = config, params, task, purpose
        self._skills = skills_of(config)
        self._network = build(config.train.network, len(config.skills))
        self._acting = batches(self._network, games)
        self._stack = contextlib.ExitStack()
        self._pool = self._stack.enter_context(
            open_pool(config, purpose, games, steps_of(task, config), leave=task.leaves)
        )

    def play(self, source: str, episodes: range) -> list[Game]:
        """See `candidates.Player`. N games are played at once, so multiples of it waste nothing."""
        games: dict[int, Game] = {}
        for wave in sorted({episode // self._games for episode in episodes}):
            for game, told in enumerate(self._wave(source, wave)):
                games[wave * self._games + game] = told
        return [games[episode] for episode in episodes]

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> "GamePlayer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wave(self, source: str, wave: int) -> list[Game]:
        for _ in range(TRIES):
            with contextlib.suppress(LostGamesError):
                return self._played(source, wave)
            log.warning("compose: a worker died; playing its games again")
        raise UserError(
            f"compose: workers died in each of {TRIES} attempts at {self._games} games; memory may be too "
            "small: lower nethack.workers"
        )

    def _played(self, source: str, wave: int) -> list[Game]:
        pool, seed = self._pool, self._config.run.seed
        key = jax.random.fold_in(jax.random.key(seed + 3), wave)
        policy = network_policy(pool, self._network, self._params, key, self._acting)
        with ProgramHost(source, self._skills, self._games, seed + wave, FILE) as host:
            steps = play_wave(pool, policy, host, self._task, seed, wave, None, self._purpose)
            chronicle = Chronicle(pool)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    played: Sequence[Episode] = end.value
                    break
                chronicle.follow()
        names = [one.name for one in self._skills]
        return [
            Game(*_score(one, self._task), one.steps, chronicle.story(game, one, self._task, names))
            for game, one in enumerate(played)
        ]


def _score(one: Episode, task: Task) -> tuple[bool, float]:
    """Success and progress; see `candidates.Game` for a task that is measured."""
    if task.success or task.measure is None:
        return one.success, one.progress
    assert one.measured is not None
    return one.measured >= 1, float(one.measured)
