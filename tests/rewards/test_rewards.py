"""Reward models: the loss, what is learned from labels of known origin, and scoring."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rewards import DOWN, EVENTS, EXPLORED, MESSAGES, SKILLS, WORTH, configured, write_inputs

from maestromotif.agent.arrays import compilations
from maestromotif.config.labels import DistilSettings
from maestromotif.config.learning import RewardSettings
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.pipeline.trees import read_tree, tree_bytes
from maestromotif.rewards import accuracy, distil, fit
from maestromotif.rewards.fit import bradley_terry
from maestromotif.rewards.model import (
    NAMED,
    NETWORKS,
    RewardModels,
    _score,
    features,
    initial,
    load_rewards,
    read_as,
    rewards,
    word_features,
)
from maestromotif.rewards.pairs import Judged, hold_out, read_judged

ROOT = Path(__file__).parents[2]
UNSEEN = [b"You kill the soldier ant!", b"The dingo bites!", b"Something is engraved here on the floor."]


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("distil")
    facts = distil.run(configured(epochs=20), write_inputs(folder), Work(folder / "distil"))
    return folder / "distil", facts


# ------------------------------------------------------------------------------------------- the loss

pair = st.tuples(
    st.floats(-8, 8),
    st.floats(-8, 8),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([0.0, 1.0, 2.0]),
)


@settings(deadline=None)  # a new length is compiled
@given(st.lists(pair, min_size=1, max_size=8))
def test_bradley_terry_is_the_cross_entropy_of_a_softmax(pairs: list[tuple[float, ...]]) -> None:
    first, second, label, weight = np.array(pairs, np.float64).T
    preferred = np.exp(first) / (np.exp(first) + np.exp(second))
    loss = -label * np.log(preferred) - (1 - label) * np.log(1 - preferred)
    expected = (loss * weight).sum() / max(weight.sum(), 1.0)
    found = bradley_terry(*(jnp.asarray(column, jnp.float32) for column in (first, second, label, weight)))
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_tie_is_the_mean_of_both_preferences() -> None:
    loss = partial(bradley_terry, jnp.array([1.5]), jnp.array([-0.5]), weight=jnp.ones(1))
    first, second, tie = (float(loss(jnp.array([y]))) for y in (1.0, 0.0, 0.5))
    assert tie == pytest.approx((first + second) / 2, rel=1e-6)


# ------------------------------------------------------------------------------------- what is learned


def test_learns_the_ranking_on_held_out_messages(distilled: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = distilled
    for skill in SKILLS:
        card = json.loads((folder / skill / "card.json").read_text())
        held_out = card["accuracy_held_out"]
        assert held_out == facts["skills"][skill]["accuracy_held_out"]
        assert held_out["accuracy"] > 0.85
        assert card["baseline"] == 0.5 < held_out["low"] <= held_out["accuracy"] <= held_out["high"]
        assert held_out["pairs"] > 50
        assert card["accuracy_train"]["accuracy"] > 0.9
        assert card["judge"]["model"] == "rule"


def test_unseen_messages_are_ranked_by_what_changed(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    for message in UNSEEN:
        z = models.score([message] * len(EVENTS), np.array(EVENTS, np.int8))
        for k, skill in enumerate(SKILLS):
            wanted = sorted(EVENTS, key=lambda event: WORTH[skill][event])
            found = sorted(EVENTS, key=lambda event: z[EVENTS.index(event), k])
            assert found == wanted, (message, skill)
    kill, bite = (models.score([m] * 5, np.array(EVENTS, np.int8)) for m in UNSEEN[:2])
    assert (kill > bite).all()  # "You kill the" was judged better whoever was killed


def test_rewards_are_normalised_over_all_distinct_items(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    every = [(message.encode(), event) for message in MESSAGES for event in EVENTS]
    z = models.score([message for message, _ in every], np.array([event for _, event in every], np.int8))
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-4)
    for quantile in (0.05, 0.5, 0.85, 0.95):
        found = models.thresholds(RewardSettings(quantile=quantile, least_threshold=None))
        np.testing.assert_allclose(found, np.quantile(z, quantile, axis=0), atol=1e-3)


def test_same_inputs_same_bytes(distilled: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    distil.run(configured(epochs=20), write_inputs(tmp_path), Work(tmp_path / "distil"))
    assert Work(tmp_path / "distil").outputs() == Work(distilled[0]).outputs()


def test_members_and_calibration_are_on_the_card(distilled: tuple[Path, dict[str, Any]]) -> None:
    for skill in SKILLS:
        card = json.loads((distilled[0] / skill / "card.json").read_text())
        members = card["members"]
        assert [member["seed"] for member in members] == [0, 1, 2]
        best = min(members, key=lambda member: member["loss_held_out"])
        assert (card["seed"], card["epoch"], card["mean"]) == (best["seed"], best["epoch"], best["mean"])
        assert len({member["ancestry"] for member in members}) == 3
        exported = (distilled[0] / skill / "params.msgpack").read_bytes()
        assert exported == (distilled[0] / skill / "members" / f"{best['seed']}.msgpack").read_bytes()
        assert 0 <= card["calibration_held_out"]["ece"] < 0.3
        assert 0 < card["disagreement"]["mean_deviation"] < 1


def test_calibration_error_of_a_known_case() -> None:
    """Ten pairs a bin, confidence 0.75 in the first five bins and 0.9 in the others, seven right in each."""
    n = 100
    gap = np.repeat(np.log([3.0, 9.0]), n // 2)
    scores = np.stack([gap, np.zeros(n)], 1).reshape(-1).astype(np.float32)
    pairs = np.arange(2 * n, dtype=np.int32).reshape(-1, 2)
    label = np.tile([1.0] * 7 + [0.0] * 3, n // 10).astype(np.float32)
    judged = Judged(
        [b""] * 2 * n,
        np.zeros((2 * n, 4), np.int8),
        np.ones(2 * n, bool),
        [pairs],
        [label],
        [np.zeros(n, bool)],
    )
    figures = accuracy.calibration(scores, judged, 0, judged.held_out)
    assert [one["pairs"] for one in figures["bins"]] == [10] * 10
    assert figures["ece"] == pytest.approx((0.05 + 0.2) / 2, abs=1e-4)


def test_an_ensemble_learns_what_its_members_learn_alone_and_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = write_inputs(tmp_path)
    options = DistilSettings(epochs=4, seeds=1, batch=64)
    judged = read_judged(
        inputs["annotate"].path, inputs["curate"].path, SKILLS, options, np.random.default_rng(0)
    )
    whole = fit.train(judged, SKILLS, options, 0)
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    checkpoint = tmp_path / "checkpoint"
    fit.train(judged, SKILLS, options.model_copy(update={"epochs": 3}), 0, checkpoint)
    assert checkpoint.exists()
    again = fit.train(judged, SKILLS, options, 0, checkpoint)
    for before, after in zip(whole, again, strict=True):
        assert before[0].epoch == after[0].epoch
        assert np.array_equal(before[0].scores, after[0].scores)


def test_learning_ends_when_it_does_not_get_better(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    options = DistilSettings(epochs=200, patience=1, seeds=2, learning_rate=0.05, same_start=True)
    judged = read_judged(
        inputs["annotate"].path, inputs["curate"].path, SKILLS, options, np.random.default_rng(0)
    )
    members = [member for own in fit.train(judged, SKILLS, options, 0) for member in own]
    assert max(member.epoch for member in members) < 100
    assert len({member.ancestry for member in members}) == len(SKILLS)  # one a skill
    assert not np.array_equal(members[0].scores, members[1].scores)


def test_labels_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"skill 'descender': its labels do not distinguish captions"):
        distil.run(configured(epochs=1), write_inputs(tmp_path, ties=True), Work(tmp_path / "distil"))


@pytest.mark.slow
def test_the_published_network_goes_the_same_way(tmp_path: Path) -> None:
    facts = distil.run(
        configured(network="published", epochs=1, seeds=1, learning_rate=1e-3),
        write_inputs(tmp_path, captions=40),
        Work(tmp_path / "distil"),
    )
    assert facts["network"] == "published"
    z = load_rewards(tmp_path / "distil", SKILLS).score([b"", b"Ouch!"], np.zeros((2, 4), np.int8))
    assert np.isfinite(z).all()
    assert z.shape == (2, 2)


def test_the_published_tower_is_a_stack_of_convolutions() -> None:
    """Against convolutions over all 256 bytes, for messages cut short and not."""
    params = initial("published", jax.random.key(1))["params"]
    tokens = features("published", [b"", b"You kill the newt!", b"x" * 300])

    def relu(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0)

    m = np.asarray(params["Embed_0"]["embedding"])[tokens] * (tokens > 0)[:, :, None]
    for i in range(6):
        kernel, bias = (np.asarray(params[f"Window_{i}"][name]) for name in ("kernel", "bias"))
        windows = np.lib.stride_tricks.sliding_window_view(m, len(kernel), axis=1)  # [u, places, c, width]
        m = relu(np.einsum("upcw,wcd->upd", windows, kernel) + bias)
        if i in (0, 1, 5):
            m = m[:, : m.shape[1] // 3 * 3].reshape(len(m), -1, 3, 64).max(2)
    dense = [
        (np.asarray(params[f"Dense_{i}"]["kernel"]), np.asarray(params[f"Dense_{i}"]["bias"]))
        for i in range(6)
    ]
    x = relu(m.reshape(3, -1) @ dense[0][0] + dense[0][1])
    d = np.array([[1.0, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 1]])
    for weight, bias in dense[1:3]:
        d = relu(d @ weight + bias)
    x = np.concatenate([x, d], 1)
    for weight, bias in dense[3:5]:
        x = relu(x @ weight + bias)
    expected = (x @ dense[5][0] + dense[5][1])[:, 0]
    changes = jnp.array([[1, 0, 0, 0], [2, 1, 0, 0], [0, 0, 3, 3]])
    parts = [jnp.asarray(tokens[:2, :32]), jnp.asarray(tokens[2:])]
    scored = jax.jit(rewards, static_argnums=0)
    found = scored("published", {"params": params}, parts, changes, jnp.arange(3))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_published_network_has_the_published_size() -> None:
    leaves = jax.tree.leaves(jax.eval_shape(lambda: initial("published", jax.random.key(0))))
    assert 340_000 < sum(leaf.size for leaf in leaves) < 380_000  # stated as about 0.36 million


@given(
    st.lists(st.sampled_from([b"", b"a", b"b", b"c", b"d", b"e"]), min_size=4, max_size=50),
    st.floats(0.05, 0.5),
    st.integers(0, 9),
)
def test_no_message_is_on_both_sides(messages: list[bytes], share: float, seed: int) -> None:
    try:
        held_out = hold_out(messages, share, np.random.default_rng(seed))
    except UserError:
        words = set(messages) - {b""}
        assert len(words) < 3 or max(map(messages.count, words)) > len(messages) - 4
        return
    sides = [
        {m for m, held in zip(messages, held_out, strict=True) if held is np.bool_(side)}
        for side in (True, False)
    ]
    assert not sides[0] & sides[1]
    assert b"" not in sides[0]
    assert held_out.sum() >= min(2, share * len(messages))


# --------------------------------------------------------------------------------------------- scoring


def test_scores_do_not_depend_on_the_batch(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    messages = [MESSAGES[i % len(MESSAGES)].encode() for i in range(300)]
    changes = np.array([EVENTS[i % 5] for i in range(300)], np.int8)
    whole = models.score(messages, changes)
    assert whole.dtype == np.float32
    for size in (0, 1, 2, 63, 64, 65, 300):
        np.testing.assert_allclose(
            models.score(messages[:size], changes[:size]), whole[:size], rtol=0, atol=1e-5
        )


def test_only_powers_of_two_are_compiled(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    before = compilations(_score)
    for size in range(1, 200, 7):
        models.score([b""] * size, np.zeros((size, 4), np.int8))
    assert compilations(_score) - before <= 3  # 64, 128, 256


def test_changes_that_no_caption_told_do_not_count(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    told = np.array([[0, 1, 0, 0], [1, 0, 0, 0]], np.int8)
    more = np.array(
        [[0, 1, 0, 3], [1, 1, 3, 2]], np.int8
    )  # upstairs is not configured; an arrival is an arrival
    assert np.array_equal(models.score([b"", b""], told), models.score([b"", b""], more))


def test_unknown_words_say_nothing(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    z = models.score([b"Zyx qwv", b""], np.zeros((2, 4), np.int8))
    assert np.array_equal(z[0], z[1])


def test_models_of_different_networks_are_scored_together(
    distilled: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    distil.run(
        configured(network="published", epochs=1, seeds=1),
        write_inputs(tmp_path, captions=30),
        Work(tmp_path / "distil"),
    )
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "descender").symlink_to(distilled[0] / "descender")
    (mixed / "discoverer").symlink_to(tmp_path / "distil" / "discoverer")
    messages, changes = [b"", b"Ouch!"], np.array([DOWN, EXPLORED], np.int8)
    z = load_rewards(mixed, SKILLS).score(messages, changes)
    np.testing.assert_allclose(
        z[:, :1], load_rewards(distilled[0], SKILLS[:1]).score(messages, changes), atol=1e-5
    )
    np.testing.assert_allclose(
        z[:, 1:], load_rewards(tmp_path / "distil", SKILLS[1:]).score(messages, changes), atol=1e-5
    )


def test_thresholds_of_single_skills(distilled: tuple[Path, dict[str, Any]]) -> None:
    models = load_rewards(distilled[0], SKILLS)
    both = models.thresholds(RewardSettings(quantile=0.5, quantile_of={"discoverer": 0.95}))
    assert both.dtype == np.float32
    assert both[0] == models.thresholds(RewardSettings(quantile=0.5))[0]
    assert both[1] == models.thresholds(RewardSettings(quantile=0.95))[1]
    with pytest.raises(UserError, match=r"reward\.quantile_of: 'descend' is not one of"):
        models.thresholds(RewardSettings(quantile_of={"descend": 0.5}))


@pytest.mark.parametrize(
    ("name", "content"), [("card.json", b"{"), ("params.msgpack", b"rubbish"), ("params.msgpack", b"")]
)
def test_damaged_models(
    distilled: tuple[Path, dict[str, Any]], tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "descender").mkdir()
    for file in ("card.json", "params.msgpack"):
        (tmp_path / "descender" / file).write_bytes((distilled[0] / "descender" / file).read_bytes())
    (tmp_path / "descender" / name).write_bytes(content)
    with pytest.raises(UserError, match="descender"):
        load_rewards(tmp_path, ["descender"])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mean", 1e308, "is too large"),
        ("mean", -1e39, "is too large"),
        ("quantiles", None, "it lacks 'quantiles'"),
        ("quantiles", {}, "'quantiles' has ; it should go from 0.00 to 1.00"),
        ("quantiles", {"0.00": -1, "0.50": 1}, "'quantiles' has 0.00, 0.50; it should go"),
        ("quantiles", {"nan": -1, "1.00": 1}, "'quantiles' has nan, 1.00; it should go"),
    ],
)
def test_a_card_with_impossible_numbers_is_refused(tmp_path: Path, field: str, value: Any, said: str) -> None:
    shutil.copytree(ROOT / "rewards/descender", tmp_path / "descender")
    card = tmp_path / "descender" / "card.json"
    told = json.loads(card.read_text()) | {field: value}
    card.write_text(json.dumps({name: one for name, one in told.items() if one is not None}))
    with pytest.raises(UserError, match=rf"card\.json: .*{said}"):
        load_rewards(tmp_path, ["descender"])


def test_a_model_whose_weights_are_no_numbers(distilled: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copytree(distilled[0] / "descender", tmp_path / "descender")
    file = tmp_path / "descender" / "params.msgpack"
    tree = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), read_tree(file, "a reward model"))
    file.write_bytes(tree_bytes(tree))
    with pytest.raises(UserError, match="no finite numbers"):
        load_rewards(tmp_path, ["descender"])


def test_missing_model(distilled: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(UserError, match=r"no reward model for the skill 'merchant'.*descender, discoverer"):
        load_rewards(distilled[0], ["merchant"])


@pytest.mark.parametrize("network", NETWORKS)
@given(messages=st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_can_be_a_message(network: Any, messages: list[bytes]) -> None:
    tokens = features(network, messages)
    assert tokens.shape == (len(messages), tokens.shape[1])
    assert tokens.dtype == np.int32
    assert (tokens >= 0).all()


def test_words_ignore_case_and_numbers() -> None:
    assert np.array_equal(word_features(b"You see 3 coins."), word_features(b"you SEE 250 coins"))
    assert not np.array_equal(word_features(b"You see coins"), word_features(b"coins see You"))
    assert not word_features(b"").any()


def test_a_reward_model_reads_what_the_captions_told() -> None:
    read = read_as(b"$ - 7 gold pieces.  You see here a newt corpse.", "events")
    names = " ".join(["pickedup"] * NAMED)
    assert read == f"{names} The agent picked up 7 gold pieces. You see here a newt corpse.".encode()
    assert read_as(b"$ - 7 gold pieces.", "messages") == b"$ - 7 gold pieces."
    assert read_as(b"", "events") == b""
    potion, wand = (word_features(read_as(b"k - a %s." % item, "events")) for item in (b"potion", b"wand"))
    assert (potion == wand).mean() > 0.9  # all pickups look alike


def test_models_of_both_kinds_are_scored_together() -> None:
    """A card of an earlier version does not say what captions told: it was the message."""
    params = initial("words", jax.random.key(0))
    old = {"network": "words", "changes": ["depth"], "mean": 0.0, "std": 1.0}
    models = RewardModels(["a", "b"], [old, old | {"telling": "events"}], [params, params])
    assert [group.telling for group in models._groups] == ["messages", "events"]
    assert models.score([b"$ - 7 gold pieces."], np.zeros((1, 4), np.int8)).shape == (1, 2)
