"""The explorer's errands in shops and on altars: it sells what it carries, and drops it on altars.

An item dropped on an altar shows whether it is blessed, cursed or neither. The shopkeeper makes an offer for
an item dropped in a shop. Walking over goods does not pick them up, so the agent's actions cannot buy
anything or ask for a price. But food can be eaten where it lies, and leaving by another way then is theft.
"""

from typing import NamedTuple

import numpy as np

from maestromotif.collect.explorer.memory import FOOD, SAFE, TRADER, Level, framed
from maestromotif.nethack import paths
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.glyphs import SHOPKEEPER
from maestromotif.nethack.paths import HEIGHT, OFFSETS, SQUARES, WIDTH

OFFERINGS = 12  # items dropped on the altars of one level
SALES = 16  # items dropped in the shops of one level
PATIENCE = 30  # steps of waiting for a shopkeeper to step aside
_SIZE = 12  # a shop ends at most this many squares from its keeper

_DROP, _EAT = INDEX["drop"], INDEX["eat"]
_FLOOR_ALONE = np.zeros(10, np.uint8)
_FLOOR_ALONE[paths.FLOOR] = 1
_NOWHERE = bytes(SQUARES)


class Errand(NamedTuple):
    """A path to walk, last direction first; if it is empty, an action to take here."""

    way: list[int]
    action: int | None = None


def remember_keeper(level: Level, glyphs: np.ndarray) -> None:
    """Remember where the displayed shopkeeper stands."""
    y, x = divmod(int((glyphs == SHOPKEEPER).argmax()), glyphs.shape[1])
    level.keeper = paths.square(x, y)


def shop(level: Level) -> np.ndarray:
    """Mask of the known floor of the shop: what can be reached from its keeper without a door."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    if level.keeper is not None:
        row, column = divmod(level.keeper, WIDTH)
        box = slice(max(row - _SIZE, 0), row + _SIZE + 1), slice(max(column - _SIZE, 0), column + _SIZE + 1)
        floor = np.zeros((HEIGHT, WIDTH), np.uint8)
        floor[box] = _FLOOR_ALONE[level.terrain[box]]
        _, met, _ = paths.reach(floor.tobytes(), level.keeper, _NOWHERE, frozenset())
        inside.reshape(-1)[met] = True
    return inside


def errand(level: Level, glyphs: np.ndarray, here: int, wares: int) -> Errand | None:
    """The next errand on this level with `wares` stacks that can be dropped; None if there is none."""
    passable = level.walkable(glyphs, SAFE, boulders=False)
    found = offering(level, passable, here, wares)
    if found is not None:
        return found
    found = sale(level, glyphs, passable, here, wares)
    if found is not None:
        return found
    if level.tasting and level.keeper is not None and level.patience < PATIENCE:
        return _taste(level, glyphs, passable, here)
    return None


def offering(level: Level, passable: np.ndarray, here: int, wares: int) -> Errand | None:
    """Go to an altar and drop something on it; None if there is nothing to drop or no altar to reach."""
    altars = level.terrain == paths.ALTAR
    if not wares or level.offerings >= OFFERINGS or not altars.any():
        return None
    way = level.way(altars, passable, here)
    if way is None:
        return None
    level.offerings += not way
    return Errand(way) if way else Errand([], _DROP)


def sale(level: Level, glyphs: np.ndarray, passable: np.ndarray, here: int, wares: int) -> Errand | None:
    """Go into the shop and drop something there; None if there is nothing to sell or no shop to reach."""
    if level.keeper is None or level.patience >= PATIENCE or not wares or level.sales >= SALES:
        return None
    way = into_shop(level, counters(level, glyphs), passable, here)
    if way is None:
        return None
    level.sales += not way
    return Errand(way) if way else Errand([], _DROP)


def _taste(level: Level, glyphs: np.ndarray, passable: np.ndarray, here: int) -> Errand | None:
    """Go to food in the shop and eat it there. Only once: after that the keeper blocks the way out."""
    if here == level.meal:
        level.tasting = False
        return Errand([], _EAT)
    food = shop(level) & framed(FOOD[glyphs])
    way = into_shop(level, food, passable, here) if food.any() else None
    if not way:
        return None
    end = here + sum(OFFSETS[direction] for direction in way)
    level.meal = end if food.reshape(-1)[end] else None  # otherwise the way leads to the keeper
    return Errand(way)


def into_shop(level: Level, goals: np.ndarray, passable: np.ndarray, here: int) -> list[int] | None:
    """The path to one of the goals, or else to the keeper: at the door the explorer waits until he moves."""
    way = level.way(goals, passable, here)
    if way is None:
        keeper = np.zeros((HEIGHT, WIDTH), bool)
        keeper.reshape(-1)[level.keeper] = True
        way = level.way(keeper, np.maximum(passable, keeper), here)
    return way


def counters(level: Level, glyphs: np.ndarray) -> np.ndarray:
    """Mask of the squares where items can be sold: not at the door, where the keeper stands."""
    doors = (level.terrain == paths.DOOR) | (level.terrain == paths.CLOSED_DOOR)
    at_door = np.zeros((HEIGHT, WIDTH), bool)
    at_door[1:] |= doors[:-1]
    at_door[:-1] |= doors[1:]
    at_door[:, 1:] |= doors[:, :-1]
    at_door[:, :-1] |= doors[:, 1:]
    free: np.ndarray = shop(level) & ~at_door & ~framed(TRADER[glyphs])
    return free
