"""Proximal policy optimisation (Schulman et al. 2017) of all skills at once. T time, B games, K skills."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from maestromotif.learning.arrays import Array
from maestromotif.learning.network import ActorCritic, Inputs, Params, apply_unroll, pick
from maestromotif.learning.returns import advantages
from maestromotif.settings import LearningSettings


class Batch(NamedTuple):
    """A rollout, time-major. At t the game is under skill k_t; reward is of the step from o_t to o_{t+1}."""

    obs: Inputs  # [T, B, ...]
    first: Array  # float32 [T, B]: o_t begins an episode
    skill: Array  # int32 [T, B]
    action: Array  # int32 [T, B]
    log_prob: Array  # float32 [T, B], of the action when it was taken
    value: Array  # float32 [T, B], of the acting skill at o_t
    next_value: Array  # float32 [T, B], what stands for the value after step t
    reward: Array  # float32 [T, B]
    cont: Array  # float32 [T, B]: 0 where the episode ended by death or leaving
    same: Array  # float32 [T, B]: 0 where the next step is of another call of a skill, or another episode
    memory: Array  # float32 [B, H], before the first step


def _minibatch(batch: Batch, games: Array) -> Batch:
    """The given games' whole sequences."""
    parts: Batch = jax.tree.map(lambda leaf: leaf[:, games], batch._replace(memory=batch.first[:1]))
    return parts._replace(memory=batch.memory[games])


def normalise(advantage: Float[Array, "t b"], skill: Array, skills: int, by: str) -> Float[Array, "t b"]:
    """Zero mean and unit deviation, by skill or over the whole batch.

    The deviation counts as at least 1e-3 (as published).
    """
    if by == "batch":
        return (advantage - advantage.mean()) / jnp.maximum(advantage.std(), 1e-3)
    which = jax.nn.one_hot(skill, skills)
    count = jnp.maximum(which.sum((0, 1)), 1)
    mean = (advantage[..., None] * which).sum((0, 1)) / count
    centred = advantage - which @ mean
    deviation = jnp.sqrt((jnp.square(centred)[..., None] * which).sum((0, 1)) / count)
    return centred / (which @ jnp.maximum(deviation, 1e-3))


def make_optimizer(settings: LearningSettings) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(settings.max_grad_norm),
        optax.adam(settings.learning_rate, eps=settings.adam_eps),
    )


def loss(
    params: Params,
    network: ActorCritic,
    batch: Batch,
    advantage: Array,
    target: Array,
    settings: LearningSettings,
) -> tuple[Array, dict[str, Array]]:
    """Clipped policy loss + value_coef * value loss - entropy_coef * entropy; advantages come normalised."""
    logits, values = apply_unroll(network, params, batch.obs, batch.first, batch.memory)
    log_probs = jax.nn.log_softmax(pick(logits, batch.skill))
    value = pick(values, batch.skill)
    ratio = jnp.exp(pick(log_probs, batch.action) - batch.log_prob)
    clipped = jnp.clip(ratio, 1 / (1 + settings.clip), 1 + settings.clip)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    error = jnp.square(value - target)
    if settings.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -settings.value_clip, settings.value_clip)
        error = jnp.maximum(error, jnp.square(near - target))
    value_loss = error.mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
    total = policy_loss + settings.value_coef * value_loss - settings.entropy_coef * entropy
    figures: dict[str, Array] = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": (ratio - 1 - jnp.log(ratio)).mean(),
        "clipped": (jnp.abs(ratio - 1) > settings.clip).mean(),
    }
    return total, figures


Update = Callable[[Params, optax.OptState, Batch, Array], tuple[Params, optax.OptState, dict[str, Array]]]


def make_update(
    network: ActorCritic, optimizer: optax.GradientTransformation, settings: LearningSettings
) -> Update:
    """One jitted update on a rollout: epochs x minibatches over games, whole sequences, stored memory."""

    def update(
        params: Params, opt_state: optax.OptState, batch: Batch, key: Array
    ) -> tuple[Params, optax.OptState, dict[str, Array]]:
        advantage = advantages(
            batch.reward,
            batch.value,
            batch.next_value,
            batch.cont,
            batch.same,
            settings.gamma,
            settings.gae_lambda,
        )
        target = advantage + batch.value
        advantage = normalise(advantage, batch.skill, network.skills, settings.normalise)
        games = batch.first.shape[1]

        def minibatch(carry: tuple[Params, optax.OptState], chosen: Array) -> tuple[Any, dict[str, Array]]:
            params, opt_state = carry
            grads, figures = jax.grad(loss, has_aux=True)(
                params, network, _minibatch(batch, chosen), advantage[:, chosen], target[:, chosen], settings
            )
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), figures

        chosen = jnp.concatenate(
            [
                jax.random.permutation(k, games).reshape(settings.minibatches, -1)
                for k in jax.random.split(key, settings.epochs)
            ]
        )
        (params, opt_state), figures = jax.lax.scan(minibatch, (params, opt_state), chosen)
        return params, opt_state, jax.tree.map(jnp.mean, figures)

    return jax.jit(update, donate_argnums=(0, 1))
