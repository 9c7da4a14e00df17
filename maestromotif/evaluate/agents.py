"""The evaluated agents: a network, trained or untrained, and two that act at random."""

import jax
import numpy as np

from maestromotif.agent.episodes import Policy
from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.messages import MessageTable
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import Carry, fresh_carry, make_acting
from maestromotif.collect.collect import random_actions
from maestromotif.nethack.pool.pool import GamePool


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
    """Uniformly random: each of the first `actions` actions has the same probability."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, step: rng.integers(0, actions, pool.games, np.int32)


def wandering_policy(pool: GamePool, seed: int) -> Policy:
    """Random actions, mostly moves, with the weights of the stage `collect`."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, step: random_actions(1, pool.games, rng)[0]
