"""Rewards of steps: messages as numbers, thresholds, counts, timing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.agent import messages
from maestromotif.agent.messages import MOST, MessageTable, fingerprints, hash_words
from maestromotif.agent.reward import RewardFunction, Scorer
from maestromotif.config.learning import RewardSettings
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE


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


def test_a_full_table_begins_again_and_shows_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MOST", 5)
    table = MessageTable()
    for i in range(40):
        rows = np.frombuffer(b"".join(b"message %d" % (i * n % 7) + bytes(247) for n in range(4)), np.uint8)
        rows = rows.reshape(4, 256)
        expected = [hash_words(bytes(row).rstrip(b"\0")) for row in rows]
        np.testing.assert_array_equal(table.show("words", rows), expected)
        assert len(table.texts) <= 5
    assert table.show("characters", rows) is rows


def test_a_table_grows_while_it_is_shown() -> None:
    table = MessageTable()
    texts = [b"message %d" % number for number in range(3000)]
    rows = np.frombuffer(b"".join(text.ljust(256, b"\0") for text in texts), np.uint8).reshape(-1, 256)
    for first in range(0, 3000, 500):
        shown = table.show("words", rows[first : first + 500])
        np.testing.assert_array_equal(shown, [hash_words(text) for text in texts[first : first + 500]])


@given(st.lists(st.binary(max_size=256).map(lambda b: b.rstrip(b"\0")), min_size=2, max_size=8, unique=True))
def test_different_messages_have_different_fingerprints(texts: list[bytes]) -> None:
    rows = np.zeros((len(texts), 256), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    assert len(set(fingerprints(rows).tolist())) == len(texts)


def test_messages_that_differ_in_single_letters_have_different_fingerprints() -> None:
    rows = np.frombuffer(b"You have a little trouble lifting".ljust(256, b"\0"), np.uint8)
    rows = np.tile(rows, (40_000, 1))
    pairs = np.arange(40_000)
    for place in (7, 15, 23, 255):  # the highest byte of a lane is the hardest to spread
        rows[:, place] = pairs % 200
        pairs = pairs // 200 if place == 7 else pairs
    assert len(np.unique(rows, axis=0)) == len(np.unique(fingerprints(rows)))


def ruler(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
    """A reward model known by heart: a message is worth its length, to skill k k + 1 times as much."""
    return np.array([[len(m) * (k + 1.0) for k in range(2)] for m in messages], np.float32)


def reward_function(most: int = MOST, **settings: Any) -> RewardFunction:
    thresholds = np.array([2.0, 5.0], np.float32)
    return RewardFunction(Scorer(ruler, thresholds), RewardSettings(scale=0.1, **settings), 2, most)


def rewards_of(
    function: RewardFunction,
    texts: Sequence[bytes],
    skills: Sequence[int],
    ended: Sequence[bool] = (False, False),
    depth: Sequence[int] = (0, 0),
) -> np.ndarray:
    numbers = np.array([function.messages.number(text) for text in texts], np.int32)
    changes = np.zeros((2, len(CHANGES)), np.int8)
    changes[:, DEPTH_CHANGE] = depth
    return function(numbers, changes, np.array(skills), np.array(ended))


def test_reward_is_thresholded_scaled_and_divided_by_the_count() -> None:
    function = reward_function(count_exponent=3)
    # Skill 1 values "ab" at 4, which does not exceed 5.
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"ab"], [0, 1]), [0.3, 0.0])
    # The second sight of "abc" by game 0 is worth an eighth; game 1 has not seen it.
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abc"], [0, 1]), [0.3 / 8, 0.6], rtol=1e-6)
    # A new episode of game 0 begins to count anew.
    rewards_of(function, [b"x", b"x"], [0, 0], ended=(True, False))
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abc"], [0, 0]), [0.3, 0.3 / 8], rtol=1e-6)


def test_the_second_descent_pays_as_much_as_the_first() -> None:
    function = reward_function(count_exponent=3)
    for _ in range(3):
        # Game 0 goes down each time; game 1 reads the same message and stays.
        paid = rewards_of(function, [b"abc", b"abc"], [0, 0], depth=(1, 0))
    np.testing.assert_allclose(paid, [0.3, 0.3 / 27], rtol=1e-6)
    published = reward_function(count_exponent=3, count_depth=True)
    for _ in range(2):
        paid = rewards_of(published, [b"abc", b"abc"], [0, 0], depth=(1, 0))
    np.testing.assert_allclose(paid, [0.3 / 8, 0.3 / 8], rtol=1e-6)


def test_only_the_last_distinct_messages_are_counted() -> None:
    function = reward_function(count_exponent=1, count_window=2)
    for text in (b"abc", b"y", b"z"):
        rewards_of(function, [text, text], [0, 0])
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"z"], [0, 0])[0], 0.3, rtol=1e-6)


def test_what_was_seen_longest_ago_is_forgotten_first() -> None:
    function = reward_function(count_exponent=1, count_window=2)
    for text in (b"abc", b"yyyy", b"abc", b"zzzz"):  # yyyy is the oldest, though abc came first
        rewards_of(function, [text, text], [0, 0])
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abc"], [0, 0])[0], 0.3 / 3, rtol=1e-6)
    np.testing.assert_allclose(rewards_of(function, [b"yyyy", b"yyyy"], [0, 0])[0], 0.4, rtol=1e-6)


def test_the_empty_message_is_not_counted_where_it_should_not() -> None:
    function = reward_function(count_exponent=3, count_empty=False)
    function.score_by(Scorer(ruler, np.array([-1, -1], np.float32)))
    for text in (b"abc", b"", b"", b"abc"):
        last = rewards_of(function, [text, text], [0, 0])
    np.testing.assert_allclose(last[0], 0.3 / 8, rtol=1e-6)


def test_published_timing_scores_what_was_seen_before_the_action() -> None:
    function = reward_function(count_exponent=0, timing="published")
    np.testing.assert_allclose(rewards_of(function, [b"abc", b"abcd"], [0, 0]), [0, 0])
    # Game 1's skill has changed meanwhile: the new one's model scores the old observation.
    np.testing.assert_allclose(rewards_of(function, [b"", b""], [0, 1]), [0.3, 0.8], rtol=1e-6)


def test_the_ledger_sums_gains_and_losses_by_observation_and_skill() -> None:
    """Also where a restored function goes on, and where no observation was paid for."""
    function = reward_function(count_exponent=0)
    function.score_by(Scorer(lambda m, c: ruler(m, c) - 6, np.full(2, -9, np.float32)))
    other = reward_function(count_exponent=0)
    other.score_by(Scorer(lambda m, c: ruler(m, c) - 6, np.full(2, -9, np.float32)))
    sums: dict[tuple[bytes, int], list[float]] = {}
    for text in (b"abc", b"defghijk", b"abc", b""):
        skills = np.array([0, 1])
        reward = rewards_of(function, [text, b"abc"], [0, 1])
        function.ledger.add(function.row, skills, reward)
        for key, paid in zip(((text, 0), (b"abc", 1)), reward.tolist(), strict=True):
            gained, lost, steps = sums.get(key, (0, 0, 0))
            sums[key] = [gained + max(paid, 0), lost + max(-paid, 0), steps + 1]
        other.restore(function.snapshot())
        function, other = other, function
    function.ledger.add(np.array([-1, -1]), skills, np.array([5.0, 5.0]))
    ledger = function.ledger
    rows, skill = ledger.steps.nonzero()
    messages, changes = function.observations(rows)
    assert changes.shape == (len(rows), len(CHANGES))
    found = {
        (message, int(k)): [ledger.gained[row, k], ledger.lost[row, k], ledger.steps[row, k]]
        for message, row, k in zip(messages, rows, skill, strict=True)
    }
    assert found.keys() == sums.keys()
    for key, expected in sums.items():
        assert found[key] == expected, key
    assert ledger.lost.sum() > 0 < ledger.gained.sum()


def test_published_timing_pays_for_the_observation_before_the_action() -> None:
    function = reward_function(count_exponent=0, timing="published")
    rewards_of(function, [b"abc", b"abcd"], [0, 0])
    assert function.row.tolist() == [-1, -1]
    rewards_of(function, [b"", b""], [0, 0])
    assert function.observations(function.row)[0] == [b"abc", b"abcd"]


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


@pytest.mark.parametrize("timing", ["published", "acting"])
def test_forgetting_changes_no_reward(timing: str) -> None:
    """Also of messages that were counted before, of a step that is paid for later, and in a restored one."""
    rng = np.random.default_rng(0)
    settings: dict[str, Any] = {"count_exponent": 1, "count_window": 3, "timing": timing}
    whole, bounded = reward_function(**settings), reward_function(4, **settings)
    forgot = 0
    for _ in range(300):
        texts = [b"x" * int(n) for n in rng.integers(0, 12, 2)]
        step = (
            texts,
            rng.integers(0, 2, 2).tolist(),
            (rng.random(2) < 0.1).tolist(),
            rng.integers(0, 3, 2).tolist(),
        )
        expected = rewards_of(whole, *step)
        np.testing.assert_array_equal(rewards_of(bounded, *step), expected)
        told = [one.observations(one.row[one.row >= 0])[0] for one in (whole, bounded)]
        assert told[0] == told[1]
        if bounded.full:
            forgot += 1
            bounded.forget()
            assert len(bounded.messages.texts) <= 1 + 2 * 3 + 2
        other = reward_function(4, **settings)
        other.restore(bounded.snapshot())
        bounded = other
    assert forgot > 20
