"""Which actions a player can see to be useless, so that a policy need not try them.

`RULES` says what makes an action useless at a glance, such as down away from the stairs. An action that has
just changed nothing is useless too, until something changes (`Useless`). Everything follows from the
observations, the tracked state and the actions that were played: nothing that the player cannot know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from nle import nethack

from maestromotif.nethack import glyphs
from maestromotif.nethack.actions import CLOSED_SHOP, INDEX, LOCKED_DOOR, NAMES, PEACEFUL
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.marks import FRONTIER, Marks
from maestromotif.nethack.observation import (
    COLUMNS,
    CONDITION,
    DEPTH,
    DUNGEON,
    ENERGY,
    HP,
    HUNGER,
    LEVEL,
    MAX_HP,
    ROWS,
    TURN,
    X,
    Y,
)
from maestromotif.nethack.squares import CELLS

COMPASS = (
    (0, -1),
    (1, 0),
    (0, 1),
    (-1, 0),
    (1, -1),
    (1, 1),
    (-1, 1),
    (-1, -1),
)  # dx, dy, in the actions' order
FIRST_PRAYER, BETWEEN_PRAYERS = (
    300,
    1000,
)  # turns: a prayer timeout starts at 300 and is rarely above 1000 later
FADES = 20  # steps after which an action that changed nothing may be tried again

_WEAK, _SATIATED = 3, 0  # values of hunger
_SPELL = 5  # energy that the cheapest spell costs
_MOVES = np.array(
    [INDEX[name] for name in NAMES if name in ("north", "east", "south", "west")]
    + [INDEX[name] for name in ("northeast", "southeast", "southwest", "northwest")]
)
_RUNS = _MOVES + (INDEX["far_north"] - INDEX["north"])
_TRAVELS = np.array([number for name, number in INDEX.items() if name.startswith("travel_")])
_IS_TRAVEL = np.isin(np.arange(len(NAMES)), _TRAVELS)
_YES, _NO, _MORE = INDEX["northwest"], INDEX["southeast"], INDEX["more"]
# These need no reason: they pass time.
_ALWAYS = [INDEX[name] for name in ("wait", "search", "search_long", "search_hidden")]
_NEVER_FUTILE = np.isin(np.arange(len(NAMES)), [*_ALWAYS, _MORE])

_PEACEFUL = np.frombuffer(PEACEFUL, np.uint8)


@dataclass(frozen=True)
class View:
    """What n games show: their observations and tracked state, [n, ...], and memory."""

    obs: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]
    marks: np.ndarray  # uint8 [n, 21, 79]
    kinds: np.ndarray  # uint8 [n, 21 * 79], see `Marks`
    under: np.ndarray  # int16 [n], see `Marks`
    prayed: np.ndarray  # int64 [n]: turn of the last prayer
    locked: np.ndarray  # bool [n, 8]: doors beside the hero that were found locked, in the order of COMPASS

    @property
    def bl(self) -> np.ndarray:
        return self.obs["blstats"]

    @cached_property
    def near(self) -> np.ndarray:
        """int16 [n, 8]: the glyphs around the hero, in the order of COMPASS."""
        bl = self.bl
        x, y = (bl[:, at, None] + np.array([d[axis] for d in COMPASS]) for axis, at in enumerate((X, Y)))
        inside = (x >= 0) & (x < COLUMNS) & (y >= 0) & (y < ROWS)
        flat = self.obs["glyphs"].reshape(len(bl), CELLS)
        shown = np.take_along_axis(flat, (y * COLUMNS + x).clip(0, CELLS - 1), 1)
        near: np.ndarray = np.where(inside, shown, np.int16(glyphs.OUTSIDE))
        return near

    @cached_property
    def foes(self) -> np.ndarray:
        """Bool [n, 8]: monsters beside the hero that are not pets."""
        found: np.ndarray = glyphs.FOES[self.near]
        return found

    @cached_property
    def walkable(self) -> np.ndarray:
        """Bool [n, 8]: whether the hero may try to walk there."""
        near = self.near
        blind = (self.bl[:, CONDITION] & nethack.BL_MASK_BLIND) != 0
        bars = glyphs.SOLID[near] | ((near == glyphs.STONE) & ~blind[:, None])
        bars[:, 4:] |= glyphs.HUNG[near[:, 4:]] | glyphs.HUNG[self.under][:, None]
        bars[glyphs.SWALLOWED[near].any(1)] = False
        walkable: np.ndarray = ~bars
        return walkable

    def holds(self, kind: int) -> np.ndarray:
        """Bool [n]: whether the inventory has an item of this class."""
        found: np.ndarray = (self.obs["inv_oclasses"] == kind).any(1)
        return found

    def shows(self, kind: int) -> np.ndarray:
        """Bool [n]: whether the map shows this kind of square, away from the hero."""
        found: np.ndarray = (self._shown & kind) != 0
        return found

    @cached_property
    def _shown(self) -> np.ndarray:
        """uint8 [n]: kinds of squares that the map shows, away from the hero."""
        rows, hero = np.arange(len(self.bl)), self.bl[:, Y] * COLUMNS + self.bl[:, X]
        kinds = self.kinds
        own = kinds[rows, hero]
        kinds[rows, hero] = 0
        shown: np.ndarray = np.bitwise_or.reduce(kinds, 1)
        kinds[rows, hero] = own
        return shown


@dataclass(frozen=True)
class Rule:
    """useless: when an action is useless, to complete "useless ...". useful: bool [n], the opposite."""

    useless: str
    useful: Callable[[View], Any]


def _prayer_helps(v: View) -> np.ndarray:
    bl = v.bl
    low = (bl[:, HP] < 6) | (bl[:, HP] * 7 < bl[:, MAX_HP])
    turn = bl[:, TURN]
    safe = (turn >= FIRST_PRAYER) & ((v.prayed < 0) | (turn - v.prayed >= BETWEEN_PRAYERS))
    result: np.ndarray = (low | (bl[:, HUNGER] >= _WEAK)) & safe
    return result


def _seen(stairs: str) -> Callable[[View], Any]:
    return lambda v: (v.state[f"{stairs}_seen"] != 0) & (v.state[f"on_{stairs}"] == 0)


RULES: dict[str, Rule] = {
    "up": Rule(
        "away from stairs up, and on level 1, where they leave the dungeon",
        lambda v: (v.state["on_upstairs"] != 0) & (v.bl[:, DEPTH] > 1),
    ),
    "down": Rule(
        "away from stairs down", lambda v: (v.state["on_downstairs"] != 0) | glyphs.PITFALLS[v.under]
    ),
    "kick": Rule(
        "without a door beside the hero that was found locked, and at the door of a shop that is closed",
        lambda v: v.locked.any(1),
    ),
    "eat": Rule(
        "when satiated, and with nothing to eat in the pack or under the hero",
        lambda v: (v.bl[:, HUNGER] != _SATIATED) & (v.holds(nethack.FOOD_CLASS) | glyphs.OBJECTS[v.under]),
    ),
    "cast": Rule(
        "without a spellbook or the energy for a spell",
        lambda v: v.holds(nethack.SPBOOK_CLASS) & (v.bl[:, ENERGY] >= _SPELL),
    ),
    "enhance": Rule(
        "always: each step improves a skill as soon as that is possible", lambda v: np.zeros(len(v.bl), bool)
    ),
    "pray": Rule(
        f"unless the hit points are low or the hero is weak from hunger, before turn {FIRST_PRAYER}, and "
        f"{BETWEEN_PRAYERS} turns after the last prayer",
        _prayer_helps,
    ),
    "quaff": Rule(
        "without a potion, a fountain or a sink",
        lambda v: v.holds(nethack.POTION_CLASS) | glyphs.WATER[v.under],
    ),
    "drop": Rule("with nothing that it would drop", lambda v: v.state["sellable_items"] > 0),
    "travel_down": Rule("before stairs down were seen, and on them", _seen("downstairs")),
    "travel_up": Rule("before stairs up were seen, and on them", _seen("upstairs")),
    "travel_altar": Rule(
        "without an altar in view, and on it",
        lambda v: (v.state["altar_in_view"] != 0) & (v.state["on_altar"] == 0),
    ),
    "travel_monster": Rule("without a monster in view", lambda v: v.shows(glyphs.MONSTER)),
    "travel_unexplored": Rule(
        "when the map shows no way to anything unexplored",
        lambda v: (v.marks.reshape(len(v.bl), CELLS) & FRONTIER).any(1),
    ),
    "travel_door": Rule("without a door in view", lambda v: v.shows(glyphs.DOOR)),
    "travel_object": Rule("without an object in view", lambda v: v.shows(glyphs.OBJECT)),
    "fight": Rule("without a monster beside the hero that is not a pet", lambda v: v.foes.any(1)),
}


class Useless:
    """Which actions are not useless in N games.

    Writes `allowed` bool [N, len(NAMES)] in place. At an open question only answers are allowed, and no blow
    against a peaceful monster. Otherwise:

    - what `RULES` finds useless is not allowed, and no step into a wall, or diagonally through a door;
    - an action that took no turn and left the hero where she was is not allowed again until she moves, the
      foes beside her change, the map shows more, or FADES steps have passed; the same holds for a travel
      action that did not move her, until the map shows more;
    - waiting and searching are always allowed, so a policy always has a choice.
    """

    def __init__(
        self, allowed: np.ndarray, state: Mapping[str, np.ndarray], events: np.ndarray, marks: Marks
    ) -> None:
        games = len(allowed)
        self._allowed, self._state, self._events, self._marks = allowed, state, events, marks
        self._futile = np.zeros((games, len(NAMES)), bool)
        self._age = np.zeros(games, np.int64)  # steps since an action was found futile
        self._prayed = np.full(games, -1, np.int64)
        # Level and square of doors that were found locked, and of warnings before a shop that is closed.
        self._locked: list[set[tuple[int, int]]] = [set() for _ in range(games)]
        self._warned: list[set[tuple[int, int]]] = [set() for _ in range(games)]
        self._asked = np.zeros(games, bool)  # a question was open before the step
        # What an action is compared with: level, square, turn, squares shown, and the glyphs around the hero.
        self._before = np.zeros((games, 4), np.int64)
        self._near = np.zeros((games, len(COMPASS)), np.int16)

    def begin(self, game: int, obs: Mapping[str, np.ndarray]) -> None:
        """An episode begins in this game."""
        self._prayed[game] = -1
        self._locked[game], self._warned[game] = set(), set()
        self._asked[game] = True  # so that nothing is learned from a step that was none
        only = np.zeros(len(self._asked), bool)
        only[game] = True
        self.update(obs, np.full(len(only), _MORE), only)

    def update(self, obs: Mapping[str, np.ndarray], action: np.ndarray, moved: np.ndarray) -> None:
        """Take in what the actions int [N] led to in the games bool [N] `moved`; leave the others alone."""
        games = np.flatnonzero(moved)
        if not len(games):
            return
        prays = games[self._events[games, COLUMN["prayed"]] > 0]
        self._prayed[prays] = obs["blstats"][prays, TURN]
        view = View(
            {name: obs[name][games] for name in ("glyphs", "blstats", "inv_oclasses", "message")},
            {name: column[games] for name, column in self._state.items()},
            self._marks.marks[games],
            self._marks.kinds[games],
            self._marks.under[games],
            self._prayed[games],
            np.zeros((len(games), len(COMPASS)), bool),
        )
        asks = obs["misc"][games, 0] != 0
        self._find_locked(games, view)
        self._learn(games, action[games], view, asks)
        useful = ~self._futile[games]
        for name, rule in RULES.items():
            useful[:, INDEX[name]] &= rule.useful(view)
        useful[:, _MOVES] &= view.walkable
        useful[:, _RUNS] &= view.walkable
        useful[:, _MORE] = False
        useful[:, _ALWAYS] = True
        for row in np.flatnonzero(asks).tolist():
            useful[row] = answers(bytes(obs["message"][games[row]]), view.near[row], view.locked[row])
        self._allowed[games] = useful

    def _find_locked(self, games: np.ndarray, view: View) -> None:
        """Fill `view.locked`. A door is found locked by walking into it, which is never diagonal.

        Not every closed door is locked, and shopkeepers and watchmen defend doors against kicks. Before the
        locked door of a shop that is closed, a warning is written in the dust.
        """
        messages, bl = view.obs["message"], view.bl
        for row, game in enumerate(games.tolist()):
            text, locked, warned = messages[row].tobytes(), self._locked[game], self._warned[game]
            if not locked and LOCKED_DOOR not in text and CLOSED_SHOP not in text:
                continue
            level = int(bl[row, DUNGEON] * 100 + bl[row, LEVEL])
            here = int(bl[row, Y] * COLUMNS + bl[row, X])
            doors = {
                number: (level, here + dy * COLUMNS + dx)
                for number, (dx, dy) in enumerate(COMPASS)
                if glyphs.CLOSED[view.near[row, number]]
            }
            if CLOSED_SHOP in text:
                warned.add((level, here))
            if LOCKED_DOOR in text:
                locked.update(door for number, door in doors.items() if number < 4)
            if (level, here) not in warned:
                view.locked[row, [number for number, door in doors.items() if door in locked]] = True

    def _learn(self, games: np.ndarray, action: np.ndarray, view: View, asks: np.ndarray) -> None:
        """Find what the last actions were good for."""
        bl, before, near = view.bl, self._before[games], view.near
        now = np.stack(
            [bl[:, DUNGEON] * 100 + bl[:, LEVEL], bl[:, Y] * COLUMNS + bl[:, X], bl[:, TURN],
             view.state["explored"]], 1,
        )  # fmt: skip
        asked = self._asked[games]
        same_map = (now[:, [0, 3]] == before[:, [0, 3]]).all(1)
        stays = same_map & (now[:, 1] == before[:, 1])
        foes = view.foes
        same_foes = (foes == glyphs.FOES[self._near[games]]).all(1)
        futile = self._futile[games]
        age = np.where(futile.any(1), self._age[games] + 1, 0)
        futile[~same_map | (age > FADES)] = False
        futile[~(stays & same_foes)] &= _IS_TRAVEL
        struck = np.zeros(len(games), bool)  # walked into a monster: a blow, which may take no turn
        for numbers in (_MOVES, _RUNS):
            direction = action - numbers[0]
            walks = (direction >= 0) & (direction < len(COMPASS))
            aim = self._near[games, direction.clip(0, len(COMPASS) - 1)]
            struck |= walks & glyphs.MONSTERS[aim]
        judged = stays & ~asks & ~asked & ~struck & ~_NEVER_FUTILE[action]
        timeless = now[:, 2] == before[:, 2]
        # A fast hero's blow may take no turn either; a peaceful monster was only asked about.
        asked_about = (view.obs["message"][:, : len(PEACEFUL)] == _PEACEFUL).all(1)
        timeless &= (action != INDEX["fight"]) | asked_about
        vain = judged & np.where(_IS_TRAVEL[action], ~foes.any(1), timeless)
        futile[np.flatnonzero(vain), action[vain]] = True
        self._futile[games], self._age[games] = futile, np.where(vain, 0, age)
        self._before[games], self._near[games], self._asked[games] = now, near, asks


def answers(question: bytes, near: np.ndarray, locked: np.ndarray) -> np.ndarray:
    """Actions that answer an open question, bool [len(NAMES)].

    near int16 [8]: the glyphs around the hero. locked bool [8]: doors beside her that were found locked.
    """
    useful = np.zeros(len(NAMES), bool)
    if b"direction?" in question:
        useful[_MOVES] = locked if locked.any() else near != glyphs.OUTSIDE
    elif question.startswith((b"What do you want to eat?", b"What do you want to drink?")):
        useful[[_YES, _MORE]] = True
    elif PEACEFUL in question:
        useful[_NO] = True
    else:
        useful[[_YES, _NO]] = True
    return useful
