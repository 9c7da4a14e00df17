"""The parts of the learner against plain NumPy, and one dungeon that is learned."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maestromotif.learning import ppo
from maestromotif.learning.arrays import Array
from maestromotif.learning.messages import WORDS, MessageTable, hash_words
from maestromotif.learning.network import Inputs, Params, apply_step, apply_unroll, build, empty_inputs, pick
from maestromotif.learning.return_scale import ReturnScale
from maestromotif.learning.reward import RewardFunction
from maestromotif.learning.train import initial_params
from maestromotif.nethack.keys import NUM_ACTIONS
from maestromotif.settings import LearningSettings, NetworkSettings, RewardSettings

SKILLS, GAMES, STEPS = 3, 4, 5


def random_inputs(rng: np.random.Generator, *shape: int) -> Inputs:
    one = empty_inputs(1)
    blstats = rng.integers(1, 20, (*shape, 27)).astype(np.float32)
    return Inputs(
        chars=rng.integers(32, 120, (*shape, 21, 79)).astype(np.uint8),
        colors=rng.integers(0, 16, (*shape, 21, 79)).astype(np.uint8),
        blstats=blstats,
        words=rng.integers(0, 1024, (*shape, WORDS)).astype(np.uint16),
        senses=rng.normal(size=(*shape, one.senses.shape[-1])).astype(np.float32),
        last_action=rng.integers(-1, NUM_ACTIONS, shape).astype(np.int32),
    )


@pytest.mark.parametrize("heads", ["separate", "shared"])
def test_unroll_is_step_repeated_with_the_memory_cleared_at_first(
    heads: Literal["separate", "shared"],
) -> None:
    rng = np.random.default_rng(0)
    network = build(NetworkSettings(hidden=16, heads=heads), SKILLS)
    params = initial_params(network, 0)
    obs = random_inputs(rng, STEPS, GAMES)
    first = (rng.random((STEPS, GAMES)) < 0.3).astype(np.float32)
    memory = rng.normal(size=(GAMES, 16)).astype(np.float32)
    logits, values = apply_unroll(network, params, obs, first, memory)
    assert logits.shape == (STEPS, GAMES, SKILLS, NUM_ACTIONS)
    h: Array = memory
    for t in range(STEPS):
        now = jax.tree.map(lambda x, t=t: x[t], obs)
        h, step_logits, step_values = apply_step(network, params, now, first[t], h)
        np.testing.assert_allclose(logits[t], step_logits, atol=1e-5)
        np.testing.assert_allclose(values[t], step_values, atol=1e-5)
    # What came before an episode's first observation must not matter.
    all_first = np.ones((1, GAMES), np.float32)
    one = jax.tree.map(lambda x: x[:1], obs)
    a, _ = apply_unroll(network, params, one, all_first, memory)
    b, _ = apply_unroll(network, params, one, all_first, memory + 1)
    np.testing.assert_array_equal(a, b)


def test_the_hero_may_stand_in_any_corner_of_the_map() -> None:
    network = build(NetworkSettings(hidden=16), SKILLS)
    params = initial_params(network, 0)
    for x, y in ((0, 0), (78, 20), (0, 20), (78, 0)):
        obs = random_inputs(np.random.default_rng(1), 1)
        blstats = np.array(obs.blstats)
        blstats[:, 0], blstats[:, 1] = x, y
        obs = obs._replace(blstats=blstats)
        memory = np.zeros((1, 16), np.float32)
        _, logits, _ = apply_step(network, params, obs, np.ones(1, np.float32), memory)
        assert np.isfinite(logits).all()


def test_pick_takes_the_acting_skill() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    got = pick(jnp.asarray(values), jnp.asarray([2, 0]))
    np.testing.assert_array_equal(got, [values[0, 2], values[1, 0]])


@pytest.mark.parametrize("by", ["skill", "batch"])
def test_normalised_advantages(by: str) -> None:
    rng = np.random.default_rng(2)
    advantage = rng.normal(3, 5, (8, 6)).astype(np.float32)
    skill = rng.integers(0, 2, (8, 6))  # the third skill never acts
    got = np.asarray(ppo.normalise(jnp.asarray(advantage), jnp.asarray(skill), SKILLS, by))
    groups = [got[skill == k] for k in (0, 1)] if by == "skill" else [got]
    for group in groups:
        assert group.mean() == pytest.approx(0, abs=1e-4)
        assert group.std() == pytest.approx(1, abs=1e-3)


def test_an_update_makes_rewarded_actions_likelier() -> None:
    settings = LearningSettings(
        rollout=STEPS, minibatches=2, epochs=4, learning_rate=3e-3, clip=0.2, value_clip=None
    )
    network = build(NetworkSettings(hidden=16), SKILLS)
    params = initial_params(network, 0)
    optimizer = ppo.make_optimizer(settings)
    update = ppo.make_update(network, optimizer, settings)
    rng = np.random.default_rng(3)
    obs, first = random_inputs(rng, STEPS, GAMES), np.zeros((STEPS, GAMES), np.float32)
    memory = np.zeros((GAMES, 16), np.float32)
    skill = rng.integers(0, SKILLS, (STEPS, GAMES)).astype(np.int32)
    action = rng.integers(0, 2, (STEPS, GAMES)).astype(np.int32)
    ones = np.ones((STEPS, GAMES), np.float32)

    def log_prob(params: Params) -> np.ndarray:
        logits, _ = apply_unroll(network, params, obs, first, memory)
        return np.asarray(pick(jax.nn.log_softmax(pick(logits, skill)), action))

    before = log_prob(params)
    reward = np.where(action == 1, 1.0, -1.0).astype(np.float32)
    batch = ppo.Batch(
        obs, first, skill, action, before, 0 * ones, 0 * ones, reward, 0 * ones, 0 * ones, memory
    )
    params, _, figures = update(params, optimizer.init(params), batch, jax.random.key(0))
    change = log_prob(params) - before
    assert change[action == 1].mean() > 0 > change[action == 0].mean()
    assert all(np.isfinite(float(value)) for value in figures.values())


def test_messages_are_numbered_once_and_hashed_alike() -> None:
    table = MessageTable()
    rows = np.zeros((3, 256), np.uint8)
    for row, text in zip(rows, (b"You kill the newt!", b"", b"You kill the newt!"), strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    np.testing.assert_array_equal(table.numbers(rows), [0, 1, 0])
    np.testing.assert_array_equal(table.words[0], hash_words(b"You kill the newt!"))
    assert (table.words[1] == 0).all()
    for i in range(3000):
        table.number(b"message %d" % i)
    np.testing.assert_array_equal(table.words[3001], hash_words(b"message 2999"))


def ruler(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
    """A reward model known by heart: a message is worth its length, to skill k k + 1 times as much."""
    return np.array([[len(m) * (k + 1.0) for k in range(2)] for m in messages], np.float32)


def reward_function(**settings: Any) -> RewardFunction:
    thresholds = np.array([2.0, 5.0], np.float32)
    return RewardFunction(ruler, thresholds, RewardSettings(scale=0.1, **settings), games=2)


def rewards_of(
    function: RewardFunction,
    texts: Sequence[bytes],
    skills: Sequence[int],
    ended: Sequence[bool] = (False, False),
) -> np.ndarray:
    numbers = np.array([function.messages.number(text) for text in texts], np.int32)
    return function(numbers, np.zeros((2, 4), np.int8), np.array(skills), np.array(ended))


def test_reward_is_thresholded_scaled_and_divided_by_the_count() -> None:
    function = reward_function(count_exponent=3)
    # Skill 1 values "ab" at 4, which does not exceed 5.
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"ab"], [0, 1]), [0.3, 0.0])
    # The second sight of "abc" by game 0 is worth an eighth; game 1 has not seen it.
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abc"], [0, 1]), [0.3 / 8, 0.6], rtol=1e-6)
    # A new episode of game 0 begins to count anew.
    rewards_of(function, [b"x", b"x"], [0, 0], ended=(True, False))
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abc"], [0, 0]), [0.3, 0.3 / 8], rtol=1e-6)


def test_only_the_last_distinct_messages_are_counted() -> None:
    function = reward_function(count_exponent=1, count_window=2)
    for text in (b"abc", b"y", b"z"):
        rewards_of(function, [text, text], [0, 0])
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"z"], [0, 0])[0], 0.3, rtol=1e-6)


def test_published_timing_scores_what_was_seen_before_the_action() -> None:
    function = reward_function(count_exponent=0, timing="published")
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abcd"], [0, 0]), [0, 0])
    # Game 1's skill has changed meanwhile: the new one's model scores the old observation.
    np.testing.assert_allclose(rewards_of(function, [b"", b""], [0, 1]), [0.3, 0.8], rtol=1e-6)


def test_a_restored_reward_function_goes_on_alike() -> None:
    function = reward_function(count_exponent=3)
    for text in (b"abc", b"defg", b"abc"):
        rewards_of(function, [text, b"abc"], [0, 1])
    other = reward_function(count_exponent=3)
    other.restore(function.snapshot())
    for text in (b"defg", b"new one"):
        np.testing.assert_array_equal(
            rewards_of(function, [text, text], [0, 1]), rewards_of(other, [text, text], [0, 1])
        )


def test_return_scale_brings_skills_to_one_scale() -> None:
    rng = np.random.default_rng(4)
    scale = ReturnScale(skills=2, games=GAMES, gamma=0.9)
    skill = np.tile([0, 0, 1, 1], (200, 1))
    reward = (rng.random((200, GAMES)) < 0.1) * np.where(skill == 0, 1.0, 100.0)
    scaled = scale(reward.astype(np.float32), skill, np.ones((200, GAMES)))
    assert scaled[:, :2].max() == pytest.approx(scaled[:, 2:].max(), rel=0.5)
    assert np.abs(scaled).max() <= 10
