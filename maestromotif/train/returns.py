"""Advantages over time, with switches between skills."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from maestromotif.agent.arrays import Array


def advantages(
    *,
    reward_tb: Float[Array, "t b"],
    value_tb: Float[Array, "t b"],
    next_value_tb: Float[Array, "t b"],
    cont_tb: Float[Array, "t b"],
    same_tb: Float[Array, "t b"],
    gamma: float,
    lam: float,
    rho_tb: Float[Array, "t b"] | float = 1.0,
    c_tb: Float[Array, "t b"] | float = 1.0,
) -> Float[Array, "t b"]:
    r"""Generalised advantage estimates, or V-trace, with a separate bootstrap value for every step.

        delta_t = rho_t (r_t + gamma cont_t v'_t - v_t)
        A_t     = delta_t + gamma lam c_t cont_t same_t A_{t+1}

    With rho = c = 1 this is GAE (Schulman et al. 2016, eq. 16); with rho = c = min(1, pi/mu) and lam = 1 it
    is v_s - V(x_s) of V-trace (Espeholt et al. 2018, eq. 1). The value target is `value_tb` + the result.

    value_tb: V of the acting skill at o_t. next_value_tb: the bootstrap value after step t.
    cont_tb: 0 where the episode terminated (truncation does not count). same_tb: 0 where the trace is cut,
    because the next step belongs to another skill call or another episode.
    """
    delta_tb = jnp.asarray(rho_tb * (reward_tb + gamma * cont_tb * next_value_tb - value_tb))
    keep_tb = jnp.asarray(gamma * lam * cont_tb * same_tb * c_tb)

    def backwards(advantage_b: jax.Array, x: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta_b, keep_b = x
        advantage_b = delta_b + keep_b * advantage_b
        return advantage_b, advantage_b

    _, advantage_tb = jax.lax.scan(backwards, jnp.zeros_like(delta_tb[0]), (delta_tb, keep_tb), reverse=True)
    return advantage_tb
