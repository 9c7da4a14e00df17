"""Reward scaling, so that one learning rate suits every skill; and which skills have had no reward."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from maestromotif.agent.arrays import Array

_LARGEST = 10.0


class ReturnScale(NamedTuple):
    """The running mean square of each skill's discounted returns, and when it was last rewarded.

    Reward models differ in how often they give a reward. Without scaling, the value loss of a skill with rare
    rewards is negligible next to the policy loss. This is the usual vector-environment scaling, per skill.
    """

    running: Array  # float32 [1, n], discounted return so far of each game's skill call
    mean_square: Array  # float32 [K]
    weight: Array  # float32 [K], number of steps in the mean, at most `train.return_memory`
    silence: (
        Array  # float32 [K], the skill's steps in the rollouts since the last one that rewarded it, or inf
    )


def fresh_scale(games: int, skills: int) -> ReturnScale:
    zeros = np.zeros(skills, np.float32)
    return ReturnScale(np.zeros((1, games), np.float32), zeros, zeros, np.full(skills, np.inf, np.float32))


def rescale(
    scale: ReturnScale,
    *,
    reward_tb: Float[Array, "t b"],
    skill_tb: Int[Array, "t b"],
    same_tb: Bool[Array, "t b"],
    gamma: float,
    memory: int,
    axis: str,
) -> tuple[ReturnScale, Float[Array, "t b"]]:
    r"""Rewards divided by the root mean square of their skill's returns, including this rollout's.

        G_t   = r_t + gamma same_{t-1} G_{t-1}
        m_k   = (w_k m_k + sum over the skill's steps of G_t^2) / (w_k + its steps)
        w_k   = min(w_k + its steps, memory)
        r'_t  = clip(r_t / sqrt(m_k), -10, 10),   k the skill that acted at t

    So m_k is a mean over the skill's first `memory` steps, and after them one that forgets: what was `memory`
    steps ago weighs e times less than what is new.
    G_t is the discounted sum of the rewards of the skill call up to t, as usual in vector environments; the
    return from t on is not known yet. same_tb: False where the call or the episode ends after t. axis: the
    mesh axis whose devices share the statistics.
    """

    def forwards(running_b: jax.Array, x: tuple[Array, Array]) -> tuple[jax.Array, jax.Array]:
        reward_b, same_b = x
        running_b = running_b * gamma + reward_b
        return running_b * same_b, running_b

    running_b, return_tb = jax.lax.scan(forwards, jnp.asarray(scale.running)[0], (reward_tb, same_tb))
    which_tbk = jax.nn.one_hot(skill_tb, scale.weight.shape[0])
    total_k = jax.lax.psum((jnp.square(return_tb)[..., None] * which_tbk).sum((0, 1)), axis)
    steps_k = jax.lax.psum(which_tbk.sum((0, 1)), axis)
    weight_k = scale.weight + steps_k
    mean_square_k = (scale.mean_square * scale.weight + total_k) / jnp.maximum(weight_k, 1)
    rewarded_k = jax.lax.psum(((reward_tb != 0)[..., None] * which_tbk).sum((0, 1)), axis) > 0
    silence_k = jnp.where(rewarded_k, 0.0, scale.silence + steps_k)
    scale = ReturnScale(running_b[None], mean_square_k, jnp.minimum(weight_k, memory), silence_k)
    scaled_tb = jnp.clip(reward_tb / (which_tbk @ deviation(scale)), -_LARGEST, _LARGEST)
    return scale, scaled_tb


def unrewarded(scale: ReturnScale, memory: int) -> Bool[Array, " k"]:
    """Skills that have had no reward for `memory` of their steps, or none yet.

    All that their advantages show is the noise of their values.
    """
    return jnp.asarray(scale.silence) >= memory


def deviation(scale: ReturnScale) -> Float[Array, " k"]:
    """By what each skill's rewards are divided; 1 before its first reward."""
    return jnp.where(scale.mean_square > 0, jnp.sqrt(scale.mean_square), 1.0)
