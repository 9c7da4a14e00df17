"""Episodes of one agent under the task's program, in dungeons that nobody has trained in."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.messages import MessageTable
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.options import Options
from maestromotif.agent.policy import Carry, fresh_carry, make_acting
from maestromotif.collect.collect import random_actions
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.nethack.seeds import episode_seeds
from maestromotif.programs.sandbox import Host
from maestromotif.tasks.conditions import Success

# (first bool [N], skill int32 [N], step number) -> actions int32 [N], from the pool it was made for
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


def network_policy(pool: GamePool, network: ActorCritic, params: Params, key: jax.Array) -> Policy:
    """Samples from the policy, as in training."""
    choose, messages = make_acting(network, pool.games, 1).choose, MessageTable()
    layout, form = Block(pool.games, network.message_form), network.message_form
    carry: Carry = jax.device_put(fresh_carry(network, pool.games))

    def policy(first: np.ndarray, skill: np.ndarray, step: int) -> np.ndarray:
        nonlocal carry
        text = pool.obs["message"]
        block, views = layout.allocate()
        message = messages.read(form, messages.numbers(text), text)
        fill(views, pool.obs, pool.state, message, first, skill, slice(None))
        carry, action = choose(params, carry, block, key, step)
        return np.asarray(action)

    return policy


def random_policy(pool: GamePool, actions: int, seed: int) -> Policy:
    """Each of so many actions with the same probability."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, step: rng.integers(0, actions, pool.games, np.int32)


def wandering_policy(pool: GamePool, seed: int) -> Policy:
    """Random actions that mostly walk, weighted as in the collection."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, step: random_actions(1, pool.games, rng)[0]


def play_wave(
    pool: GamePool,
    policy: Policy,
    host: Host,
    conditions: Sequence[str],
    run_seed: int,
    wave: int,
    levels: int | None,
) -> list[Episode]:
    """One episode a game: episode number `wave` of every game, to its end or to the task's success."""
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
        # Games that have ended show other episodes, which are nobody's business.
        options.advance(pool.state, over)
    return [episodes[game] for game in range(games)]
