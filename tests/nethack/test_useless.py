"""Which actions are useless, checked against what they do in real games."""

from collections import Counter

import numpy as np
import pytest
from nle import nethack

from maestromotif.nethack import glyphs
from maestromotif.nethack.actions import INDEX, NAMES, WEIGHTS
from maestromotif.nethack.game import End
from maestromotif.nethack.glyphs import STONE
from maestromotif.nethack.hidden import SEARCH_TURNS
from maestromotif.nethack.marks import FRONTIER, SEARCHED, VISITED
from maestromotif.nethack.observation import COLUMNS, DEPTH, HP, ROWS, TURN, X, Y
from maestromotif.nethack.paths import COMPASS
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.rules import RULES, View
from maestromotif.nethack.useless import answers

GAMES, STEPS = 16, 400


def test_every_rule_is_about_an_action() -> None:
    assert set(RULES) <= set(NAMES)


def test_what_is_not_allowed_changes_nothing_and_something_always_is() -> None:
    """Random play, which ignores the mask: actions that it forbids may not move the hero or change her pack.

    A travel action that has just failed is forbidden for a while, although it may lead back to where it led.
    """
    rng = np.random.default_rng(0)
    walked = np.array(WEIGHTS) / sum(WEIGHTS)
    uniform = np.full(len(NAMES), 1 / len(NAMES))
    forbidden, useful, locked = Counter[str](), Counter[str](), 0
    with GamePool(GAMES, "collect", 0, 1000, workers=2, recall=True) as pool:
        pool.reset()
        for step in range(STEPS):
            allowed = pool.allowed.copy()
            assert allowed[:, : INDEX["travel_down"]].any(1).all()  # with the smallest set, too
            action = rng.choice(len(NAMES), GAMES, p=walked if step % 2 else uniform).astype(np.int32)
            before = pool.obs["blstats"].copy(), pool.obs["inv_letters"].copy()
            pool.step(action)
            after = pool.obs["blstats"], pool.obs["inv_letters"]
            changed = (before[0][:, [X, Y, DEPTH]] != after[0][:, [X, Y, DEPTH]]).any(1)
            changed |= (before[1] != after[1]).any(1)
            asks = pool.obs["misc"][:, 0] != 0
            for game in np.flatnonzero((pool.ended == End.NOT) & ~asks).tolist():
                if b"This door is locked" in pool.obs["message"][game].tobytes():
                    locked += 1
                    assert pool.allowed[game, INDEX["kick"]]
            unwise = (pool.ended == End.NOT) & ~allowed[np.arange(GAMES), action]
            for game in np.flatnonzero(unwise).tolist():
                forbidden[NAMES[action[game]]] += 1
                useful[NAMES[action[game]]] += int(changed[game])
    assert locked
    assert {"north", "northeast", "up", "down", "fight", "travel_down", "pray", "enhance"} <= set(forbidden)
    walks = {name: count for name, count in useful.items() if not name.startswith("travel_") and count}
    assert sum(walks.values()) <= 2, walks  # a confused hero's step may go elsewhere
    travels = [name for name in forbidden if name.startswith("travel_")]
    assert sum(useful[name] for name in travels) < 0.2 * sum(forbidden[name] for name in travels)


def test_marks_are_where_the_hero_was_and_searched() -> None:
    with GamePool(4, "collect", 1, 1000, workers=1, recall=True) as pool:
        pool.reset()
        been: list[set[tuple[int, int]]] = [set() for _ in range(4)]
        rng = np.random.default_rng(1)
        for _ in range(60):
            for game in range(4):
                x, y = pool.obs["blstats"][game, [X, Y]].tolist()
                been[game].add((y, x))
            pool.step(rng.integers(INDEX["north"], INDEX["far_north"], 4).astype(np.int32))
        same = np.flatnonzero((pool.episode == 0) & (pool.state["depth"] == 1))
        assert len(same)
        for game in same.tolist():
            x, y = pool.obs["blstats"][game, [X, Y]].tolist()
            marked = {(int(r), int(c)) for r, c in np.argwhere(pool.marks[game] & VISITED)}
            assert marked == been[game] | {(y, x)}
        turns = pool.obs["blstats"][:, TURN].copy()
        for _ in range(3):
            pool.step(np.full(4, INDEX["search_long"], np.int32))
        for game in same.tolist():
            x, y = pool.obs["blstats"][game, [X, Y]].tolist()
            if pool.episode[game] == 0 and pool.obs["blstats"][game, TURN] - turns[game] >= SEARCH_TURNS:
                assert (pool.marks[game, max(y - 1, 0) : y + 2, x - 1 : x + 2] & SEARCHED).all()


