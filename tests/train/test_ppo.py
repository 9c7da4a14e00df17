"""PPO's loss and the figures beside it, against loops in plain NumPy and by hand."""

from typing import Any

import jax
import numpy as np
import pytest
from small_learning import fresh, random_batch, unrolled

from maestromotif.agent.network import pick
from maestromotif.config.learning import TrainSettings
from maestromotif.train.ppo import Targets, divergences, entropies, loss

T, N, CLIP = 6, 5, 0.2


def by_loops(
    logits: np.ndarray, values: np.ndarray, rollout: Any, target: Targets, settings: TrainSettings
) -> list[dict[str, float]]:
    """Of each step, one after the other; logits [T, N, K, A] and values [T, N, K] of the learner."""
    parts = []
    assert target.log_probs is not None
    for t, n in np.ndindex(T, N):
        k, a = rollout.skill[t, n], rollout.action[t, n]
        chance = np.exp(logits[t, n, k] - logits[t, n, k].max())
        chance /= chance.sum()
        ratio = chance[a] / np.exp(rollout.log_prob[t, n])
        advantage, aim = target.advantage[t, n], target.value[t, n]
        bounded = min(max(ratio, 1 / (1 + CLIP)), 1 + CLIP)
        error = (values[t, n, k] - aim) ** 2
        if settings.value_clip is not None:
            before = rollout.values[t, n, k]
            moved = min(max(values[t, n, k] - before, -settings.value_clip), settings.value_clip)
            error = max(error, (before + moved - aim) ** 2)
        parts.append(
            {
                "policy_loss": -min(ratio * advantage, bounded * advantage),
                "value_loss": error,
                "entropy": -sum(p * np.log(p) for p in chance if p > 0),  # a mask makes some 0
                "kl": ratio - 1 - np.log(ratio),
                "clipped": float(bounded * advantage < ratio * advantage),
                "update_kl": sum(
                    np.exp(log_p) * (log_p - np.log(q))
                    for log_p, q in zip(target.log_probs[t, n], chance, strict=True)
                    if q > 0
                ),
                "skill": int(k),
            }
        )
    return parts


def mean(parts: list[dict[str, float]], name: str) -> float:
    return float(np.mean([part[name] for part in parts]))


@pytest.mark.parametrize("value_clip", [None, 0.1])
def test_the_loss_is_that_of_the_loops(value_clip: float | None) -> None:
    settings = TrainSettings(clip=CLIP, value_clip=value_clip, value_coef=0.7, entropy_coef=0.02)
    network, params = fresh(hidden=8)
    compute = jax.jit(
        lambda rollout, memory, target: loss(params, network, rollout, memory, target, settings)
    )
    rng = np.random.default_rng(0)
    batch = random_batch(rng, network, T, N)
    rollout, memory = batch.rollout, np.asarray(batch.memory[0])
    _, logits, values = unrolled(network, params, rollout.glance, rollout.first, memory)
    log_prob = np.asarray(pick(jax.nn.log_softmax(pick(logits, rollout.skill)), rollout.action))
    # Ratios on both sides of both bounds.
    rollout = rollout._replace(log_prob=(log_prob + rng.normal(0, 0.3, (T, N))).astype(np.float32))
    allowed = np.asarray(rollout.glance.own.allowed)[..., : network.actions]
    before = np.where(allowed, rng.normal(size=allowed.shape), -1e9).astype(np.float32)
    before = np.asarray(jax.nn.log_softmax(before))
    advantage, aim = rng.normal(size=(2, T, N)).astype(np.float32)
    target = Targets(advantage, aim, before)
    total, figures = compute(rollout, memory, target)
    parts = by_loops(logits, values, rollout, target, settings)
    expected = {name: mean(parts, name) for name in parts[0] if name != "skill"}
    assert 0.1 < expected["clipped"] < 0.9
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, rel=1e-4), name
    for k in range(network.skills):
        mine = [part for part in parts if part["skill"] == k]
        assert figures["skill_steps"][k] == pytest.approx(len(mine) / len(parts))
        for name in ("value_loss", "entropy", "kl"):
            of_skill = figures[f"skill_{name}"][k] / figures["skill_steps"][k]
            assert of_skill == pytest.approx(mean(mine, name), rel=1e-4), (name, k)
    whole = expected["policy_loss"] + 0.7 * expected["value_loss"] - 0.02 * expected["entropy"]
    assert total == pytest.approx(whole, rel=1e-4)


