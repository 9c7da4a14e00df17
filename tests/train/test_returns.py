"""Advantages against their definition, written out as sums in NumPy."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.train.returns import advantages


def by_definition(
    column: Sequence[np.ndarray], gamma: float, lam: float, rho: np.ndarray, c: np.ndarray
) -> np.ndarray:
    """A_t = sum over s >= t of (product of gamma lam c cont same from t to s-1) delta_s: O(T^2), one game."""
    r, v, v_next, cont, same = column
    steps = len(r)
    delta = [rho[t] * (r[t] + gamma * cont[t] * v_next[t] - v[t]) for t in range(steps)]
    out = np.zeros(steps)
    for t in range(steps):
        weight = 1.0
        for s in range(t, steps):
            out[t] += weight * delta[s]
            weight *= gamma * lam * c[s] * cont[s] * same[s]
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_equal_to_the_definition_with_switches_truncations_and_deaths(
    seed: int, steps: int, gamma: float, lam: float
) -> None:
    rng = np.random.default_rng(seed)
    games = 3
    r, v, v_next = rng.normal(size=(3, steps, games))
    died = rng.random((steps, games)) < 0.2
    switched = rng.random((steps, games)) < 0.3
    cont, same = 1.0 - died, 1.0 - (died | switched)
    rho, c = np.minimum(1, rng.gamma(2, 0.5, (2, steps, games)))
    single = partial(jnp.asarray, dtype=jnp.float32)
    got = advantages(
        reward_tb=single(r),
        value_tb=single(v),
        next_value_tb=single(v_next),
        cont_tb=single(cont),
        same_tb=single(same),
        gamma=gamma,
        lam=lam,
        rho_tb=single(rho),
        c_tb=single(c),
    )
    for game in range(games):
        column = [x[:, game] for x in (r, v, v_next, cont, same)]
        expected = by_definition(column, gamma, lam, rho[:, game], c[:, game])
        np.testing.assert_allclose(got[:, game], expected, rtol=1e-4, atol=1e-4)


def test_a_switch_by_hand() -> None:
    # Two steps, the skill changes in between: step 0 sees its own bootstrap value and nothing of step 1.
    r, v, v_next, cont, same = (
        jnp.asarray(x, jnp.float32)[:, None] for x in ([1, 5], [0.5, 0], [2, 0], [1, 0], [0, 0])
    )
    got = advantages(
        reward_tb=r, value_tb=v, next_value_tb=v_next, cont_tb=cont, same_tb=same, gamma=0.9, lam=0.95
    )[:, 0]
    # 1 + 0.9 * 2 - 0.5 = 2.3; 5 + 0 - 0 = 5
    np.testing.assert_allclose(got, [2.3, 5.0], rtol=1e-6)


def test_without_switches_and_lambda_one_it_is_the_return_less_the_value() -> None:
    r = jnp.asarray([1.0, 1.0, 1.0])[:, None]
    v = jnp.asarray([0.3, 0.2, 0.1])[:, None]
    v_next = jnp.asarray([0.2, 0.1, 4.0])[:, None]
    ones = jnp.ones((3, 1))
    got = advantages(
        reward_tb=r, value_tb=v, next_value_tb=v_next, cont_tb=ones, same_tb=ones, gamma=0.5, lam=1.0
    )
    assert got[0, 0] == pytest.approx(1 + 0.5 + 0.25 + 0.125 * 4 - 0.3)
