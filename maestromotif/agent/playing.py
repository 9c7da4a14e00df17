"""A network as the policy of a pool's games (`episodes.Policy`)."""

import jax
import numpy as np

from maestromotif.agent.episodes import Policy
from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.messages import MessageTable
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import Acting, Carry, fresh_carry
from maestromotif.nethack.pool.pool import GamePool


def network_policy(
    pool: GamePool, network: ActorCritic, params: Params, key: jax.Array, acting: Acting
) -> Policy:
    """Samples from the policy, as in training. acting: the network's, for as many games as the pool has."""
    messages = MessageTable()
    layout, form = Block(pool.games, network.form), network.form.message
    carry: Carry = jax.device_put(fresh_carry(network, pool.games))

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        nonlocal carry
        text = pool.obs["message"]
        block, views = layout.allocate()
        message = messages.read(form, messages.numbers(text), text)
        fill(views, pool.obs, pool.state, message, first, skill, pool.marks, pool.allowed, slice(None))
        carry, action = acting.choose(params, carry, block, key, step)
        return np.asarray(action)

    return policy
