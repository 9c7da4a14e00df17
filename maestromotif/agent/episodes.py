"""One wave of episodes: one episode a game, under a program over skills, to its end or to the task's success.

Whoever scores a program or an agent plays waves. Who acts is handed in as a `Policy`; JAX is not needed here.
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

# (first bool [N], skill int32 [N], step number) -> actions int32 [N]. It sees the pool that it was made for.
Policy = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass
class Episode:
    """What one episode came to; `actions`, `skills` and `switched` have one entry a step.

    `switched` says that a new call of the skill began with this step.
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
    """Episode number `wave` of every game of the pool, to its end or to the task's success.

    conditions: of the task, see `Success`. run_seed, levels: those of the pool, from which each episode's
    seeds are written down. Returns one episode a game. Raises UserError where the program fails.
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
        # Games that are over go on with other episodes, which are not looked at.
        options.advance(pool.state, over)
    return [episodes[game] for game in range(games)]