def test_figures_do_not_change_a_bit_of_the_gradient() -> None:
    settings = TrainSettings(value_clip=0.1)
    network, params = fresh(hidden=8)
    batch = random_batch(np.random.default_rng(2), network, T, N)
    advantage, aim = np.random.default_rng(3).normal(size=(2, T, N)).astype(np.float32)
    target = Targets(advantage, aim, None)

    def of(params: Any) -> Any:
        return loss(params, network, batch.rollout, batch.memory[0], target, settings)

    alone = jax.jit(jax.grad(lambda params: of(params)[0]))(params)
    beside, figures = jax.jit(jax.grad(of, has_aux=True))(params)
    assert np.asarray(figures["skill_kl"]).any()
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(beside), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_clipped_has_no_gradient() -> None:
    """A ratio beyond a bound is clipped only where the advantage pushes it farther away. Losses by hand."""
    settings = TrainSettings(clip=CLIP, value_coef=0, entropy_coef=0)
    network, params = fresh(hidden=8)
    batch = random_batch(np.random.default_rng(1), network, 1, 1)
    rollout, memory = batch.rollout, np.asarray(batch.memory[0])
    _, logits, _ = unrolled(network, params, rollout.glance, rollout.first, memory)
    log_prob = np.asarray(pick(jax.nn.log_softmax(pick(logits, rollout.skill)), rollout.action))
    gradient = jax.jit(
        jax.grad(
            lambda params, rollout, memory, target: loss(params, network, rollout, memory, target, settings),
            has_aux=True,
        )
    )
    for ratio, advantage, clipped, by_hand in (
        (1.5, 1, 1, -1.2),
        (1.5, -1, 0, 1.5),
        (0.5, -1, 1, 1 / 1.2),
        (0.5, 1, 0, -0.5),
        (1.1, 1, 0, -1.1),
    ):
        acted = rollout._replace(log_prob=log_prob - np.float32(np.log(ratio)))
        target = Targets(np.full((1, 1), advantage, np.float32), np.zeros((1, 1), np.float32), None)
        slopes, figures = gradient(params, acted, memory, target)
        moves = any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slopes))
        assert (float(figures["clipped"]), moves) == (clipped, not clipped), (ratio, advantage)
        assert figures["policy_loss"] == pytest.approx(by_hand, rel=1e-5), (ratio, advantage)


def test_the_value_clip_by_hand() -> None:
    """The value has moved from `value - 0.5` to `value`, of which the clip allows 0.1."""
    settings = TrainSettings(value_clip=0.1, value_coef=0.5, entropy_coef=0)
    network, params = fresh(hidden=8)
    batch = random_batch(np.random.default_rng(4), network, 1, 1)
    _, _, values = unrolled(network, params, batch.rollout.glance, batch.rollout.first, batch.memory[0])
    value = np.asarray(pick(values, batch.rollout.skill))
    rollout = batch.rollout._replace(values=values - np.float32(0.5))
    compute = jax.jit(
        lambda rollout, memory, target: loss(params, network, rollout, memory, target, settings)
    )
    nothing = np.zeros((1, 1), np.float32)
    for aim, by_hand in (
        (value, 0.4**2),  # the value is right, but it came too far
        (value - 0.5, 0.5**2),  # it was right, and moved: the clip does not hide the error
        (value + 0.5, 0.9**2),
    ):
        total, figures = compute(rollout, batch.memory[0], Targets(nothing, aim.astype(np.float32), None))
        assert figures["value_loss"] == pytest.approx(by_hand, rel=1e-4)
        assert total == pytest.approx(0.5 * by_hand, rel=1e-4)


def test_the_loss_falls_with_the_entropy() -> None:
    """By hand: a uniform policy over the m actions that the mask allows has the greatest entropy, log m."""
    settings = TrainSettings(value_coef=0, entropy_coef=0.5)
    network, params = fresh(hidden=8)
    batch = random_batch(np.random.default_rng(5), network, T, N)
    uniform = {
        "params": params["params"] | {"policy": jax.tree.map(np.zeros_like, params["params"]["policy"])}
    }
    nothing = np.zeros((T, N), np.float32)
    target = Targets(nothing, nothing, None)
    compute = jax.jit(lambda p: loss(p, network, batch.rollout, batch.memory[0], target, settings)[0])
    allowed = np.asarray(batch.rollout.glance.own.allowed)[..., : network.actions]
    assert compute(uniform) == pytest.approx(-0.5 * np.log(allowed.sum(-1)).mean(), rel=1e-5)
    assert compute(params) > compute(uniform)


@pytest.mark.parametrize("forbidden", [-np.inf, -1e9])
def test_masked_actions_add_nothing(forbidden: float) -> None:
    """To entropy, divergence and their gradients: both are those of the allowed actions alone."""
    rng = np.random.default_rng(6)
    logits, other = rng.normal(size=(2, 3, 5)).astype(np.float32)
    allowed = np.array([True, False, True, True, False])

    def entropy(logits: Any) -> Any:
        return entropies(jax.nn.log_softmax(logits)).sum()

    def divergence(logits: Any, other: Any) -> Any:
        return divergences(jax.nn.log_softmax(logits), jax.nn.log_softmax(other)).sum()

    masked, other_masked = (np.where(allowed, x, np.float32(forbidden)) for x in (logits, other))
    few, other_few = logits[:, allowed], other[:, allowed]
    value, slopes = jax.value_and_grad(entropy)(masked)
    expected, expected_slopes = jax.value_and_grad(entropy)(few)
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(np.asarray(slopes)[:, allowed], expected_slopes, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(slopes)[:, ~allowed], 0)
    assert divergence(masked, other_masked) == pytest.approx(float(divergence(few, other_few)), rel=1e-5)
