"""What a rollout teaches, against loops in plain NumPy: ends of calls and episodes, scales, V-trace."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from small_learning import SKILLS, fresh, random_batch, unrolled

from maestromotif.agent.network import ActorCritic, Params
from maestromotif.config.learning import BootstrapSettings, TrainSettings
from maestromotif.train.endings import Ending
from maestromotif.train.ppo import AXIS, Batch, Figures, Targets, normalise, squares, targets
from maestromotif.train.return_scale import ReturnScale, deviation, fresh_scale, rescale, unrewarded

T, N = 7, 6


def on_one_device(function: Any) -> Any:
    mesh = Mesh(np.array(jax.devices()[:1]), (AXIS,))
    inside = jax.shard_map(function, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)
    return jax.jit(inside)


def by_loops(batch: Batch, values: np.ndarray, rho: np.ndarray, settings: TrainSettings) -> np.ndarray:
    """Advantages [T, N] before they are normalised, game by game and step by step, from the end.

    values: [T + 1, N, K], with those of o_T.
    """
    skill = np.concatenate([batch.rollout.skill, batch.last.skill])
    out = np.zeros((T, N))
    for n in range(N):
        later = 0.0
        for t in reversed(range(T)):
            acting = skill[t, n]
            ending = Ending(int(batch.ended[t, n]))
            if ending is Ending.LOST:
                later = 0.0
                continue
            row, next_skill = values[t + 1], skill[t + 1, n]
            if ending in (Ending.TERMINATED, Ending.TRUNCATED):
                following = float(batch.final_value[t, n]) if ending is Ending.TRUNCATED else 0.0
            else:
                choice = (
                    "acting" if ending is Ending.NOT else getattr(settings.bootstrap, ending.name.lower())
                )
                of_choice = {"acting": float(row[n, acting]), "next": float(row[n, next_skill]), "none": 0.0}
                following = of_choice[choice]
            delta = rho[t, n] * (
                float(batch.reward[t, n]) + settings.gamma * following - float(values[t, n, acting])
            )
            goes_on = ending is Ending.NOT
            later = delta + (settings.gamma * settings.gae_lambda * rho[t, n] * later if goes_on else 0.0)
            out[t, n] = later
    return out


@pytest.mark.parametrize(
    ("bootstrap", "correction"),
    [
        (BootstrapSettings(), "clip"),
        (BootstrapSettings(achieved="next", failed="acting", timed_out="none", interrupted="next"), "clip"),
        (BootstrapSettings(achieved="acting", failed="next", timed_out="next", interrupted="none"), "vtrace"),
    ],
)
def test_targets_are_those_of_the_loops(
    bootstrap: BootstrapSettings, correction: Literal["clip", "vtrace"]
) -> None:
    settings = TrainSettings(
        gamma=0.9, gae_lambda=0.8, bootstrap=bootstrap, correction=correction, scale_returns=False
    )
    network, params = fresh(hidden=8)
    compute = on_one_device(lambda p, s, b: targets(network, p, s, b, settings))
    for seed in range(4):
        batch = random_batch(np.random.default_rng(seed), network, T, N)
        got, _, figures = compute(params, fresh_scale(N, SKILLS), batch)
        compare(got, figures, network, params, batch, settings)


def compare(
    got: Targets,
    figures: Figures,
    network: ActorCritic,
    params: Params,
    batch: Batch,
    settings: TrainSettings,
) -> None:
    rollout, rho = batch.rollout, np.ones((T, N))
    values = np.concatenate([rollout.values, batch.last.values])
    if settings.correction == "vtrace":
        seen = jax.tree.map(lambda *rows: np.concatenate(rows), rollout, batch.last)
        _, logits, values = unrolled(network, params, seen.glance, seen.first, batch.memory[0])
        chances = np.asarray(jax.nn.softmax(logits))
        t, n = np.indices((T, N))
        rho = np.minimum(1, chances[t, n, rollout.skill, rollout.action] / np.exp(rollout.log_prob))
    expected = by_loops(batch, values, rho, settings)
    value = np.take_along_axis(values[:-1], np.asarray(rollout.skill)[..., None], 2)[..., 0]
    np.testing.assert_allclose(got.value, expected + value, rtol=1e-3, atol=1e-4)
    known = np.asarray(batch.ended) != Ending.LOST
    np.testing.assert_array_equal(np.asarray(got.advantage)[~known], 0)
    np.testing.assert_array_equal(np.asarray(got.value)[~known], value[~known])
    for k in range(SKILLS):
        of_skill = (rollout.skill == k) & known
        mine = expected[of_skill]
        np.testing.assert_allclose(
            np.asarray(got.advantage)[of_skill],
            (mine - mine.mean()) / max(mine.std(), settings.least_deviation),
            rtol=1e-2,
            atol=1e-3,
        )
        aim = np.asarray(got.value, np.float64)[of_skill]
        assert figures["target_steps"][k] == len(mine)
        assert figures["error_square"][k] / len(mine) == pytest.approx(mine.var(), rel=1e-2)
        assert figures["return_square"][k] / len(mine) == pytest.approx(aim.var(), rel=1e-2)
    np.testing.assert_array_equal(figures["return_scale"], np.ones(SKILLS))


def test_normalised_over_the_whole_batch_or_within_groups() -> None:
    rng = np.random.default_rng(2)
    advantage = rng.normal(3, 5, (8, 6)).astype(np.float32)
    skill = rng.integers(0, 2, (8, 6))  # the third skill never acts
    compute, lower = (
        on_one_device(partial(normalise, least=1e-3)),
        on_one_device(partial(normalise, least=100.0)),
    )
    got = np.asarray(compute(jnp.asarray(advantage), jax.nn.one_hot(skill, SKILLS)))
    whole = np.asarray(compute(jnp.asarray(advantage), jnp.ones((8, 6, 1))))
    for group in (got[skill == 0], got[skill == 1], whole):
        assert group.mean() == pytest.approx(0, abs=1e-4)
        assert group.std() == pytest.approx(1, abs=1e-3)
    tiny = np.asarray(lower(jnp.asarray(advantage), jnp.ones((8, 6, 1))))
    np.testing.assert_allclose(tiny, (advantage - advantage.mean()) / 100, atol=1e-5)


def test_squares_are_right_far_from_zero() -> None:
    """A mean of 1,000 deviations, where a difference of sums of squares would be noise in float32."""
    rng = np.random.default_rng(3)
    value, skill = rng.normal(1000, 1, (64, 32)).astype(np.float32), rng.integers(0, 2, (64, 32))
    got = on_one_device(squares)(value, jax.nn.one_hot(skill, SKILLS))
    of_skills = [value[skill == k].astype(np.float64) for k in range(2)]
    expected = [len(of_skill) * of_skill.var() for of_skill in of_skills]
    np.testing.assert_allclose(got, [*expected, 0], rtol=1e-3)


def test_scales_are_the_root_mean_square_of_each_skills_returns() -> None:
    """Over two rollouts; in the second a game goes on with the return of the first."""
    rng = np.random.default_rng(4)
    gamma, state = 0.9, fresh_scale(N, SKILLS)
    running, squares, steps = np.zeros(N), np.zeros(SKILLS), np.zeros(SKILLS)
    compute = on_one_device(
        lambda s, r, k, c: rescale(
            s, reward_tb=r, skill_tb=k, same_tb=c, gamma=gamma, memory=10**6, axis=AXIS
        )
    )
    for _ in range(2):
        skill = rng.integers(0, 2, (T, N))
        reward = (rng.normal(size=(T, N)) * np.where(skill == 0, 1, 100)).astype(np.float32)
        same = rng.random((T, N)) < 0.7
        state, scaled = compute(ReturnScale(*state), reward, skill, same)
        for t in range(T):
            running = running * gamma + reward[t]
            np.add.at(squares, skill[t], running**2)
            np.add.at(steps, skill[t], 1)
            running = running * same[t]
        deviation = np.sqrt(squares / np.maximum(steps, 1))
        np.testing.assert_allclose(scaled, np.clip(reward / deviation[skill], -10, 10), rtol=1e-3)
        np.testing.assert_allclose(state.running[0], running, rtol=1e-3)
    assert np.asarray(state.weight)[2] == 0


def test_a_scale_forgets_and_a_skill_without_rewards_is_known() -> None:
    """Skill 0 earns 0.01 a step at first and 1 later, skill 1 only at first, skill 2 nothing."""
    memory, state = 100, fresh_scale(N, SKILLS)
    compute = on_one_device(
        lambda s, r, k: rescale(
            s, reward_tb=r, skill_tb=k, same_tb=jnp.zeros((T, N), bool), gamma=0.9, memory=memory, axis=AXIS
        )
    )
    skill = np.tile(np.arange(SKILLS, dtype=np.int32), (T, N // SKILLS))
    each = T * N // SKILLS  # steps of each skill in a rollout
    assert unrewarded(state, memory).tolist() == [True, True, True]
    silent, square, weight = [], 0.0, 0.0
    for number in range(30):
        earns = 0.01 if number < 10 else 1.0
        reward = np.select([skill == 0, (skill == 1) & (number == 0)], [earns, 1.0]).astype(np.float32)
        state, _ = compute(state, reward, skill)
        square = (weight * square + each * earns**2) / (weight + each)
        weight = min(weight + each, memory)
        silent.append(unrewarded(state, memory).tolist())
    assert float(deviation(state)[0]) == pytest.approx(np.sqrt(square), rel=1e-4)
    assert 0.95 < np.sqrt(square) < 1  # 280 steps later; over all steps it would be 0.82
    last = memory // each + 1  # rollouts until the memory of skill 1 is empty
    assert silent == [[False, number >= last, True] for number in range(30)]


@pytest.mark.parametrize("normalise", ["skill", "batch"])
def test_a_skill_without_rewards_gives_no_policy_gradient(normalise: Literal["skill", "batch"]) -> None:
    network, params = fresh(hidden=8)
    batch = random_batch(np.random.default_rng(5), network, T, N)
    silent = np.asarray(batch.rollout.skill) == 1
    batch = batch._replace(reward=np.where(silent, 0, batch.reward))
    known = np.asarray(batch.ended) != Ending.LOST
    for skip in (True, False):
        settings = TrainSettings(normalise=normalise, skip_unrewarded=skip)
        compute = on_one_device(lambda p, s, b, chosen=settings: targets(network, p, s, b, chosen))
        got, _, figures = compute(params, fresh_scale(N, SKILLS), batch)
        advantage = np.asarray(got.advantage)
        assert (advantage[silent & known] == 0).all() == skip
        group = advantage[~silent & known] if skip and normalise == "batch" else advantage[known]
        if normalise == "batch":
            assert (group.mean(), group.std()) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-2))
        assert np.abs(np.asarray(got.value)[silent]).max() > 0.1  # the value still learns
        assert figures["target_steps"][1] == (silent & known).sum()
