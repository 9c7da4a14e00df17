"""What makes an action useless at a glance, as a table: `RULES`.

A rule reads what a game shows (`View`): its observations, its tracked state, and what a player remembers of
the level. It never reads what the player cannot know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from nle import nethack

from maestromotif.nethack import glyphs
from maestromotif.nethack.marks import FRONTIER
from maestromotif.nethack.observation import (
    COLUMNS,
    CONDITION,
    DEPTH,
    ENERGY,
    HP,
    HUNGER,
    MAX_HP,
    ROWS,
    TURN,
    X,
    Y,
)
from maestromotif.nethack.paths import COMPASS
from maestromotif.nethack.squares import CELLS

# Game turns. The timeout of prayers begins at 300, and is rarely longer than 1000 after a prayer (`pray.c`).
FIRST_PRAYER, BETWEEN_PRAYERS = 300, 1000

_WEAK, _SATIATED = 3, 0  # values of hunger
_SPELL = 5  # energy that the cheapest spell costs
_DX, _DY = (np.array([step[axis] for step in COMPASS]) for axis in (0, 1))


@dataclass(frozen=True)
class View:
    """What n games show, [n, ...], and what is remembered of them."""

    obs: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]
    marks: np.ndarray  # uint8 [n, 21, 79], see `Marks`
    kinds: np.ndarray  # uint8 [n, 21 * 79], see `Marks`
    under: np.ndarray  # int16 [n], see `Marks`
    prayed: np.ndarray  # int64 [n]: turn of the last prayer, -1 before the first
    locked: np.ndarray  # bool [n, 8]: doors beside the hero that were found locked, in the order of COMPASS
    leave: bool = False  # whether the agent may leave the dungeon

    @cached_property
    def bl(self) -> np.ndarray:
        """int64 [n, 27]."""
        return self.obs["blstats"]

    @cached_property
    def near(self) -> np.ndarray:
        """int16 [n, 8]: the glyphs around the hero, in the order of COMPASS."""
        x, y = self.bl[:, X, None] + _DX, self.bl[:, Y, None] + _DY
        inside = (x >= 0) & (x < COLUMNS) & (y >= 0) & (y < ROWS)
        flat = self.obs["glyphs"].reshape(len(x), CELLS)
        shown = np.take_along_axis(flat, (y * COLUMNS + x).clip(0, CELLS - 1), 1)
        near: np.ndarray = np.where(inside, shown, np.int16(glyphs.OUTSIDE))
        return near

    @cached_property
    def foes(self) -> np.ndarray:
        """Bool [n, 8]: monsters beside the hero that are not pets."""
        found: np.ndarray = glyphs.FOES[self.near]
        return found

    @cached_property
    def untouchable(self) -> np.ndarray:
        """Bool [n, 8]: monsters beside the hero that she must not strike."""
        weak, near = self.bl[:, HP, None] <= glyphs.BLAST, self.near
        found: np.ndarray = np.where(weak, glyphs.UNTOUCHABLE_OR_SPORE[near], glyphs.UNTOUCHABLE[near])
        return found

    @cached_property
    def prey(self) -> np.ndarray:
        """Bool [n, 8]: monsters beside the hero that she may strike, unless they turn out to be peaceful."""
        may: np.ndarray = self.foes & ~self.untouchable
        return may

    @cached_property
    def walkable(self) -> np.ndarray:
        """Bool [n, 8]: whether the hero may try to walk there."""
        near = self.near
        blind = (self.bl[:, CONDITION] & nethack.BL_MASK_BLIND) != 0
        bars = glyphs.SOLID[near] | ((near == glyphs.STONE) & ~blind[:, None])
        bars[:, 4:] |= glyphs.HUNG[near[:, 4:]] | glyphs.HUNG[self.under][:, None]
        bars[glyphs.SWALLOWED[near].any(1)] = False
        bars |= self.untouchable
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
        "away from stairs up, and on level 1, where they leave the dungeon, unless the agent may do so",
        lambda v: (v.state["on_upstairs"] != 0) & ((v.bl[:, DEPTH] > 1) | v.leave),
    ),
    "down": Rule(
        "away from stairs down", lambda v: (v.state["on_downstairs"] != 0) | glyphs.PITFALLS[v.under]
    ),
    "kick": Rule(
        "without a door beside the hero that was found locked, at the door of a shop that is closed, and in "
        "Minetown, whose watch punishes it",
        lambda v: v.locked.any(1) & (v.state["in_minetown"] == 0),
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
        lambda v: (v.marks & FRONTIER).any((1, 2)),
    ),
    "travel_door": Rule("without a door in view", lambda v: v.shows(glyphs.DOOR)),
    "travel_object": Rule("without an object in view", lambda v: v.shows(glyphs.OBJECT)),
    "travel_loot": Rule(
        "without coins, food, a potion, a scroll or a wand in view", lambda v: v.shows(glyphs.LOOT)
    ),
    "fight": Rule(
        "without a monster beside the hero that is neither a pet nor dangerous to touch",
        lambda v: v.prey.any(1),
    ),
}
