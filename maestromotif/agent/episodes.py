"""One wave of episodes: one per game, under a program over skills, until it ends or the task succeeds.

Code that scores a program or an agent plays waves. The caller passes a `Policy`; this module needs no JAX.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maestromotif.agent.options import Options
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.nethack.seeds import episode_seeds
from maestromotif.programs.sandbox import Host
from maestromotif.tasks.conditions import Success

# (first bool [N], skill int32 [N], step number) -> actions int32 [N]. It reads the pool that it was made for.
Policy = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass
class Episode:
    """The result of one episode; `actions`, `skills` and `switched` have one entry per step.

    `switched` is true where a new call of the skill began with this step.
    """

    seeds: Sequence[int]  # core, disp, lgen
    success: bool
    deepest: int
    steps: int
    end: str
    actions: list[int]
    skills: list[int]
    switched: list[bool]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def play_wave(
    pool: GamePool,
    policy: Policy,
    host: Host,
    conditions: Sequence[str],
    run_seed: int,
    wave: int,
    levels: int | None,
) -> list[Episode]:
    """Play episode number `wave` of every game of the pool, until it ends or the task succeeds.

    conditions: the task's, see `Success`. run_seed, levels: those of the pool; they give the seeds that are
    recorded with each episode. Returns one episode per game. Raises UserError if the program fails.
    """
    games = pool.games
    pool.reset(wave)
    options, success = Options(host, games), Success(conditions)
    first = np.ones(games, bool)
    playing = np.ones(games, bool)
    options.advance(pool.state, np.ones(games, bool))
    actions: list[list[int]] = [[] for _ in range(games)]
    skills: list[list[int]] = [[] for _ in range(games)]
    switched: list[list[bool]] = [[] for _ in range(games)]
    episodes: dict[int, Episode] = {}
    step = 0
    while playing.any():
        skill = options.running
        action = np.where(playing, policy(first, skill, step), IDLE)
        pool.step(action)
        step += 1
        first = np.zeros(games, bool)
        for game in np.flatnonzero(playing):
            actions[game].append(int(action[game]))
            skills[game].append(int(skill[game]))
            switched[game].append(bool(options.switched[game]))
        over = playing & (pool.ended != End.NOT)
        state = {
            name: np.where(over, pool.final_state[name], pool.state[name])
            for name in {"deepest", *success.fields}
        }
        achieved = playing & success.update(state)
        for game in np.flatnonzero(achieved | over):
            end = "success" if achieved[game] else End(int(pool.ended[game])).name.lower()
            seeds = episode_seeds("evaluate", run_seed, int(game), wave, levels)
            deepest = int(state["deepest"][game])
            episodes[int(game)] = Episode(
                tuple(seeds),
                bool(achieved[game]),
                deepest,
                len(actions[game]),
                end,
                actions[game],
                skills[game],
                switched[game],
            )
            playing[game] = False
        # Finished games continue with further episodes, which are ignored.
        options.advance(pool.state, over)
    return [episodes[game] for game in range(games)]
