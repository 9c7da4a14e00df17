"""Proximal policy optimisation (Schulman et al. 2017) of all skills at once: the formulas.

T time, B games, K skills. Every function runs inside `shard_map` over the mesh axis AXIS: each device has
some of the games, and what concerns all of them is summed over that axis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from maestromotif.agent.arrays import Array
from maestromotif.agent.network import ActorCritic, Params, pick, unroll
from maestromotif.agent.policy import Rollout
from maestromotif.config.schema import TrainSettings
from maestromotif.train.return_scale import ReturnScale, rescale
from maestromotif.train.returns import advantages

AXIS = "data"


class Batch(NamedTuple):
    """A rollout and what came of it; the games' axis is the second one everywhere.

    At t the game is under skill k_t; the reward is of the step from o_t to o_{t+1}.
    """

    rollout: Rollout
    memory: Array  # float32 [1, B, H], before the first step
    last_values: Array  # float32 [1, B, K], of all skills at o_T
    last_skill: Array  # int32 [1, B], which acts at o_T
    reward: Array  # float32 [T, B]
    switched: Array  # bool [T, B]: after the step another call of a skill begins
    over: Array  # bool [T, B]: the step was the episode's last
    terminal: Array  # bool [T, B]: ... and there is no future, as after a death
    final_value: Array  # float32 [T, B]: of the acting skill at the last observation of an episode cut short


class Targets(NamedTuple):
    """What a rollout teaches."""

    advantage: Array  # float32 [T, B], normalised
    value: Array  # float32 [T, B], what the acting skill's value should be


def next_values(batch: Batch, bootstrap: str) -> Float[Array, "t b"]:
    """What stands for the value after each step.

    bootstrap: at a switch of skills "acting" takes the value of the skill that acted, "next" that of the next
    one, "none" zero. Where an episode was cut short it is the last observation's, before the games went on.
    """
    rollout = batch.rollout
    following_tbk = jnp.concatenate([rollout.values[1:], batch.last_values])
    acting_tb = jnp.asarray(rollout.skill)
    next_tb = jnp.concatenate([acting_tb[1:], batch.last_skill])
    value_tb = pick(following_tbk, next_tb if bootstrap == "next" else acting_tb)
    if bootstrap == "none":
        value_tb = jnp.where(batch.switched, 0.0, value_tb)
    return jnp.where(batch.over, batch.final_value, value_tb)


def targets(
    network: ActorCritic, params: Params, scale: ReturnScale, batch: Batch, settings: TrainSettings
) -> tuple[Targets, ReturnScale]:
    """Advantages and value targets of a rollout.

    With `correction: vtrace` the values are those of `params`, and steps are weighted by how much likelier
    the actions are under `params` than when they were taken; else both are what the acting policy said.
    """
    rollout = batch.rollout
    rho_tb: Array = jnp.ones_like(batch.reward)
    if settings.correction == "vtrace":
        _, logits, values = unroll(network, params, rollout.glance, rollout.first, batch.memory[0])
        log_prob = pick(jax.nn.log_softmax(pick(logits, rollout.skill)), rollout.action)
        rho_tb = jnp.minimum(1.0, jnp.exp(log_prob - rollout.log_prob))
        batch = batch._replace(rollout=rollout._replace(values=values))
    same_tb = ~(jnp.asarray(batch.switched) | batch.over)
    reward_tb: Array = batch.reward
    if settings.scale_returns:
        scale, reward_tb = rescale(scale, reward_tb, rollout.skill, same_tb, settings.gamma, AXIS)
    value_tb = pick(batch.rollout.values, rollout.skill)
    advantage_tb = advantages(
        reward_tb,
        value_tb,
        next_values(batch, settings.bootstrap),
        1.0 - batch.terminal,
        same_tb.astype(jnp.float32),
        settings.gamma,
        settings.gae_lambda,
        rho_tb,
        rho_tb,
    )
    which_tbk = jax.nn.one_hot(rollout.skill, network.skills)
    if settings.normalise == "batch":
        which_tbk = jnp.ones((*which_tbk.shape[:2], 1))
    return Targets(normalise(advantage_tb, which_tbk), advantage_tb + value_tb), scale


def normalise(advantage_tb: Float[Array, "t b"], which_tbg: Float[Array, "t b g"]) -> Float[Array, "t b"]:
    """Zero mean and unit deviation within each group of steps, which `which_tbg` marks with 1.

    The deviation counts as at least 1e-3 (as published).
    """
    count_g = jnp.maximum(jax.lax.psum(which_tbg.sum((0, 1)), AXIS), 1)
    mean_g = jax.lax.psum((advantage_tb[..., None] * which_tbg).sum((0, 1)), AXIS) / count_g
    centred_tb = jnp.asarray(advantage_tb - which_tbg @ mean_g)
    square_g = jax.lax.psum((jnp.square(centred_tb)[..., None] * which_tbg).sum((0, 1)), AXIS) / count_g
    return centred_tb / (which_tbg @ jnp.maximum(jnp.sqrt(square_g), 1e-3))


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(settings.max_grad_norm),
        optax.adam(settings.learning_rate, eps=settings.adam_eps),
    )


def loss(
    params: Params,
    network: ActorCritic,
    rollout: Rollout,
    memory_bh: Float[Array, "b h"],
    target: Targets,
    settings: TrainSettings,
) -> tuple[Array, dict[str, Array]]:
    """Clipped policy loss + value_coef * value loss - entropy_coef * entropy, of one device's games."""
    _, logits, values = unroll(network, params, rollout.glance, rollout.first, memory_bh)
    log_probs = jax.nn.log_softmax(pick(logits, rollout.skill))
    value = pick(values, rollout.skill)
    ratio = jnp.exp(pick(log_probs, rollout.action) - rollout.log_prob)
    clipped = jnp.clip(ratio, 1 / (1 + settings.clip), 1 + settings.clip)
    policy_loss = -jnp.minimum(ratio * target.advantage, clipped * target.advantage).mean()
    error = jnp.square(value - target.value)
    if settings.value_clip is not None:
        before = pick(rollout.values, rollout.skill)
        near = before + jnp.clip(value - before, -settings.value_clip, settings.value_clip)
        error = jnp.maximum(error, jnp.square(near - target.value))
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
