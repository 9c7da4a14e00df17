"""The scripted explorer: its maps and ways, and real games that it plays."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nle import nethack

from maestromotif.collect.explorer.explorer import Explorer
from maestromotif.collect.explorer.intent import Intent, intent_of
from maestromotif.nethack import paths
from maestromotif.nethack.actions import INDEX, NUM_ACTIONS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.skill import load

# Paths.


def drawn(*rows: str) -> tuple[np.ndarray, dict[str, int]]:
    """Passable squares of a map in characters (# rock, | door, others free) and where its letters are."""
    passable = np.zeros((paths.HEIGHT, paths.WIDTH), np.uint8)
    where = {}
    for y, row in enumerate(rows):
        for x, symbol in enumerate(row):
            passable[y + 1, x + 1] = {"#": 0, "|": 2}.get(symbol, 1)
            if symbol.isalpha():
                where[symbol] = paths.square(x, y)
    return passable, where


def walk(passable: np.ndarray, start: int, goal: int, blocked: Any = frozenset()) -> list[str] | None:
    """Names of the steps from start to goal."""
    goals = np.zeros(paths.SQUARES, bool)
    goals[goal] = True
    found, _, came = paths.reach(passable.tobytes(), start, goals.tobytes(), blocked)
    if found is None:
        return None
    names = ["N", "E", "S", "W", "NE", "SE", "SW", "NW"]
    return [names[direction] for direction in reversed(paths.way(came, goal))]


def test_the_shortest_way_cuts_corners() -> None:
    passable, at = drawn("a..#", "..##", "...b")
    assert len(walk(passable, at["a"], at["b"]) or []) == 3
    assert walk(passable, at["a"], at["a"]) == []


def test_doors_are_not_entered_diagonally() -> None:
    passable, at = drawn("a.##", "##|b")
    assert walk(passable, at["a"], at["b"]) is None
    passable, at = drawn("a..#", "##|#", "##b#")
    assert walk(passable, at["a"], at["b"]) == ["E", "E", "S", "S"]


def test_a_blocked_step_is_gone_around() -> None:
    passable, at = drawn("ab", ".#")
    assert walk(passable, at["a"], at["b"]) == ["E"]
    assert walk(passable, at["a"], at["b"], {(at["a"], 1)}) == ["S", "NE"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ways_are_as_short_as_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    passable = np.zeros((paths.HEIGHT, paths.WIDTH), np.uint8)
    passable[1:7, 1:9] = rng.choice([0, 1, 1, 2], (6, 8))
    start, goal = (paths.square(int(rng.integers(8)), int(rng.integers(6))) for _ in range(2))
    passable.reshape(-1)[[start, goal]] = 1
    # Distances relaxed until nothing changes.
    flat, far = passable.reshape(-1), 10_000
    distance = np.full(paths.SQUARES, far)
    distance[start] = 0
    for _ in range(60):
        for here in np.flatnonzero(distance < far):
            for direction, offset in enumerate(paths.OFFSETS):
                upright = flat[here] == 2 or flat[here + offset] == 2
                if flat[here + offset] and not (direction >= 4 and upright):
                    distance[here + offset] = min(distance[here + offset], distance[here] + 1)
    way = walk(passable, start, goal)
    assert (far if way is None else len(way)) == distance[goal]


def test_terrain_is_remembered_under_what_covers_it() -> None:
    glyphs = np.full((21, 79), nethack.GLYPH_CMAP_OFF, np.int16)
    glyphs[3, 4] = nethack.GLYPH_CMAP_OFF + 24  # a staircase down
    terrain = np.zeros((paths.HEIGHT, paths.WIDTH), np.uint8)
    assert paths.remember(terrain, glyphs)
    assert not paths.remember(terrain, glyphs)
    glyphs[3, 4] = nethack.GLYPH_MON_OFF + 5  # somebody stands on it, and somebody on a square never seen
    glyphs[3, 5] = nethack.GLYPH_MON_OFF + 5
    assert paths.remember(terrain, glyphs)
    assert terrain.reshape(-1)[paths.square(4, 3)] == paths.DOWN
    assert terrain.reshape(-1)[paths.square(5, 3)] == paths.FLOOR
    assert (terrain != paths.UNKNOWN).sum() == 2


# The explorer.


def test_the_explorer_goes_down_and_up_and_never_dawdles() -> None:
    """Half of the games reach a deeper level; of random play one in a hundred, in twice as many steps."""
    games, steps = 8, 400
    with GamePool(games, "collect", 2, steps, workers=2) as pool:
        pool.reset()
        explorer = Explorer(games, 2)
        actions = np.empty((steps, games), np.int32)
        still, turn, deepest = (np.zeros(games, np.int64) for _ in range(3))
        for t in range(steps):
            actions[t] = explorer.act(pool)
            pool.step(actions[t])
            deepest = np.maximum(deepest, pool.state["deepest"])
            now = pool.state["turn"].astype(np.int64)
            still = np.where((now == turn) & (pool.ended == End.NOT), still + 1, 0)
            turn = now
            assert still.max() < 40, t
        assert ((actions >= 0) & (actions < NUM_ACTIONS)).all()
        assert (deepest >= 2).mean() >= 0.5
        assert (actions == INDEX["up"]).any()
        assert (actions == INDEX["down"]).any()
        # From the beginning again, with an explorer that knows nothing: the same play.
        pool.reset()
        explorer = Explorer(games, 2)
        for row in actions[:100]:
            np.testing.assert_array_equal(explorer.act(pool), row)
            pool.step(row)


def test_the_explorer_does_what_it_is_asked_to_do() -> None:
    """Four games explore their level; the others go down and come back, and rest when they have."""
    games, steps = 12, 400
    with GamePool(games, "collect", 2, steps + 1, workers=2) as pool:
        pool.reset()
        explorer = Explorer(games, 2)
        was_down, back = np.zeros(games, bool), np.zeros(games, bool)
        explored = np.zeros(games, np.int64)
        for _ in range(steps):
            depth = pool.state["depth"]
            intents = dict.fromkeys(range(4), Intent.EXPLORE)
            intents |= {g: Intent.UP if depth[g] > 1 else Intent.DOWN for g in range(4, games) if not back[g]}
            actions = explorer.act(pool, intents)
            assert {g for g in range(games) if actions[g] != IDLE} == set(intents)
            assert not np.isin(actions, [INDEX[name] for name in ("quaff", "cast", "drop")]).any()
            pool.step(actions)
            playing = pool.episode == 0
            was_down |= playing & (pool.state["depth"] > 1)
            back |= was_down & (pool.state["depth"] == 1)
            explored = np.maximum(explored, np.where(playing, pool.state["explored"], 0))
    assert not was_down[:4].any()
    assert (explored[:4] > 150).sum() >= 3
    assert back[4:].sum() >= 4


def test_a_skill_is_asked_for_by_its_wanted_events() -> None:
    names = ("ascender", "descender", "discoverer", "merchant", "worshipper")
    asked = [intent_of(load("skills", name)) for name in names]
    assert asked == [Intent.UP, Intent.DOWN, Intent.EXPLORE, Intent.TRADE, Intent.ALTAR]


def play(arena: str, steps: int, games: int = 4) -> tuple[list[list[bytes]], list[dict[str, int]]]:
    """Of the explorer's play in an arena: messages, and how often each event happened; game by game."""
    told: list[list[bytes]] = [[] for _ in range(games)]
    counts = np.zeros((games, len(EVENTS)), np.int64)
    with GamePool(games, "collect", 0, steps + 1, workers=1, arena=arena) as pool:
        pool.reset()
        explorer = Explorer(games, 0)
        for _ in range(steps):
            pool.step(explorer.act(pool))
            counts += pool.events
            for game, message in enumerate(pool.obs["message"]):
                told[game].append(message.tobytes().rstrip(b"\0"))
    return told, [dict(zip(EVENTS, row, strict=True)) for row in counts.tolist()]


def test_the_explorer_sells_what_it_carries() -> None:
    for counts in play("shop", 60)[1]:
        assert counts["price_offered"] >= 5
        assert counts["sold"] >= 3  # it turns some offers down


def test_the_explorer_learns_on_an_altar_what_is_cursed() -> None:
    for counts in play("altar", 40)[1]:
        for name in ("altar_blessed", "altar_cursed", "altar_uncursed"):
            assert counts[name] >= 2, name


def test_the_explorer_takes_the_stairs_both_ways() -> None:
    games = play("stairs", 60, games=8)[1]
    assert all(counts["descended"] for counts in games)
    assert any(counts["ascended"] for counts in games)


def test_the_explorer_may_eat_in_a_shop_and_get_away_with_it() -> None:
    told, games = play("theft", 40, games=16)
    assert any(b"you pay for it" in message for messages in told for message in messages)
    assert any(counts["stole"] for counts in games)


def test_nobody_strikes_a_shopkeeper() -> None:
    for arena in ("shop", "theft"):
        for told in play(arena, 60)[0]:
            assert not any(b"Really attack" in message for message in told)
