"""A network, or one for each skill, as the policy of a pool's games (`episodes.Policy`)."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from maestromotif.agent.episodes import Policy
from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.messages import MessageTable
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import Acting, Carry, fresh_carry, make_acting
from maestromotif.nethack.pool.pool import GamePool

SHRINK, SMALLEST = 4, 8  # the smallest batch, and how much larger the next one is


def batches(network: ActorCritic, games: int) -> dict[int, Acting]:
    """What `network_policy` needs for waves of so many games: functions by size of the batch."""
    sizes = [games]
    while sizes[-1] // SHRINK >= SMALLEST:
        sizes.append(sizes[-1] // SHRINK)
    return {size: make_acting(network, size, 1) for size in sizes}


def network_policy(
    pool: GamePool, network: ActorCritic, params: Params, key: jax.Array, acting: Mapping[int, Acting]
) -> Policy:
    """Samples from the policy, as in training, in the games of a wave until all of them are over.

    acting: the network's functions by size of the batch, for as many games as the pool has, and for fewer. A
    few long games outlast the others of a wave, so the smallest batch that holds those still playing is used.
    The draws follow from the key and from which games were still playing.
    """
    look, sizes = _looking(pool, network), sorted(acting)
    rows = np.arange(pool.games)  # the games of the batch
    carry: Carry = jax.device_put(fresh_carry(network, pool.games))

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        nonlocal rows, carry
        size = next(size for size in sizes if size >= playing.sum())
        if size < len(rows):
            places = np.resize(np.flatnonzero(playing[rows]), size)  # repeats some if there are fewer
            rows, carry = rows[places], jax.tree.map(lambda leaf: leaf[places], carry)
        block = look(rows, first[rows], skill[rows])
        carry, chosen = acting[len(rows)].choose(params, carry, block, key, step)
        action = np.zeros(pool.games, np.int32)
        action[rows[::-1]] = np.asarray(chosen)[::-1]  # of a game that is repeated, the first counts
        return action

    return policy


def isolated_policy(
    pool: GamePool, network: ActorCritic, params: Sequence[Params], key: jax.Array, acting: Acting
) -> Policy:
    """Networks that were trained for one skill each; the network of the acting skill acts.

    params: of the networks, in the order of the skills. network: their form, of one skill. Every network sees
    every step, and the action that was played, so its memory is that of the whole episode.
    """
    look, rows = _looking(pool, network), np.arange(pool.games)
    carries: list[Carry] = [jax.device_put(fresh_carry(network, pool.games)) for _ in params]

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        block = look(rows, first, np.zeros_like(skill))
        chosen = []
        for k, one in enumerate(params):
            carries[k], action = acting.choose(one, carries[k], block, jax.random.fold_in(key, k), step)
            chosen.append(np.asarray(action))
        played: np.ndarray = np.stack(chosen)[np.maximum(skill, 0), rows]
        for k, carry in enumerate(carries):
            carries[k] = carry._replace(last_action=jax.device_put(played))
        return played

    return policy


def _looking(
    pool: GamePool, network: ActorCritic
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """A function (rows, first, skill) -> the inputs of what those games of the pool show, as a block.

    Raises ValueError for a pool that keeps neither marks nor useless actions, if the network reads them.
    """
    if not pool.recall and (network.mask or network.sees.marks or network.sees.allowed):
        raise ValueError("this network needs a pool with recall: it would see no marks and no mask")
    messages, layouts, form = MessageTable(), dict[int, Block](), network.form.message

    def look(rows: np.ndarray, first: np.ndarray, skill: np.ndarray) -> np.ndarray:
        if len(rows) not in layouts:
            layouts[len(rows)] = Block(len(rows), network.form)
        text = pool.obs["message"][rows]
        block, views = layouts[len(rows)].allocate()
        message = messages.show(form, text)
        fill(views, pool.obs, pool.state, message, first, skill, pool.marks, pool.allowed, rows)
        return block

    return look
