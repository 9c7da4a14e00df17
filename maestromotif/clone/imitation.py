"""What a clone learns: the cross-entropy of the demonstrations' labels, and how their steps become batches.

T time, B lanes, K skills. All recordings are laid end to end, in an order that each epoch draws, and cut into
B lanes of equal length, which are read T steps at a time. The memory at the end of a batch is carried into
the next one, as when playing; only the gradient stops there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from maestromotif.agent.arrays import Array
from maestromotif.agent.network import ActorCritic, Params, initial_params, pick, unroll
from maestromotif.clone.glances import Steps

# Least log-probability of a label that counts: a mask of useless actions gives less to what it forbids.
_POSSIBLE = -1e6
_MAX_NORM = 4.0  # of the gradient, as in training


class Lanes(NamedTuple):
    """T steps of B lanes; what is beyond a lane's end has no label."""

    glance: Any  # leaves [T, B, ...]
    first: np.ndarray  # bool [T, B]
    skill: np.ndarray  # int32 [T, B]
    label: np.ndarray  # int32 [T, B]; -1: no label


class Cloned(NamedTuple):
    """What a gradient step changes."""

    params: Params
    opt_state: optax.OptState


class Sums(NamedTuple):
    """Sums over the labelled steps of each skill, float32 [K]."""

    steps: Array
    loss: Array  # -log pi(label), in nats
    right: Array  # steps at which the most likely action is the label
    forbidden: Array  # steps whose label the mask forbids, which are in no other sum


def batches(steps: Steps, spans: Sequence[tuple[int, int]], lanes: int, length: int) -> Iterator[Lanes]:
    """The steps of some recordings, in `lanes` lanes and batches of `length` steps.

    spans: first step and last+1 of each recording, in the order in which they are laid end to end.
    """
    order = np.concatenate([np.arange(start, stop) for start, stop in spans])
    count = batches_of(len(order), lanes, length)
    padded = np.full(count * length * lanes, -1)
    padded[: len(order)] = order
    for rows_tb in padded.reshape(lanes, count, length).transpose(1, 2, 0):
        there = rows_tb >= 0
        rows_tb = np.maximum(rows_tb, 0)
        yield Lanes(
            jax.tree.map(lambda leaf, rows=rows_tb: leaf[rows], steps.glance),
            steps.first[rows_tb],
            steps.skill[rows_tb],
            np.where(there, steps.label[rows_tb], -1),
        )


def batches_of(steps: int, lanes: int, length: int) -> int:
    """Number of batches that hold so many steps."""
    return -(-steps // (lanes * length))


def loss(
    params: Params, network: ActorCritic, memory_bh: Array, batch: Lanes
) -> tuple[Array, tuple[Array, Sums]]:
    r"""The mean over labelled steps of -log pi(label_t | o_t, k_t); the memory after the steps; the sums.

    Labels that the network's mask forbids are left out: they have no probability to raise.
    """
    memory_bh, logits, _ = unroll(network, params, batch.glance, batch.first, memory_bh)
    log_probs = jax.nn.log_softmax(pick(logits, batch.skill))
    log_prob_tb = pick(log_probs, jnp.maximum(batch.label, 0))
    labelled_tb = jnp.asarray(batch.label) >= 0
    counted_tb = labelled_tb & (log_prob_tb > _POSSIBLE)
    loss_tb = -jnp.where(counted_tb, log_prob_tb, 0.0)
    right_tb = counted_tb & (log_probs.argmax(-1) == batch.label)
    which_tbk = jax.nn.one_hot(batch.skill, network.skills)

    def by_skill(x_tb: Array) -> jax.Array:
        return (jnp.asarray(x_tb)[..., None] * which_tbk).sum((0, 1))

    sums = Sums(*map(by_skill, (counted_tb, loss_tb, right_tb, labelled_tb & ~counted_tb)))
    return loss_tb.sum() / jnp.maximum(counted_tb.sum(), 1), (memory_bh, sums)


class Imitation:
    """Learns `network` from batches of so many lanes."""

    def __init__(self, network: ActorCritic, learning_rate: float, lanes: int) -> None:
        self._network, self._lanes = network, lanes
        self._optimizer = optax.chain(optax.clip_by_global_norm(_MAX_NORM), optax.adam(learning_rate))
        self._learn = jax.jit(self._step)
        self._judge = jax.jit(lambda params, memory, batch: loss(params, network, memory, batch)[1])

    def fresh(self, seed: int) -> Cloned:
        """An untrained network; the seed determines it."""
        params = jax.jit(initial_params, static_argnums=0)(self._network, seed)
        return Cloned(params, self._optimizer.init(params))

    def learn(self, state: Cloned, epoch: Iterable[Lanes]) -> Iterator[tuple[Cloned, Sums]]:
        """One gradient step per batch; yields the state and the sums after each."""
        memory = self._blank()
        for batch in epoch:
            state, memory, sums = self._learn(state, memory, batch)
            yield state, jax.device_get(sums)

    def judge(self, params: Params, steps: Iterable[Lanes]) -> Sums:
        """The sums over the steps, without learning."""
        memory, found = self._blank(), []
        for batch in steps:
            memory, sums = self._judge(params, memory, batch)
            found.append(jax.device_get(sums))
        return added(found)

    def _blank(self) -> jax.Array:
        return jnp.zeros((self._lanes, self._network.hidden))

    def _step(self, state: Cloned, memory_bh: Array, batch: Lanes) -> tuple[Cloned, Array, Sums]:
        grads, (memory_bh, sums) = jax.grad(loss, has_aux=True)(state.params, self._network, memory_bh, batch)
        updates, opt_state = self._optimizer.update(grads, state.opt_state, state.params)
        return Cloned(optax.apply_updates(state.params, updates), opt_state), memory_bh, sums


def added(sums: Sequence[Sums]) -> Sums:
    """The sums of several batches."""
    return Sums(*(np.asarray(np.sum(column, 0, np.float64)) for column in zip(*sums, strict=True)))
