"""What the explorer does in shops and on altars: it sells what it carries, and drops it on altars.

A thing dropped on an altar shows whether it is blessed, cursed or neither. What is dropped in a shop is
offered for. Wares are not picked up by walking over them, so with the agent's actions nothing can be bought,
and no price be asked.
"""

from typing import NamedTuple

import numpy as np

from maestromotif.nethack.keys import INDEX
from maestromotif.preferences import maps
from maestromotif.preferences.level import SAFE, SHOPKEEPER, TRADER, Level, framed
from maestromotif.preferences.maps import HEIGHT, SQUARES, WIDTH

OFFERINGS = 12  # things dropped on the altars of one level
SALES = 16  # things dropped in the shops of one level
PATIENCE = 30  # steps of waiting for a shopkeeper to make way
_SIZE = 12  # squares from its keeper beyond which nothing belongs to a shop

_DROP = INDEX["drop"]
_FLOOR_ALONE = np.zeros(10, np.uint8)
_FLOOR_ALONE[maps.FLOOR] = 1
_NOWHERE = bytes(SQUARES)


class Errand(NamedTuple):
    """Somewhere to go, the last direction first, or, where that is empty, something to do here."""

    way: list[int]
    action: int | None = None


def remember_keeper(level: Level, glyphs: np.ndarray) -> None:
    """Note where a shopkeeper stands who is displayed."""
    y, x = divmod(int((glyphs == SHOPKEEPER).argmax()), glyphs.shape[1])
    level.keeper = maps.square(x, y)


def shop(level: Level) -> np.ndarray:
    """Mask of the shop's floor as far as it is known: what can be reached from its keeper without a door."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    if level.keeper is not None:
        row, column = divmod(level.keeper, WIDTH)
        box = slice(max(row - _SIZE, 0), row + _SIZE + 1), slice(max(column - _SIZE, 0), column + _SIZE + 1)
        floor = np.zeros((HEIGHT, WIDTH), np.uint8)
        floor[box] = _FLOOR_ALONE[level.terrain[box]]
        _, met, _ = maps.reach(floor.tobytes(), level.keeper, _NOWHERE, frozenset())
        inside.reshape(-1)[met] = True
    return inside


def errand(level: Level, glyphs: np.ndarray, here: int, wares: int) -> Errand | None:
    """What is to be done on this level with `wares` stacks that can be dropped; None: nothing."""
    if not wares:
        return None
    if level.offerings < OFFERINGS and (level.terrain == maps.ALTAR).any():
        passable = level.walkable(glyphs, SAFE, boulders=False)
        way = level.way(level.terrain == maps.ALTAR, passable, here)
        if way is not None:
            level.offerings += not way
            return Errand(way) if way else Errand([], _DROP)
    if level.keeper is not None and level.sales < SALES and level.patience < PATIENCE:
        passable = level.walkable(glyphs, SAFE, boulders=False)
        way = level.way(_counters(level, glyphs), passable, here)
        if way is None:
            way = _up_to_keeper(level, passable, here)
        if way is not None:
            level.sales += not way
            return Errand(way) if way else Errand([], _DROP)
    return None


def _counters(level: Level, glyphs: np.ndarray) -> np.ndarray:
    """Mask of the squares where something can be sold: not at the door, where the keeper stands."""
    doors = (level.terrain == maps.DOOR) | (level.terrain == maps.CLOSED_DOOR)
    at_door = np.zeros((HEIGHT, WIDTH), bool)
    at_door[1:] |= doors[:-1]
    at_door[:-1] |= doors[1:]
    at_door[:, 1:] |= doors[:, :-1]
    at_door[:, :-1] |= doors[:, 1:]
    free: np.ndarray = shop(level) & ~at_door & ~framed(TRADER[glyphs])
    return free


def _up_to_keeper(level: Level, passable: np.ndarray, here: int) -> list[int] | None:
    """The way to the keeper, who stands inside the door until a customer is on the threshold."""
    keeper = np.zeros((HEIGHT, WIDTH), bool)
    keeper.reshape(-1)[level.keeper] = True
    return level.way(keeper, np.maximum(passable, keeper), here)
