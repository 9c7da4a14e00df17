"""The gated recurrent unit against a loop in plain NumPy, and its gradient against JAX's own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maestromotif.agent.gru import gru

T, B, H = 7, 3, 5


def arguments(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    live = (rng.random((T, B)) > 0.3).astype(np.float32)
    return normal(H, 3 * H), normal(H), normal(T, B, 3 * H), live, normal(B, H)


def loop(xp: Any, kernel: Any, bias: Any, x: Any, live: Any, h: Any) -> Any:
    rows = []
    for t in range(T):
        h = h * live[t][:, None]
        m = h @ kernel
        reset, keep = (
            1 / (1 + xp.exp(-(x[t, :, k * H : (k + 1) * H] + m[:, k * H : (k + 1) * H]))) for k in (0, 1)
        )
        new = xp.tanh(x[t, :, 2 * H :] + reset * (m[:, 2 * H :] + bias[None]))
        h = (1 - keep) * new + keep * h
        rows.append(h)
    return xp.stack(rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_loop_and_so_is_its_gradient(seed: int) -> None:
    given = arguments(seed)
    weight = np.random.default_rng(9).normal(size=(T, B, H)).astype(np.float32)
    np.testing.assert_allclose(gru(*given, jnp.float32), loop(np, *given), atol=1e-6)

    def of(function: Any) -> Any:
        return jax.jit(jax.grad(lambda *each: (function(*each) * weight).sum(), (0, 1, 2, 4)))(*given)

    ours, theirs = (
        of(lambda *each: gru(*each, jnp.float32)),
        of(lambda *each: loop(jnp, *each)),
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
