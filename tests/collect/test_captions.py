"""Captions: deterministic, and they tell exactly the configured changes."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.collect.captions import STATISTICS, caption
from maestromotif.collect.observations import Observations, canonical, distinct
from maestromotif.collect.statistics import NUMBERS, UNKNOWN, codes
from maestromotif.collect.statistics import before as step_before
from maestromotif.config.labels import Change, Statistic
from maestromotif.errors import UserError
from maestromotif.nethack.state import CHANGES, NUM_CODES, columns_of

changes = st.tuples(*[st.integers(0, codes - 1) for codes in NUM_CODES])
spoken = st.sets(st.sampled_from([*CHANGES]), min_size=1).map(tuple)


def test_the_settings_know_every_change_and_statistic() -> None:
    assert get_args(Change) == tuple(CHANGES)
    assert get_args(Statistic) == tuple(STATISTICS)


@pytest.mark.parametrize(
    ("message", "codes", "told"),
    [
        ("", (0, 0, 0, 0), "Nothing changed."),
        ("It's a wall.", (0, 0, 0, 0), 'The game says: "It\'s a wall." Nothing else changed.'),
        ("", (1, 0, 0, 0), "The agent left the level: it went down to a deeper dungeon level."),
        ("", (2, 0, 0, 0), "The agent left the level: it went up to a higher dungeon level."),
        (
            "You kill the newt!",
            (0, 1, 1, 0),
            "The agent killed the newt. New parts of the level came into view. "
            "A staircase down came into view for the first time.",
        ),
        ("$ - 7 gold pieces.", (0, 0, 0, 0), "The agent picked up 7 gold pieces. Nothing else changed."),
        (
            "You kill the newt!  You see here a newt corpse.",
            (1, 0, 0, 0),
            'The agent killed the newt. The game says: "You see here a newt corpse." '
            "The agent left the level: it went down to a deeper dungeon level.",
        ),
        (
            "",
            (0, 0, 3, 2),
            "The agent now stands on a staircase down. The agent came closer to a staircase up than before.",
        ),
    ],
)
def test_examples(message: str, codes: tuple[int, ...], told: str) -> None:
    assert caption(message, codes, [*CHANGES]) == told


@given(st.text(st.characters(max_codepoint=126)), changes, spoken)
def test_tells_the_configured_changes_and_no_others(
    message: str, codes: tuple[int, ...], named: tuple[str, ...]
) -> None:
    told = caption(message, codes, named, telling="messages")
    words = " ".join(message.split())
    rest = told.replace(words, "", 1)  # a message might hold one of our sentences
    for column, (name, change) in enumerate(CHANGES.items()):
        for code, sentence in enumerate(change.words):
            if code:
                assert (sentence in rest) == (name in named and codes[column] == code)
    assert words in told
    assert ("Nothing" in rest) == all(
        codes[column] == 0 for column, name in enumerate(CHANGES) if name in named
    )
    assert told == " ".join(told.split())


@given(st.text(st.characters(max_codepoint=126)), changes, spoken)
def test_what_is_not_told_does_not_matter(
    message: str, codes: tuple[int, ...], named: tuple[str, ...]
) -> None:
    unsaid = tuple(code if name in named else 0 for name, code in zip(CHANGES, codes, strict=True))
    assert caption(message, codes, named) == caption(message, unsaid, named)


def test_different_observations_have_different_captions() -> None:
    every = list(itertools.product(*[range(codes) for codes in NUM_CODES]))
    assert len({caption("Ouch!", codes, [*CHANGES]) for codes in every}) == len(every)


@given(st.lists(changes, max_size=20), spoken)
def test_canonical_changes(rows: list[tuple[int, ...]], named: tuple[str, ...]) -> None:
    given_codes = np.array(rows, np.int8).reshape(-1, len(CHANGES))
    kept = canonical(given_codes, named)
    assert kept.shape == (len(rows), columns_of(named))
    assert kept.dtype == np.int8
    assert np.array_equal(canonical(kept, named), kept)
    for before, after in zip(rows, kept.tolist(), strict=True):
        moved = "depth" in named and before[0] != 0
        for column, name in zip(range(len(after)), CHANGES, strict=False):
            told = name in named and (name == "depth" or not moved)
            assert after[column] == (before[column] if told else 0)


def test_distinct_items_are_counted() -> None:
    observations = Observations(
        messages=np.array([b"", b"Ouch!"], "S256"),
        message_id=np.array([0, 1, 0, 0, 1, 0], np.int32),
        changes=np.array(
            [[0, 0, 0, 0], [1, 1, 0, 3], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], np.int8
        ),
        source=np.zeros(6, np.int8),
    )
    items = distinct(observations, ("depth", "explored"))
    assert items.message_list() == [b"", b"", b"Ouch!"]
    assert items.changes.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert items.count.tolist() == [3, 1, 2]
    assert items.message(2) == b"Ouch!"


# Statistics.


def test_statistics_are_told_with_their_horizon() -> None:
    told = caption("", (0, 0, 0, 0), [*CHANGES], {"gold": 1, "hp": 0, "hunger": 1}, 100)
    assert told == ("Over the last 100 steps the agent's gold became more and the agent became hungrier.")
    told = caption("Ouch!", (1, 0, 0, 0), [*CHANGES], {"experience": 2}, 1)
    assert told.endswith("a deeper dungeon level. The agent rose to a higher experience level.")
    assert caption("", (0, 0, 0, 0), [*CHANGES], {"hp": 0}, 100) == "Nothing changed."


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5))
def test_the_step_before_is_one_of_the_same_episode(episode: list[int], horizon: int) -> None:
    earlier = step_before(np.array(episode, np.int32), horizon)
    for step, number in enumerate(episode):
        past = [other for other in range(step + 1) if episode[other] == number]
        assert earlier[step] == past[max(len(past) - 1 - horizon, 0)]


def test_codes_of_statistics() -> None:
    #                 gold hp level points hunger; two games by turns, then a recording
    status = np.array(
        [
            [0, 14, 1, 0, 1],
            [5, 9, 2, 20, 2],
            [8, 10, 1, 6, 1],
            [0, 9, 1, 19, 1],
            [8, 12, 2, 20, 2],
            [UNKNOWN] * len(NUMBERS),
            [3, 3, 3, 3, 3],
        ],
        np.int32,
    )
    episode = np.array([0, 1, 0, 1, 0, 2, 2], np.int32)
    named = list(STATISTICS)
    assert named == ["gold", "hp", "experience", "hunger"]
    one, two = (codes(status, episode, named, horizon) for horizon in (1, 2))
    nothing = [0, 0, 0, 0]
    assert one.tolist() == [nothing, nothing, [1, 2, 1, 0], [2, 0, 3, 2], [0, 1, 2, 1], nothing, nothing]
    assert two[4].tolist() == [1, 2, 2, 1]
    assert codes(status, episode, ["hunger"], 1)[:, 0].tolist() == one[:, 3].tolist()
    for column, name in enumerate(named):
        assert one[:, column].max() < len(STATISTICS[name])


def test_items_are_told_apart_by_statistics_that_are_told() -> None:
    parts = {
        "messages": np.array([b"Ouch!"], "S256"),
        "message_id": np.zeros(3, np.int32),
        "changes": np.zeros((3, 4), np.int8),
        "source": np.zeros(3, np.int8),
    }
    hp = np.array([14, 10, 10])
    status = np.zeros((3, len(NUMBERS)), np.int32)
    status[:, list(NUMBERS).index("hp")] = hp
    observations = Observations(**parts, status=status, episode=np.zeros(3, np.int32))
    assert len(distinct(observations, ("depth",))) == 1
    items = distinct(observations, ("depth",), ("hp",), 1)
    assert items.count.tolist() == [2, 1]
    assert items.caption(1, ("depth",)) == 'The game says: "Ouch!" The agent lost hit points.'
    assert distinct(observations, ("depth",), ("hp",), 2).count.tolist() == [1, 2]
    with pytest.raises(UserError, match=r"annotate\.statistics: hp: .* earlier version.*run `collect` again"):
        distinct(Observations(**parts), ("depth",), ("hp",), 1)
