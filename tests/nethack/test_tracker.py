"""GameState and changes: by hand-made observations and by real games."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nle import nethack
from playing import Play

from maestromotif.collect.explorer.explorer import Explorer
from maestromotif.nethack import tracker
from maestromotif.nethack.actions import INDEX, NAMES, NUM_ACTIONS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import (
    COLUMNS,
    CONDITION,
    DEPTH,
    DUNGEON,
    HUNGER,
    LEVEL,
    ROWS,
    TURN,
    X,
    Y,
)
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.squares import Maps
from maestromotif.nethack.state import CHANGES, FIELDS, FIRST_COLUMNS, SKILL_FIELDS
from maestromotif.nethack.tracker import TRACKED, Tracker

DEPTH_CHANGE, EXPLORED, DOWN, UP = range(4)
SEEN, CLOSER, REACHED = 1, 2, 3
SCROLL, FOOD = nethack.SCROLL_CLASS, nethack.FOOD_CLASS
_SYMBOLS = range(nethack.GLYPH_EXPLODE_OFF - nethack.GLYPH_CMAP_OFF)
_SQUARES = {nethack.symdef.from_idx(i).explanation: i for i in reversed(_SYMBOLS)}
_SHOWN = {
    " ": _SQUARES["dark part of a room"],
    ".": _SQUARES["floor of a room"],
    ">": _SQUARES["staircase down"],
    "<": _SQUARES["staircase up"],
    "_": _SQUARES["altar"],
}


def monster(name: str) -> int:
    """Glyph of a monster."""
    found = next(i for i in range(nethack.NUMMONS) if nethack.permonst(i).mname == name)
    return int(nethack.GLYPH_MON_OFF + found)


class Scene:
    """Two games whose observations are written by hand; the first one is played, the second waits."""

    def __init__(self) -> None:
        self.obs: dict[str, np.ndarray] = {
            "chars": np.full((2, ROWS, COLUMNS), ord(" "), np.uint8),
            "glyphs": np.full((2, ROWS, COLUMNS), nethack.GLYPH_CMAP_OFF, np.int16),
            "blstats": np.zeros((2, 27), np.int64),
            "inv_letters": np.zeros((2, 55), np.uint8),
            "inv_oclasses": np.full((2, 55), nethack.MAXOCLASSES, np.uint8),
        }
        self.obs["blstats"][:, [DEPTH, LEVEL, TURN]] = 1
        self.stand(10, 10)
        self.tracker = Tracker(
            np.zeros((2, len(TRACKED)), np.int32),
            np.zeros((2, len(CHANGES)), np.int8),
            np.zeros((2, len(EVENTS)), np.int16),
        )

    def begin(self) -> None:
        for game in (0, 1):
            self.tracker.begin(game, self.obs)

    def stand(self, x: int, y: int) -> None:
        self.obs["blstats"][:, [X, Y]] = x, y
        self.obs["chars"][:, y, x] = ord("@")
        self.obs["glyphs"][:, y, x] = monster("monk")

    def show(self, symbol: str, x: int, y: int, glyph: int | None = None) -> None:
        self.obs["chars"][0, y, x] = ord(symbol)
        self.obs["glyphs"][0, y, x] = nethack.GLYPH_CMAP_OFF + _SHOWN[symbol] if glyph is None else glyph

    def arrive(self, depth: int, dungeon: int = 0) -> None:
        """Another level, of which nothing is seen yet."""
        self.obs["chars"][0] = ord(" ")
        self.obs["glyphs"][0] = nethack.GLYPH_CMAP_OFF + _SHOWN[" "]
        self.obs["blstats"][0, [DEPTH, LEVEL, DUNGEON]] = depth, depth, dungeon

    def carry(self, letter: str, kind: int) -> None:
        free = int(np.flatnonzero(self.obs["inv_letters"][0] == 0)[0])
        self.obs["inv_letters"][0, free], self.obs["inv_oclasses"][0, free] = ord(letter), kind

    def step(self, text: bytes = b"") -> list[int]:
        """One step of the first game; returns its changes, those of the map."""
        self.tracker.update(self.obs, [text, b""], np.array([True, False]))
        codes: list[int] = self.tracker.changes[0, :FIRST_COLUMNS].tolist()
        return codes

    def now(self, name: str) -> int:
        return int(self.tracker.state[0, TRACKED.index(name)])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_episode_begins_on_the_stairs_up(scene: Scene) -> None:
    scene.begin()
    assert scene.now("upstairs_seen")
    assert scene.now("on_upstairs")
    assert not scene.now("downstairs_seen")
    assert (scene.now("step"), scene.now("branch_depth"), scene.now("deepest")) == (0, -1, 1)
    assert not scene.tracker.changes.any()


def test_stairs_come_into_view_come_closer_and_are_reached(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 13, 10)
    assert scene.step()[DOWN] == SEEN
    assert (scene.now("downstairs_dx"), scene.now("downstairs_dy"), scene.now("downstairs_seen")) == (3, 0, 1)
    scene.stand(11, 10)
    assert scene.step()[DOWN] == CLOSER
    scene.stand(10, 10)  # away, and back as close as before: no nearer than ever
    assert scene.step()[DOWN] == 0
    scene.stand(11, 10)
    assert scene.step()[DOWN] == 0
    scene.stand(12, 11)
    assert scene.step()[DOWN] == CLOSER
    scene.stand(13, 10)  # the hero hides the stairs, which are remembered
    assert scene.step()[DOWN] == REACHED
    assert scene.now("on_downstairs")
    assert not scene.now("on_upstairs")
    assert scene.step()[DOWN] == 0
    scene.stand(14, 10)
    scene.step()
    scene.stand(13, 10)
    assert scene.step()[DOWN] == 0  # reached once is enough
    assert scene.now("on_downstairs")


def test_arriving_by_stairs_marks_the_other_end(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 11, 10)
    scene.step()
    scene.stand(11, 10)
    scene.step()
    scene.arrive(depth=2)
    scene.stand(40, 5)
    changes = scene.step()
    assert changes[DEPTH_CHANGE] == tracker.DEEPER
    assert scene.now("on_upstairs")
    assert scene.now("upstairs_seen")
    assert not scene.now("downstairs_seen")
    scene.arrive(depth=1)
    scene.stand(11, 10)
    assert scene.step()[DEPTH_CHANGE] == tracker.HIGHER
    assert scene.now("on_downstairs")
    assert (scene.now("depth"), scene.now("deepest")) == (1, 2)


def test_falling_through_a_trap_door_marks_nothing(scene: Scene) -> None:
    scene.begin()
    scene.stand(12, 12)
    scene.step()
    scene.arrive(depth=3)
    scene.stand(40, 5)
    assert scene.step()[DEPTH_CHANGE] == tracker.DEEPER
    assert not scene.now("on_upstairs")
    assert not scene.now("upstairs_seen")


def test_explored_and_idle_steps(scene: Scene) -> None:
    scene.begin()
    first = scene.now("explored")
    scene.show(".", 11, 10)
    scene.show(".", 12, 10)
    assert scene.step()[EXPLORED] == 1
    assert scene.now("explored") == first + 2
    assert scene.step()[EXPLORED] == 0
    assert scene.step()[EXPLORED] == 0
    assert scene.now("idle_steps") == 2
    scene.show(" ", 12, 10)  # forgotten squares do not count as new when they are seen again
    assert scene.step()[EXPLORED] == 0
    scene.show(".", 12, 10)
    assert scene.step()[EXPLORED] == 0
    assert scene.now("idle_steps") == 4
    scene.arrive(depth=2)
    scene.stand(30, 3)
    assert scene.step()[EXPLORED] == 0  # on arrival everything is new
    assert scene.now("explored") == 1
    assert scene.now("idle_steps") == 0


def test_the_branch_is_known_by_two_ways_down_or_by_entering_the_mines(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.step()
    assert scene.now("branch_depth") == -1
    scene.show(">", 60, 15)
    scene.step()
    assert scene.now("branch_depth") == 1
    scene.begin()
    assert scene.now("branch_depth") == 1  # both are in view from the start
    scene.show(" ", 60, 15)
    scene.begin()
    assert scene.now("branch_depth") == -1
    scene.arrive(depth=2)
    scene.stand(20, 7)
    scene.step()
    scene.arrive(depth=3, dungeon=2)
    scene.stand(30, 7)
    scene.step()
    assert scene.now("branch_depth") == 2
    scene.arrive(depth=4, dungeon=2)
    scene.stand(31, 7)
    scene.step()
    assert scene.now("branch_depth") == 2


def test_the_second_way_down_counts_though_the_first_is_covered_or_was_seen_on_another_visit(
    scene: Scene,
) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.step()
    scene.show("@", 5, 5, monster("watchman"))
    scene.step()
    scene.show(">", 60, 15)
    scene.step()
    assert scene.now("branch_depth") == 1
    scene.show(" ", 60, 15)
    scene.begin()
    assert scene.now("branch_depth") == -1  # nothing is known from the episode before
    scene.show(">", 5, 5)
    scene.step()
    scene.arrive(depth=2)
    scene.stand(30, 3)
    scene.show(">", 33, 3)
    scene.step()
    assert scene.now("branch_depth") == -1
    scene.arrive(depth=1)
    scene.stand(31, 3)
    scene.show(">", 60, 15)
    scene.step()
    assert scene.now("branch_depth") == 1


def test_two_ways_down_in_another_dungeon_are_no_branch(scene: Scene) -> None:
    scene.arrive(depth=5, dungeon=2)
    scene.stand(30, 3)
    scene.begin()
    scene.show(">", 5, 5)
    scene.show(">", 60, 15)
    scene.step()
    assert scene.now("branch_depth") == -1


def test_the_branch_is_known_by_leaving_the_mines(scene: Scene) -> None:
    for depth, dungeon, level in ((4, 2, 2), (3, 2, 1), (2, 0, 2)):
        assert scene.now("branch_depth") <= 0
        scene.arrive(depth, dungeon)
        scene.obs["blstats"][0, LEVEL] = level
        scene.stand(20 + depth, 7)
        if depth == 4:
            scene.begin()
        else:
            scene.step()
    assert scene.now("branch_depth") == 2


def test_whoever_stands_on_the_second_stairs_stands_on_stairs(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.show(">", 12, 10)
    scene.step()
    assert (scene.now("downstairs_dx"), scene.now("downstairs_dy")) == (-5, -5)
    scene.stand(12, 10)
    scene.step()
    assert scene.now("on_downstairs")
    scene.arrive(depth=2, dungeon=2)
    scene.stand(40, 5)
    scene.step()
    assert scene.now("on_upstairs")  # she came by them
    scene.arrive(depth=1)
    scene.stand(12, 10)
    scene.show(">", 5, 5)
    scene.step()
    assert scene.now("on_downstairs")


def test_a_mimic_among_the_stairs_is_taken_back(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.show(">", 13, 10)
    scene.step()
    assert scene.now("branch_depth") == 1
    scene.show("m", 5, 5, monster("giant mimic"))
    scene.step()
    assert (scene.now("branch_depth"), scene.now("downstairs_seen")) == (-1, 1)
    assert (scene.now("downstairs_dx"), scene.now("downstairs_dy")) == (3, 0)  # the others
    # A hallucinating hero sees any monster there; afterwards the floor shows.
    scene.show("d", 13, 10, monster("jackal"))
    scene.step()
    assert scene.now("downstairs_seen")
    scene.show(".", 13, 10)
    scene.step()
    assert (scene.now("downstairs_seen"), scene.now("downstairs_dx")) == (0, 0)
    scene.show(">", 20, 10)
    assert scene.step()[DOWN] == SEEN
    assert scene.now("downstairs_dx") == 10


def test_a_mimic_that_has_moved_is_known_on_the_next_visit(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.show(">", 13, 10)
    scene.step()
    scene.arrive(depth=2)
    scene.stand(30, 3)
    scene.step()
    assert scene.now("branch_depth") == 1
    scene.arrive(depth=1)
    scene.stand(10, 10)
    scene.show(".", 5, 5)
    scene.show(">", 13, 10)
    scene.step()
    assert (scene.now("branch_depth"), scene.now("downstairs_seen")) == (-1, 1)


def test_real_stairs_are_not_taken_back_by_what_lies_or_stands_on_them(scene: Scene) -> None:
    scene.begin()
    scene.show(">", 5, 5)
    scene.show(">", 13, 10)
    scene.step()
    for symbol, glyph in (("d", monster("jackal")), ("?", int(nethack.GLYPH_OBJ_OFF) + 9)):
        scene.show(symbol, 5, 5, glyph)
        scene.step()
        assert (scene.now("branch_depth"), scene.now("downstairs_seen")) == (1, 1)


def test_a_branch_that_was_entered_stays_known(scene: Scene) -> None:
    scene.begin()
    scene.arrive(depth=2, dungeon=2)
    scene.stand(20, 7)
    scene.step()
    scene.arrive(depth=1)
    scene.stand(10, 10)
    scene.show(">", 5, 5)
    scene.show(">", 13, 10)
    scene.step()
    scene.show(".", 5, 5)
    scene.step()
    assert scene.now("branch_depth") == 1


def test_sokoban_is_known_by_two_ways_up_or_by_entering_it(scene: Scene) -> None:
    scene.begin()
    scene.arrive(depth=7)
    scene.stand(20, 7)
    scene.show("<", 5, 5)
    scene.step()
    assert scene.now("sokoban_depth") == -1
    scene.show("<", 60, 15)
    scene.step()
    assert scene.now("sokoban_depth") == 7
    scene.begin()
    scene.arrive(depth=6, dungeon=4)
    scene.stand(21, 7)
    scene.step()
    assert scene.now("sokoban_depth") == 7


def test_the_oracles_level_is_known_when_the_hero_comes_back(scene: Scene) -> None:
    scene.begin()
    scene.arrive(depth=6)
    scene.stand(20, 7)
    scene.step(b'"Hello, Agent, welcome to Delphi!"')
    assert (scene.now("at_oracle"), scene.now("level")) == (1, 6)
    scene.arrive(depth=7)
    scene.stand(30, 7)
    scene.step()
    assert not scene.now("at_oracle")
    scene.arrive(depth=6)
    scene.stand(20, 7)
    scene.step()
    assert scene.now("at_oracle")
    scene.begin()
    assert not scene.now("at_oracle")


def test_hallucinated_monsters_tell_nothing_about_the_level(scene: Scene) -> None:
    for name, depth, dungeon, field in (("Oracle", 6, 0, "at_oracle"), ("watchman", 3, 2, "in_minetown")):
        for hallucinates in (True, False):
            scene.arrive(depth, dungeon)
            scene.stand(20, 7)
            scene.obs["blstats"][0, CONDITION] = nethack.BL_MASK_HALLU if hallucinates else 0
            scene.begin()
            scene.show("@", 22, 7, monster(name))
            scene.step()
            assert scene.now(field) == (not hallucinates)


def test_minetown_is_no_other_level_of_the_mines(scene: Scene) -> None:
    for level, known in ((2, 0), (3, 1), (4, 1), (5, 0)):
        scene.arrive(level, 2)
        scene.stand(20, 7)
        scene.begin()
        scene.show("_", 22, 7)
        scene.step()
        assert scene.now("in_minetown") == known


def test_whoever_teleports_into_a_temple_leaves_by_its_door(scene: Scene) -> None:
    scene.begin()
    scene.show("+", 33, 10, int(nethack.GLYPH_CMAP_OFF) + _SQUARES["open door"])
    scene.step()
    for x, text, inside in (
        (30, b"You have an eerie feeling...", 1),
        (29, b"", 1),
        (31, b"", 1),
        (33, b"", 1),  # on the door
        (34, b"", 0),
        (36, b"", 0),
        (33, b"", 1),
    ):
        scene.stand(x, 10)
        scene.step(text)
        assert scene.now("in_temple") == inside
        scene.show("+", 33, 10, int(nethack.GLYPH_CMAP_OFF) + _SQUARES["open door"])


def test_a_meal_that_began_while_hungry_counts_when_it_ends(scene: Scene) -> None:
    hunger = scene.obs["blstats"][0, HUNGER : HUNGER + 1]
    hunger[:] = 2
    scene.begin()
    scene.step(b"You stop eating the food ration.")
    hunger[:] = 1
    scene.step()
    scene.step(b"You begin praying to Huan Ti.  Your stomach feels content.")
    assert scene.now("meals_while_hungry") == 0
    scene.step(b"You resume your meal.  You finish eating the food ration.")
    assert scene.now("meals_while_hungry") == 1
    scene.step(b"This apple is delicious!")
    assert scene.now("meals_while_hungry") == 1


def test_status_lines(scene: Scene) -> None:
    fields = {"energy": 14, "max_energy": 15, "armor_class": 16, "hp": 10, "gold": 13}
    for value, index in enumerate(fields.values()):
        scene.obs["blstats"][0, index] = value + 3
    scene.begin()
    assert [scene.now(name) for name in fields] == [3, 4, 5, 6, 7]


def test_hit_points_are_compared_with_the_step_before(scene: Scene) -> None:
    hit_points = scene.obs["blstats"][0, 10:11]
    hit_points[:] = 12
    scene.begin()
    codes, column = CHANGES["health"].codes, tuple(CHANGES).index("health")
    for now, code in ((12, 0), (9, codes["lost"]), (9, 0), (10, codes["gained"])):
        hit_points[:] = now
        scene.step()
        assert scene.tracker.changes[0, column] == code
        assert scene.tracker.changes[1, column] == 0  # was not played


def test_maps_kept_by_their_changes_are_those_read_anew(tmp_path: Path) -> None:
    """Real levels, walked at random."""
    play = Play("stairs", tmp_path)
    draw = np.random.default_rng(4)
    levels = set()
    for seed in range(3):
        play.reset(seed)
        play("east down")
        for _ in range(400):
            if play(NAMES[draw.choice([*range(1, 20), 19, 19])]) is not End.NOT:
                break
            levels.add((seed, play.depth))
            maps, anew = play.tracker._maps, Maps(1)
            anew.read(0, play.obs["glyphs"], play.obs["chars"])
            np.testing.assert_array_equal(maps.kinds, anew.kinds)
            np.testing.assert_array_equal(maps.counts, anew.counts)
            shown = np.count_nonzero(play.obs["chars"] != ord(" "))
            assert play.now("explored") >= shown == 21 * 79 - maps.counts[0, 0]
    assert len(levels) > 3
    play.game.close()


def test_messages_are_counted(scene: Scene) -> None:
    scene.begin()
    scene.step(b"You kill the newt!  You destroy the kobold zombie!")
    scene.step(b"You sold a dagger for 2 gold pieces.")
    scene.step(b"A dagger lands on the altar.  There is a black flash as a sling hits the altar.")
    scene.step(b"You finish eating the food ration.")
    assert (scene.now("kills"), scene.now("items_sold"), scene.now("has_eaten_in_mines")) == (2, 1, 0)
    assert scene.now("altar_tests") == 2
    scene.obs["blstats"][0, DUNGEON] = 2
    scene.step(b"What do you want to eat? [abc or ?*] ")
    assert not scene.now("has_eaten_in_mines")
    scene.step(b"This apple is delicious!")
    assert scene.now("has_eaten_in_mines")
    scene.tracker.begin(0, scene.obs)
    assert (scene.now("kills"), scene.now("items_sold"), scene.now("has_eaten_in_mines")) == (0, 0, 0)


def test_sellable_things_are_neither_food_nor_from_the_start(scene: Scene) -> None:
    scene.carry("a", SCROLL)
    scene.begin()
    assert scene.now("sellable_items") == 0
    scene.carry("b", FOOD)
    scene.carry("$", nethack.COIN_CLASS)
    scene.step()
    assert scene.now("sellable_items") == 0
    scene.carry("c", SCROLL)
    scene.carry("d", nethack.WAND_CLASS)
    scene.step()
    assert scene.now("sellable_items") == 2


def test_altars_and_shopkeepers_are_known_by_their_glyphs(scene: Scene) -> None:
    scene.begin()
    beings = ("altar_in_view", "shopkeeper_in_view", "priest_in_view", "player_in_view")
    assert not any(map(scene.now, beings))
    scene.show("_", 4, 4)
    scene.show("@", 5, 4, monster("shopkeeper"))
    scene.step()
    assert list(map(scene.now, beings)) == [1, 1, 0, 0]
    scene.show("@", 5, 4, monster("aligned priest"))
    scene.step()
    assert list(map(scene.now, beings)) == [1, 0, 1, 0]
    scene.show("@", 5, 4, monster("valkyrie"))
    scene.step()
    assert list(map(scene.now, beings)) == [1, 0, 0, 1]
    scene.show("@", 5, 4, monster("watchman"))  # white and green, but none of these
    scene.step()
    assert list(map(scene.now, beings)) == [1, 0, 0, 0]


@pytest.mark.parametrize(("x", "y"), [(1, 0), (78, 0), (1, 20), (78, 20), (40, 10)])
def test_near_is_within_three_squares_also_at_the_border(scene: Scene, x: int, y: int) -> None:
    scene.stand(x, y)
    scene.begin()
    inwards = (1 if x < 40 else -1), (1 if y < 10 else -1)
    for distance in (1, 3, 4):
        for dx, dy in ((distance, 0), (0, distance), (distance, distance)):
            at = x + dx * inwards[0], y + dy * inwards[1]
            scene.arrive(2 if scene.now("depth") == 1 else 1)
            scene.stand(x, y)
            scene.show("_", *at)
            scene.step()
            assert (scene.now("altar_near"), scene.now("shopkeeper_near")) == (distance <= 3, 0)
            scene.show("@", *at, monster("shopkeeper"))  # the altar is remembered below her
            scene.step()
            assert (scene.now("altar_near"), scene.now("shopkeeper_near")) == (distance <= 3, distance <= 3)


def test_games_that_were_not_moved_keep_their_state(scene: Scene) -> None:
    scene.begin()
    before = scene.tracker.state[1].copy()
    scene.obs["blstats"][:, TURN] = 99
    scene.obs["chars"][1, 3, 3] = ord(">")
    scene.obs["glyphs"][1, 3, 3] = nethack.GLYPH_CMAP_OFF + _SHOWN[">"]
    scene.step()
    assert scene.now("turn") == 99
    np.testing.assert_array_equal(scene.tracker.state[1], before)


def test_every_field_but_those_of_the_skill_is_tracked() -> None:
    assert [name for name in FIELDS if name not in SKILL_FIELDS] == list(TRACKED[: -len(tracker.SENSES)])


def test_real_games_agree_with_what_is_displayed() -> None:
    """The explorer's games, followed step by step from their observations alone."""
    games = 6
    with GamePool(games, "collect", 1, 400, workers=2) as pool:
        pool.reset()
        explorer = Explorer(games, 1)
        before = {name: pool.state[name].copy() for name in TRACKED}
        where = pool.obs["blstats"][:, [DUNGEON, LEVEL]].copy()
        deeper = higher = reached = 0
        for _ in range(400):
            pool.step(explorer.act(pool))
            now = {name: pool.state[name].copy() for name in TRACKED}
            bl, here = pool.obs["blstats"], pool.obs["blstats"][:, [DUNGEON, LEVEL]].copy()
            going = pool.ended == 0
            stayed = going & (here == where).all(1)
            assert (now["step"] == before["step"] + 1)[going].all()
            assert (now["explored"] >= before["explored"])[stayed].all()
            assert ((now["explored"] > before["explored"]) == (pool.changes[:, EXPLORED] == 1))[stayed].all()
            assert (
                now["idle_steps"] == np.where(pool.changes[:, EXPLORED] == 1, 0, before["idle_steps"] + 1)
            )[stayed].all()
            assert (now["deepest"] >= np.maximum(before["deepest"], now["depth"]))[going].all()
            expected = np.sign(bl[:, DEPTH] - before["depth"])
            assert (pool.changes[going, DEPTH_CHANGE] == np.where(expected < 0, 2, expected)[going]).all()
            # Whoever stands on a staircase has been told that it was reached.
            for side, column in (("downstairs", DOWN), ("upstairs", UP)):
                told = stayed & (pool.changes[:, column] == REACHED)
                assert now[f"on_{side}"][told].all()
                reached += int(told.sum())
            # Stairs that nobody covers are displayed where the offsets say.
            for side, symbol in (("downstairs", ">"), ("upstairs", "<")):
                for game in np.flatnonzero(going & (now[f"{side}_seen"] == 1) & (now[f"on_{side}"] == 0)):
                    x = bl[game, X] + now[f"{side}_dx"][game]
                    y = bl[game, Y] + now[f"{side}_dy"][game]
                    shown = pool.obs["chars"][game, y, x]
                    if (pool.obs["chars"][game] == ord(symbol)).any() and chr(shown) in ".#":
                        pytest.fail(f"{side} of game {game} at {x}, {y}: {chr(shown)!r}")
            deeper += int((pool.changes[:, DEPTH_CHANGE] == tracker.DEEPER).sum())
            higher += int((pool.changes[:, DEPTH_CHANGE] == tracker.HIGHER).sum())
            before, where = now, here
        assert deeper > 0
        assert reached > 0


