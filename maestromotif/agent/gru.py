"""The recurrence of a gated recurrent unit over time, with a custom gradient.

Cho et al. 2014, reset gate after the matmul, as in cuDNN:

    reset, keep = sigmoid(x + h' W),   new = tanh(x + reset * (h' W + b)),   h = (1 - keep) * new + keep * h'

where h' is the memory before the step, 0 where an episode begins. JAX would accumulate the gradient of W step
by step, a matrix of H x 3H each time. This module keeps the steps' gradients, and W's is one matmul over all.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from maestromotif.agent.arrays import Array


class _Steps(NamedTuple):
    """The values of each step that the gradient needs, float32 [T, B, H]."""

    before: Array  # h'
    reset: Array
    keep: Array
    new: Array
    candidate: Array  # h' W + b of the gate `new`


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def gru(
    kernel: Float[Array, "h g"],
    bias: Float[Array, " h"],
    x_tbg: Float[Array, "t b g"],
    live_tb: Float[Array, "t b"],
    h_bh: Float[Array, "b h"],
    dtype: Any,
) -> Float[Array, "t b h"]:
    """The memory after each step.

    x_tbg: the input terms of the gates reset, keep and new, G = 3H. live_tb: 0 where an episode begins, else
    1; it has no gradient. h_bh: the initial memory. dtype: of the matmuls.
    """
    return _forward(kernel, bias, x_tbg, live_tb, h_bh, dtype)[0]


def _forward(
    kernel: Array, bias: Array, x_tbg: Array, live_tb: Array, h_bh: Array, dtype: Any
) -> tuple[Array, tuple[Array, Array, _Steps]]:
    h = kernel.shape[0]
    weights = kernel.astype(dtype)

    def advance(h_bh: Array, x: tuple[Array, Array]) -> tuple[Array, tuple[Array, _Steps]]:
        x_bg, live_b = x
        before = h_bh * live_b[:, None]
        m_bg = (before.astype(dtype) @ weights).astype(jnp.float32)
        gates = jax.nn.sigmoid(x_bg[:, : 2 * h] + m_bg[:, : 2 * h])
        reset, keep = gates[:, :h], gates[:, h:]
        candidate = m_bg[:, 2 * h :] + bias[None]
        new = jnp.tanh(x_bg[:, 2 * h :] + reset * candidate)
        h_bh = (1 - keep) * new + keep * before
        return h_bh, (h_bh, _Steps(before, reset, keep, new, candidate))

    _, (h_tbh, steps) = jax.lax.scan(advance, h_bh, (x_tbg, live_tb))
    return h_tbh, (kernel, live_tb, steps)


def _backward(
    dtype: Any, kept: tuple[Array, Array, _Steps], dh_tbh: Array
) -> tuple[Array, Array, Array, Array, Array]:
    kernel, live_tb, (before, reset, keep, new, candidate) = kept
    h = kernel.shape[0]
    back = kernel.T.astype(dtype)
    # Derivative of the memory by each gate's argument (reset: through new's), for all steps at once.
    by_new = (1 - keep) * (1 - new * new)
    by_reset = candidate * reset * (1 - reset)
    by_keep = (before - new) * keep * (1 - keep)

    def retreat(dh_bh: Array, step: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        given, live_b, by_new, by_reset, by_keep, reset, keep = step
        dh_bh = dh_bh + given
        d_new = dh_bh * by_new
        d_candidate = d_new * reset
        d_gates = jnp.concatenate([d_new * by_reset, dh_bh * by_keep], -1)
        d_m = jnp.concatenate([d_gates, d_candidate], -1)
        d_before = dh_bh * keep + (d_m.astype(dtype) @ back).astype(jnp.float32)
        return d_before * live_b[:, None], (d_m, d_new)

    nothing: Array = jnp.zeros_like(dh_tbh[0])
    steps: tuple[Array, ...] = (dh_tbh, live_tb, by_new, by_reset, by_keep, reset, keep)
    dh_bh, (dm_tbg, dnew_tbh) = jax.lax.scan(retreat, nothing, steps, reverse=True)
    d_kernel = jnp.einsum("tbh,tbg->hg", before.astype(dtype), dm_tbg.astype(dtype))
    d_bias = dm_tbg[..., 2 * h :].sum((0, 1))
    dx_tbg = jnp.concatenate([dm_tbg[..., : 2 * h], dnew_tbh], -1)
    return d_kernel.astype(jnp.float32), d_bias, dx_tbg, jnp.zeros_like(live_tb), dh_bh


gru.defvjp(_forward, _backward)
