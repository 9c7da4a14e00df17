"""The network: one step and many, every corner of the map, skills apart."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_learning import SKILLS, Heads, Trunk, fresh, random_block, random_glance, unrolled

from maestromotif.agent.arrays import Array
from maestromotif.agent.inputs import Block
from maestromotif.agent.network import build, initial_params, pick, step, unpack
from maestromotif.agent.policy import fresh_carry, make_acting
from maestromotif.agent.trunks import FoveaGlance
from maestromotif.config.learning import NetworkSettings
from maestromotif.nethack.actions import NUM_ACTIONS, WEIGHTS
from maestromotif.nethack.marks import FRONTIER, VISITED

STEPS, GAMES = 5, 4


@pytest.mark.parametrize(
    ("trunk", "heads"), [("fovea", "separate"), ("fovea", "shared"), ("published", "shared")]
)
def test_unroll_is_step_repeated_with_the_memory_cleared_at_first(trunk: Trunk, heads: Heads) -> None:
    rng = np.random.default_rng(0)
    network, params = fresh(trunk, heads)
    glance = random_glance(rng, network, STEPS, GAMES)
    first = rng.random((STEPS, GAMES)) < 0.3
    memory = rng.normal(size=(GAMES, 16)).astype(np.float32)
    last, logits, values = unrolled(network, params, glance, first, memory)
    assert logits.shape == (STEPS, GAMES, SKILLS, NUM_ACTIONS)
    h: Array = memory
    once = jax.jit(partial(step, network))
    for t in range(STEPS):
        now = jax.tree.map(lambda x, t=t: x[t], glance)
        h, step_logits, step_values = once(params, now, first[t], h)
        np.testing.assert_allclose(logits[t], step_logits, atol=1e-5)
        np.testing.assert_allclose(values[t], step_values, atol=1e-5)
    np.testing.assert_allclose(last, h, atol=1e-5)
    # What came before an episode's first observation must not matter.
    all_first = np.ones((1, GAMES), bool)
    one = jax.tree.map(lambda x: x[:1], glance)
    _, a, _ = unrolled(network, params, one, all_first, memory)
    _, b, _ = unrolled(network, params, one, all_first, memory + 1)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("heads", ["separate", "shared"])
def test_an_untrained_policy_plays_by_its_prior(heads: Heads) -> None:
    rng = np.random.default_rng(0)
    shapes = []
    for prior in ("uniform", "play"):
        settings = NetworkSettings(hidden=16, heads=heads, actions="seek", prior=prior, mask=False)
        network = build(settings, SKILLS)
        params = initial_params(network, 0)
        glance, first = random_glance(rng, network, STEPS, GAMES), np.zeros((STEPS, GAMES), bool)
        _, logits, _ = unrolled(network, params, glance, first, np.zeros((GAMES, 16), np.float32))
        weights = np.array(WEIGHTS[: network.actions]) if prior == "play" else np.ones(network.actions)
        wanted = np.broadcast_to(weights / weights.sum(), logits.shape)
        np.testing.assert_allclose(jax.nn.softmax(logits), wanted, rtol=0.15)
        shapes.append(jax.tree.map(np.shape, params))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("trunk", ["fovea", "published"])
def test_windows_lie_around_the_hero_wherever_she_stands(trunk: Trunk) -> None:
    network = build(NetworkSettings(hidden=16, trunk=trunk), SKILLS)
    layout = Block(1, network.form)
    for x, y in ((0, 0), (78, 20), (0, 20), (78, 0), (40, 10)):
        block, views = layout.allocate()
        for view in views:
            view[...] = 0
        views.chars[...] = ord(".")
        views.colors[...] = 7
        views.chars[0, y, x], views.colors[0, y, x] = ord("@"), 15
        views.blstats[0, :2] = x, y
        glance = network.glance(unpack(layout, block), np.zeros(1, np.int32))
        window = np.asarray(glance.near if isinstance(glance, FoveaGlance) else glance.crop)[0]
        middle = len(window) // 2
        assert window[middle, middle] == ord("@") * 16 + 15
        inside = np.count_nonzero(window)
        wide = range(-middle, len(window) - middle)
        assert inside == sum(0 <= x + i < 79 and 0 <= y + j < 21 for i in wide for j in wide)


@pytest.mark.parametrize("aligned", [False, True])
def test_coarse_windows_tell_what_kinds_of_things_lie_in_which_direction(aligned: bool) -> None:
    network = build(NetworkSettings(hidden=16, sees=("aligned",) if aligned else ()), SKILLS)
    layout = Block(1, network.form)
    block, views = layout.allocate()
    for view in views:
        view[...] = 0
    views.blstats[0, :2] = 40, 10
    views.chars[0, 10, 50] = ord(">")  # ten squares to the east: three cells of 3, one of 9
    glance = network.glance(unpack(layout, block), np.zeros(1, np.int32))
    assert isinstance(glance, FoveaGlance)
    middle, far = np.asarray(glance.middle)[0], np.asarray(glance.far)[0]
    if aligned:  # the hero is in the middle of her cell
        assert np.argwhere(middle & 1).tolist() == [[4, 4 + round(10 / 3)]]
        assert np.argwhere(far & 1).tolist() == [[2, 8 + round(10 / 9)]]
    else:
        assert np.argwhere(middle & 1).tolist() == [[4, 4 + 50 // 3 - 40 // 3]]
        assert np.argwhere(far & 1).tolist() == [[2, 8 + 50 // 9 - 40 // 9]]


@pytest.mark.parametrize("heads", ["separate", "shared"])
def test_a_masked_action_has_no_probability_and_adds_nothing_to_the_entropy(heads: Heads) -> None:
    rng = np.random.default_rng(5)
    network = build(NetworkSettings(hidden=16, heads=heads), SKILLS)
    glance, first = random_glance(rng, network, STEPS, GAMES), np.zeros((STEPS, GAMES), bool)
    memory = np.zeros((GAMES, 16), np.float32)
    _, logits, _ = unrolled(network, initial_params(network, 0), glance, first, memory)
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    allowed = np.broadcast_to(glance.own.allowed[:, :, None, : network.actions], log_probs.shape)
    probs = np.exp(log_probs)
    assert (probs[~allowed] == 0).all()
    assert (probs[allowed] > 0).all()
    terms = probs * log_probs
    assert np.isfinite(terms).all()
    assert (terms[~allowed] == 0).all()


def test_the_fovea_sees_the_marks_around_the_hero() -> None:
    network = build(NetworkSettings(hidden=16, sees=("marks",)), SKILLS)
    layout = Block(1, network.form)
    block, views = layout.allocate()
    for view in views:
        view[...] = 0
    views.blstats[0, :2] = 40, 10
    views.marks[0, 10, 41], views.marks[0, 4, 40] = FRONTIER, VISITED
    glance = network.glance(unpack(layout, block), np.zeros(1, np.int32))
    assert isinstance(glance, FoveaGlance)
    near, middle, far = (
        np.asarray(one)[0] for one in (glance.near_marks, glance.middle_marks, glance.far_marks)
    )
    assert np.argwhere(near).tolist() == [[4, 5]]
    assert near[4, 5] == FRONTIER
    assert np.argwhere(middle & VISITED).tolist() == [[4 + 4 // 3 - 10 // 3, 4]]
    assert far[2, 8] == FRONTIER


def test_the_inventory_is_counted_by_class() -> None:
    network = build(NetworkSettings(hidden=16), SKILLS)
    layout = Block(1, network.form)
    block, views = layout.allocate()
    views.inventory[...] = 18  # an empty place
    views.inventory[0, :3] = 2, 2, 7
    counts = np.asarray(network.glance(unpack(layout, block), np.zeros(1, np.int32)).own.inventory)[0]
    assert counts.tolist() == [0, 0, 2, 0, 0, 0, 0, 1] + [0] * 10


def test_pick_takes_the_acting_skill() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    got = pick(jnp.asarray(values), jnp.asarray([2, 0]))
    np.testing.assert_array_equal(got, [values[0, 2], values[1, 0]])


def test_what_is_filed_is_what_was_seen_and_done() -> None:
    rng = np.random.default_rng(1)
    network, params = fresh()
    acting = make_acting(network, GAMES, STEPS)
    carry, key = fresh_carry(network, GAMES), jax.random.key(3)
    rollout, memory = acting.begin(jax.device_put(carry))
    blocks, actions = [random_block(rng, network, GAMES) for _ in range(STEPS)], []
    carry = jax.device_put(carry)
    for t, block in enumerate(blocks):
        carry, rollout, action = acting.act(params, carry, rollout, block, t, key, t)
        actions.append(np.array(action))
    np.testing.assert_array_equal(rollout.action, actions)
    inputs = [unpack(Block(GAMES, network.form), block) for block in blocks]
    np.testing.assert_array_equal(rollout.skill, [each.skill for each in inputs])
    np.testing.assert_array_equal(rollout.first, [each.first for each in inputs])
    before = np.concatenate([np.full((1, GAMES), -1), actions[:-1]])
    np.testing.assert_array_equal(
        rollout.glance.own.last_action, np.where(np.asarray(rollout.first), -1, before)
    )
    # The update must see the same logits and values as the policy did.
    _, logits, values = unrolled(network, params, rollout.glance, rollout.first, memory[0])
    log_prob = pick(jax.nn.log_softmax(pick(logits, rollout.skill)), rollout.action)
    np.testing.assert_allclose(log_prob, rollout.log_prob, atol=1e-5)
    np.testing.assert_allclose(values, rollout.values, atol=1e-5)
    # A few games' values are those of all games.
    games = np.resize(np.arange(GAMES), 8)
    few_block, few = Block(8, network.form).allocate()
    for view, whole in zip(few, inputs[0], strict=True):
        view[...] = np.asarray(whole)[games]
    some = acting.values_of_few(params, carry, games, few_block)
    everyone = acting.last(params, carry, blocks[0]).values[0]
    np.testing.assert_allclose(some[:GAMES], everyone, atol=1e-5)
    # The row after the last action continues the rollout.
    last = acting.last(params, carry, random_block(rng, network, GAMES))
    seen = jax.tree.map(lambda *rows: np.concatenate(rows), rollout, last)
    _, _, values = unrolled(network, params, seen.glance, seen.first, memory[0])
    np.testing.assert_allclose(values[-1:], last.values, atol=1e-5)


def test_bfloat16_is_close_to_float32() -> None:
    rng = np.random.default_rng(2)
    full, half = (build(NetworkSettings(hidden=16, precision=p), SKILLS) for p in ("float32", "bfloat16"))
    _, params = fresh()
    glance = random_glance(rng, full, STEPS, GAMES)
    first, memory = np.zeros((STEPS, GAMES), bool), np.zeros((GAMES, 16), np.float32)
    for a, b in zip(
        unrolled(full, params, glance, first, memory),
        unrolled(half, params, glance, first, memory),
        strict=True,
    ):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.05)