@pytest.fixture(scope="module")
def short() -> Iterator[GamePool]:
    with GamePool(4, "train", 0, 30, workers=1) as pool:
        yield pool


def test_changes_of_the_last_step_are_kept_at_truncation(short: GamePool) -> None:
    """The step that ends an episode is tracked like any other, though the next episode is shown already."""
    moves = np.random.default_rng(0).integers(1, 9, (29, 4))
    with GamePool(4, "train", 0, 10_000, workers=1) as endless:
        for pool in (short, endless):
            pool.reset()
            for row in moves:
                pool.step(row)
        kept = 0
        for action in range(0, NUM_ACTIONS, 4):
            for pool in (short, endless):
                pool.reset()
                for row in moves:
                    pool.step(row)
                pool.step(np.full(4, action))
            still = endless.ended == 0
            assert (short.ended[still] != 0).all()
            np.testing.assert_array_equal(short.changes[still], endless.changes[still])
            for name in TRACKED:
                np.testing.assert_array_equal(short.final_state[name][still], endless.state[name][still])
            kept += int(short.changes.any())
        assert kept > 0


def test_no_step_means_no_change(short: GamePool) -> None:
    short.reset()
    assert not short.changes.any()
    short.step(np.full(4, INDEX["more"]))
    assert short.state["step"].tolist() == [1] * 4
