"""Formulas of proximal policy optimisation (Schulman et al. 2017), for all skills at once.

T time, B games, K skills, G groups of steps. Skill k_t acts at t, and conditions the policy pi and the value
V of the step: pi(a_t | o_t, k_t), V(o_t, k_t). The step from o_t to o_{t+1} gives the reward r_t.

Every function runs inside `shard_map` over the mesh axis AXIS: each device has some of the games, and
statistics of all games are sums over that axis.

Figures are what the curve shows beside the loss: scalars, and arrays [K] by the skill that acted.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from maestromotif.agent.arrays import Array
from maestromotif.agent.network import ActorCritic, Params, pick, unroll
from maestromotif.agent.policy import Rollout
from maestromotif.config.learning import BootstrapSettings, TrainSettings
from maestromotif.train.endings import Ending
from maestromotif.train.kickstart import Lesson
from maestromotif.train.return_scale import ReturnScale, deviation, rescale, unrewarded
from maestromotif.train.returns import advantages

AXIS = "data"


Figures = dict[str, Array]


class Batch(NamedTuple):
    """A rollout and its rewards and boundaries; the games' axis is always the second one.

    Skill k_t acts at t; the step from o_t to o_{t+1} gives the reward.
    """

    rollout: Rollout
    memory: Array  # float32 [1, B, H], before the first step
    last: Rollout  # [1, B, ...]: o_T, of which skill k_T acts; without an action
    reward: Array  # float32 [T, B]
    ended: Array  # int8 [T, B], `Ending`: whether and why the skill's call ended after the step
    final_value: Array  # float32 [T, B]: of skill k_t at a truncated episode's last observation, else 0


class Targets(NamedTuple):
    """The learning targets of a rollout."""

    advantage: Array  # float32 [T, B], normalised
    value: Array  # float32 [T, B], target of the acting skill's value
    log_probs: Array | None  # float32 [T, B, A], of all actions at the update's start; only with `target_kl`
    lesson: Lesson | None = None  # the teacher's, if there is one


def next_values(batch: Batch, bootstrap: BootstrapSettings) -> Float[Array, "t b"]:
    r"""The bootstrap value after each step: v'_t of `returns.advantages`.

        v'_t = V(o_{t+1}, k_t)     where the call goes on, or ended for a reason r with bootstrap.r = "acting"
               V(o_{t+1}, k_{t+1}) where it ended for a reason with "next"
               0                   where it ended for a reason with "none"
               final_value_t       where the episode ended (0 after a death)

    With "acting", the end of the call is no end for the skill: it is also paid for what it would reach if it
    went on. With "next", it is paid for what the next skill would reach, in that skill's rewards. With
    "none", what follows the call does not count.

    A truncated episode bootstraps from its own last observation, before the game was reset.
    """
    rollout, last = batch.rollout, batch.last
    following_tbk = jnp.concatenate([rollout.values[1:], last.values])
    acting_tb = jnp.asarray(rollout.skill)
    next_tb = jnp.concatenate([acting_tb[1:], last.skill])
    choices: dict[str, Array] = {
        "acting": pick(following_tbk, acting_tb),
        "next": pick(following_tbk, next_tb),
        "none": jnp.zeros_like(batch.reward),
    }
    value_tb = choices["acting"]
    for ending, choice in (
        (Ending.ACHIEVED, bootstrap.achieved),
        (Ending.FAILED, bootstrap.failed),
        (Ending.TIMED_OUT, bootstrap.timed_out),
        (Ending.INTERRUPTED, bootstrap.interrupted),
    ):
        value_tb = jnp.where(jnp.asarray(batch.ended) == ending, choices[choice], value_tb)
    over_tb = jnp.asarray(batch.ended) >= Ending.TERMINATED
    return jnp.where(over_tb, batch.final_value, value_tb)


def targets(
    network: ActorCritic, params: Params, scale: ReturnScale, batch: Batch, settings: TrainSettings
) -> tuple[Targets, ReturnScale, Figures]:
    r"""Advantages and value targets of a rollout, and its figures by skill.

        A_t      = returns.advantages(r_t, V_t, v'_t, ...)
        advantage = (A_t - mean) / deviation, within the steps of each skill or over all (`normalise`)
        value     = A_t + V_t

    With `correction: clip`, V is from the network of the acting policy mu, and rho_t = c_t = 1 (GAE). With
    `vtrace`, V is from `params`, at o_T too, and rho_t = c_t = min(1, pi(a_t) / mu(a_t)) (Espeholt et al.
    2018, section 4.1, both clips at 1). Only the values of last observations of truncated episodes stay those
    of mu, because these observations are not kept: one step in `nethack.max_steps`. The trace is cut where a
    new skill call or a new episode begins. With `scale_returns`, `return_scale.rescale` gives r_t.

    Of a step that lost its game, the outcome is unknown: delta_t is 0, so that the step before bootstraps
    V_t, advantage is 0 and value is V_t. With `skip_unrewarded`, advantage is also 0 for the steps of skills
    that have had no reward for `return_memory` of their steps: the policy loss has no gradient from them, the
    value loss and the entropy have.

    The figures, sums over the steps of each skill in all games:

        target_steps  = number of steps
        return_square = sum (R_t - mean)^2, R_t the value's target
        error_square  = sum (A_t - mean)^2, A_t = R_t - V_t before it is normalised
        return_scale  = by what rewards were divided
    """
    rollout = batch.rollout
    rho_tb: Array = jnp.ones_like(batch.reward)
    log_probs_tba: Array | None = None
    if settings.correction == "vtrace" or settings.target_kl is not None:
        # With o_T: its values need the memory that `params` have there.
        seen = jax.tree.map(lambda *rows: jnp.concatenate(rows), rollout, batch.last)
        _, logits, values = unroll(network, params, seen.glance, seen.first, batch.memory[0])
        log_probs_tba = jax.nn.log_softmax(pick(logits[:-1], rollout.skill))
        if settings.correction == "vtrace":
            rho_tb = jnp.minimum(1.0, jnp.exp(pick(log_probs_tba, rollout.action) - rollout.log_prob))
            batch = batch._replace(
                rollout=rollout._replace(values=values[:-1]), last=batch.last._replace(values=values[-1:])
            )
    same_tb = jnp.asarray(batch.ended == Ending.NOT)
    known_tb = jnp.asarray(batch.ended != Ending.LOST)
    reward_tb: Array = batch.reward
    if settings.scale_returns or settings.skip_unrewarded:
        scale, scaled_tb = rescale(
            scale,
            reward_tb=reward_tb,
            skill_tb=rollout.skill,
            same_tb=same_tb,
            gamma=settings.gamma,
            memory=settings.return_memory,
            axis=AXIS,
        )
        reward_tb = scaled_tb if settings.scale_returns else reward_tb
    value_tb = pick(batch.rollout.values, rollout.skill)
    advantage_tb = advantages(
        reward_tb=reward_tb,
        value_tb=value_tb,
        next_value_tb=next_values(batch, settings.bootstrap),
        cont_tb=jnp.asarray(batch.ended != Ending.TERMINATED).astype(jnp.float32),
        same_tb=same_tb.astype(jnp.float32),
        gamma=settings.gamma,
        lam=settings.gae_lambda,
        rho_tb=rho_tb * known_tb,
        c_tb=rho_tb,
    )
    which_tbk = jax.nn.one_hot(rollout.skill, network.skills) * known_tb[..., None]
    learns_tbk = which_tbk
    if settings.skip_unrewarded:
        learns_tbk = which_tbk * ~unrewarded(scale, settings.return_memory)[None, None]
    which_tbg = learns_tbk.sum(-1, keepdims=True) if settings.normalise == "batch" else learns_tbk
    advantage = normalise(advantage_tb, which_tbg, settings.least_deviation)
    kept = None if settings.target_kl is None else log_probs_tba
    target = Targets(advantage, advantage_tb + value_tb, kept)
    figures = {
        "target_steps": jax.lax.psum(which_tbk.sum((0, 1)), AXIS),
        "return_square": squares(target.value, which_tbk),
        "error_square": squares(advantage_tb, which_tbk),
        "return_scale": deviation(scale) if settings.scale_returns else jnp.ones(network.skills),
    }
    return target, scale, figures


def squares(x_tb: Float[Array, "t b"], which_tbk: Float[Array, "t b k"]) -> Float[Array, " k"]:
    """Sums of (x - mean)^2 over the steps of each skill; two passes, because the mean can be large."""
    count_k = jnp.maximum(jax.lax.psum(which_tbk.sum((0, 1)), AXIS), 1)
    mean_k = jax.lax.psum((x_tb[..., None] * which_tbk).sum((0, 1)), AXIS) / count_k
    square_tb = jnp.square(x_tb - which_tbk @ mean_k)
    return jnp.asarray(jax.lax.psum((square_tb[..., None] * which_tbk).sum((0, 1)), AXIS))


def normalise(
    advantage_tb: Float[Array, "t b"], which_tbg: Float[Array, "t b g"], least: float
) -> Float[Array, "t b"]:
    """Zero mean and unit deviation within each group of steps; `which_tbg` is 1 for the steps of a group.

        (A_t - mean_g) / max(deviation_g, least),   g the group of step t

    The lower bound keeps tiny noise tiny; the published code has 1e-3. The result is 0 for steps without a
    group.
    """
    count_g = jnp.maximum(jax.lax.psum(which_tbg.sum((0, 1)), AXIS), 1)
    mean_g = jax.lax.psum((advantage_tb[..., None] * which_tbg).sum((0, 1)), AXIS) / count_g
    centred_tb = jnp.asarray(advantage_tb - which_tbg @ mean_g)
    square_g = jax.lax.psum((jnp.square(centred_tb)[..., None] * which_tbg).sum((0, 1)), AXIS) / count_g
    return centred_tb * (which_tbg @ (1 / jnp.maximum(jnp.sqrt(square_g), least)))


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) on clipped gradients; its updates are to be multiplied by -learning rate."""
    return optax.chain(
        optax.clip_by_global_norm(settings.max_grad_norm),
        optax.scale_by_adam(eps=settings.adam_eps),
    )


def loss(
    params: Params,
    network: ActorCritic,
    rollout: Rollout,
    memory_bh: Float[Array, "b h"],
    target: Targets,
    settings: TrainSettings,
) -> tuple[Array, Figures]:
    r"""The loss of one device's games, and its figures.

        loss = L_policy + value_coef L_value - entropy_coef H

        L_policy = -mean_t min(r_t A_t, clip(r_t, 1 / (1 + eps), 1 + eps) A_t)
        L_value  =  mean_t max((V_t - R_t)^2, (V'_t + clip(V_t - V'_t, -eps_v, eps_v) - R_t)^2)
        H        =  mean_t entropy of pi(. | o_t, k_t)

    r_t = pi(a_t) / mu(a_t), with pi under `params` and mu the policy that acted; A_t and R_t are `target`'s
    advantage and value; V'_t is the value from mu's network. L_policy is equation 7 of Schulman et al.
    2017 with the lower bound 1 / (1 + eps) in place of 1 - eps, so that the bounds of log r_t are symmetric.
    With `value_clip: null`, L_value is the first square alone. A teacher adds the term of `kickstart`.

    The other figures, means over steps:

        kl      = mean_t (r_t - 1) - log r_t, which estimates KL(mu || pi) from actions of mu without bias and
                  is never negative (Schulman 2020, "Approximating KL divergence", k3)
        update_kl = mean_t KL(pi_0 || pi), pi_0 the policy at the update's start, exact over all actions; only
                  with `target_kl`
        clipped = share of steps at which the minimum is the clipped term, so that pi gets no gradient:
                  r_t > 1 + eps and A_t > 0, or r_t < 1 / (1 + eps) and A_t < 0

    and by skill, each skill's part of the mean over all steps: the parts of L_value, H and kl, and the share
    of steps in which it acted. A part divided by the share is the mean over the skill's own steps.
    """
    _, logits, values = unroll(network, params, rollout.glance, rollout.first, memory_bh)
    log_probs = jax.nn.log_softmax(pick(logits, rollout.skill))
    value = pick(values, rollout.skill)
    log_ratio = pick(log_probs, rollout.action) - rollout.log_prob
    ratio, low, high = jnp.exp(log_ratio), 1 / (1 + settings.clip), 1 + settings.clip
    surrogate = jnp.minimum(ratio * target.advantage, jnp.clip(ratio, low, high) * target.advantage)
    policy_loss = -surrogate.mean()
    error = jnp.square(value - target.value)
    if settings.value_clip is not None:
        before = pick(rollout.values, rollout.skill)
        near = before + jnp.clip(value - before, -settings.value_clip, settings.value_clip)
        error = jnp.maximum(error, jnp.square(near - target.value))
    value_loss = error.mean()
    entropy_tb = entropies(log_probs)
    entropy = entropy_tb.mean()
    total = policy_loss + settings.value_coef * value_loss - settings.entropy_coef * entropy
    advantage = jnp.asarray(target.advantage)
    clipped = ((ratio > high) & (advantage > 0)) | ((ratio < low) & (advantage < 0))
    moved = ratio - 1 - log_ratio
    which_tbk = jax.nn.one_hot(rollout.skill, network.skills)
    figures: Figures = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": moved.mean(),
        "clipped": clipped.mean(),
        "skill_steps": which_tbk.mean((0, 1)),
        "skill_value_loss": (error[..., None] * which_tbk).mean((0, 1)),
        "skill_entropy": (entropy_tb[..., None] * which_tbk).mean((0, 1)),
        "skill_kl": (moved[..., None] * which_tbk).mean((0, 1)),
    }
    if target.log_probs is not None:
        figures["update_kl"] = divergences(target.log_probs, log_probs).mean()
    if target.lesson is not None:
        apart = divergences(target.lesson.log_probs, log_probs)
        total += (target.lesson.weight * apart).mean()
        figures["teacher_kl"] = apart.mean()
    return total, figures


def entropies(log_probs: Float[Array, "*n a"]) -> Float[Array, "*n"]:
    """-sum_a p_a log p_a. An action that a mask forbids, log p_a = -inf, adds 0 to it and to its gradient."""
    allowed = jnp.isfinite(log_probs)
    safe = jnp.where(allowed, log_probs, 0.0)  # or the gradient would be 0 * inf
    return -jnp.where(allowed, jnp.exp(safe) * safe, 0.0).sum(-1)


def divergences(log_p: Float[Array, "*n a"], log_q: Float[Array, "*n a"]) -> Float[Array, "*n"]:
    """KL(p || q) = sum_a p_a (log p_a - log q_a); an action that a mask forbids adds 0."""
    return jnp.where(jnp.isfinite(log_p), jnp.exp(log_p) * (log_p - log_q), 0.0).sum(-1)
