"""A network, or one for each skill, as the policy of a pool's games (`episodes.Policy`)."""

from collections.abc import Callable, Sequence

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
    look = _looking(pool, network)
    carry: Carry = jax.device_put(fresh_carry(network, pool.games))

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        nonlocal carry
        carry, action = acting.choose(params, carry, look(first, skill), key, step)
        return np.asarray(action)

    return policy


def isolated_policy(
    pool: GamePool, network: ActorCritic, params: Sequence[Params], key: jax.Array, acting: Acting
) -> Policy:
    """Networks that were trained for one skill each; the network of the acting skill acts.

    params: of the networks, in the order of the skills. network: their form, of one skill. Every network sees
    every step, and the action that was played, so its memory is that of the whole episode.
    """
    look = _looking(pool, network)
    carries: list[Carry] = [jax.device_put(fresh_carry(network, pool.games)) for _ in params]

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        block = look(first, np.zeros_like(skill))
        chosen = []
        for k, one in enumerate(params):
            carries[k], action = acting.choose(one, carries[k], block, jax.random.fold_in(key, k), step)
            chosen.append(np.asarray(action))
        played: np.ndarray = np.stack(chosen)[np.maximum(skill, 0), np.arange(pool.games)]
        for k, carry in enumerate(carries):
            carries[k] = carry._replace(last_action=jax.device_put(played))
        return played

    return policy


def _looking(pool: GamePool, network: ActorCritic) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function (first, skill) -> the inputs of what the pool shows, as a block.

    Raises ValueError for a pool that keeps neither marks nor useless actions, if the network reads them.
    """
    if not pool.recall and (network.mask or network.sees.marks or network.sees.allowed):
        raise ValueError("this network needs a pool with recall: it would see no marks and no mask")
    messages = MessageTable()
    layout, form = Block(pool.games, network.form), network.form.message

    def look(first: np.ndarray, skill: np.ndarray) -> np.ndarray:
        text = pool.obs["message"]
        block, views = layout.allocate()
        message = messages.read(form, messages.numbers(text), text)
        fill(views, pool.obs, pool.state, message, first, skill, pool.marks, pool.allowed, slice(None))
        return block

    return look