def test_the_frontier_is_next_to_what_was_never_seen() -> None:
    with GamePool(4, "collect", 2, 1000, workers=1, recall=True) as pool:
        pool.reset()
        for _ in range(5):
            pool.step(np.full(4, INDEX["travel_unexplored"], np.int32))
        for game in range(4):
            for row, column in np.argwhere(pool.marks[game] & FRONTIER).tolist():
                beside = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
                glyphs = [
                    int(pool.obs["glyphs"][game, r, c])
                    for r, c in beside
                    if 0 <= r < ROWS and 0 <= c < COLUMNS
                ]
                assert STONE in glyphs


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        (b"Really attack the watchman?", {"southeast"}),
        (b"Do you want to pray?", {"northwest", "southeast"}),
        (b"What do you want to eat? [bc or ?*]", {"northwest", "more"}),
        (b"There is a newt corpse here; eat it? [ynq] (n)", {"southeast"}),
        (b"There are 2 jackal corpses here; eat one? [ynq] (n)", {"southeast"}),
        (b"There is a lichen corpse here; eat it? [ynq] (n)", {"northwest", "southeast"}),
        (b"There is a food ration here; eat it? [ynq] (n)", {"northwest", "southeast"}),
        (b"In what direction?", {"east"}),
    ],
)
def test_an_open_question_allows_only_its_answers(question: bytes, allowed: set[str]) -> None:
    near = np.full(len(COMPASS), nethack.GLYPH_CMAP_OFF + 19, np.int16)  # floor
    locked = np.arange(len(COMPASS)) == 1  # a door to the east
    assert {NAMES[number] for number in np.flatnonzero(answers(question, near, locked))} == allowed
    assert np.flatnonzero(answers(b"In what direction?", near, ~locked & locked)).tolist() == list(
        range(1, 9)
    )


def test_games_restore_to_the_same_marks_and_the_same_mask() -> None:
    rng = np.random.default_rng(3)
    with GamePool(4, "collect", 3, 1000, workers=1, recall=True) as pool:
        pool.reset()
        for _ in range(80):
            chosen = [rng.choice(np.flatnonzero(allowed)) for allowed in pool.allowed]
            pool.step(np.array(chosen, np.int32))
        marks, allowed, snapshot = pool.marks.copy(), pool.allowed.copy(), pool.snapshot()
        pool.step(np.full(4, INDEX["search"], np.int32))
        pool.restore(snapshot)
        np.testing.assert_array_equal(pool.marks, marks)
        np.testing.assert_array_equal(pool.allowed, allowed)


def test_a_gas_spore_is_struck_only_by_who_survives_it() -> None:
    spore = next(n for n in range(nethack.NUMMONS) if nethack.permonst(n).mname == "gas spore")
    bl, shown = np.zeros((2, 27), np.int64), np.full((2, ROWS, COLUMNS), STONE + 19, np.int16)
    bl[:, [X, Y]], bl[:, HP] = 10, (glyphs.BLAST, glyphs.BLAST + 1)
    shown[:, 9, 10] = nethack.GLYPH_MON_OFF + spore  # to the north
    nothing = np.zeros(2, np.int64)
    view = View({"blstats": bl, "glyphs": shown}, {}, nothing, nothing, nothing, nothing, nothing)
    assert view.prey[:, 0].tolist() == [False, True]
    assert view.untouchable[:, 0].tolist() == [True, False]
