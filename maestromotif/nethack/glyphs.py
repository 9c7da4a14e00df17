"""Kinds of glyphs, as tables that are indexed by glyph: bool or uint8 [MAX_GLYPH + 1].

Numbers of map symbols are those of `enum screen_symbols` in NetHack's rm.h. The last entry of a table stands
for a square outside the map (`OUTSIDE`).
"""

from collections.abc import Collection, Iterable

import numpy as np
from nle import nethack

OUTSIDE = int(nethack.MAX_GLYPH)
INVISIBLE = int(nethack.GLYPH_INVIS_OFF)  # where an unseen monster was met
_SYMBOL = int(nethack.GLYPH_CMAP_OFF)


def of_ranges(*ranges: tuple[int, int]) -> np.ndarray:
    """Whether a glyph lies in one of the ranges (first, last + 1), bool."""
    table = np.zeros(nethack.MAX_GLYPH + 1, bool)
    for first, end in ranges:
        table[first:end] = True
    return table


def of_symbols(*numbers: int) -> np.ndarray:
    """Whether a glyph is one of these map symbols, bool."""
    return of_ranges(*((_SYMBOL + number, _SYMBOL + number + 1) for number in numbers))


STONE = _SYMBOL  # nothing is known of the square, or it is solid rock
FLOORS = of_symbols(19, 20, 21, 22, 35, 36)  # of rooms, corridors, lowered drawbridges
DOORS = of_symbols(12, 13, 14, 15, 16)  # doorways; doors, open or closed
HUNG = of_symbols(13, 14, 15, 16)  # doors, open or closed: nobody enters or leaves them diagonally
CLOSED = of_symbols(15, 16)
SOLID = of_symbols(*range(1, 12), 17, 18, 37, 38) | of_ranges((OUTSIDE, OUTSIDE + 1))  # walls, bars, trees
WATER = of_symbols(30, 31)  # sinks and fountains, to drink from
PITFALLS = of_symbols(54, 55)  # holes and trap doors, to go down by
MONSTERS = of_ranges(
    (nethack.GLYPH_MON_OFF, nethack.GLYPH_BODY_OFF), (nethack.GLYPH_RIDDEN_OFF, nethack.GLYPH_OBJ_OFF)
)
FOES = of_ranges((nethack.GLYPH_MON_OFF, nethack.GLYPH_PET_OFF), (INVISIBLE, INVISIBLE + 1))  # no pets


def of_monsters(*names: str) -> np.ndarray:
    """Whether a glyph is one of these monsters, not as a pet, bool."""
    numbers = [n for n in range(nethack.NUMMONS) if nethack.permonst(n).mname in names]
    return of_ranges(*((nethack.GLYPH_MON_OFF + n, nethack.GLYPH_MON_OFF + n + 1) for n in numbers))


# Monsters that hurt, paralyse or kill whoever strikes them with bare hands (`passive` of NetHack's uhitm.c).
# None of them hunts the hero: they are slow, or never move.
UNTOUCHABLE_NAMES = (
    "floating eye", "cockatrice", "chickatrice", "blue jelly", "brown mold", "green mold",
)  # fmt: skip
UNTOUCHABLE = of_monsters(*UNTOUCHABLE_NAMES)
BLAST = 24  # hit points at most that a gas spore costs whoever kills it: 4d6 (monst.c)
UNTOUCHABLE_OR_SPORE = UNTOUCHABLE | of_monsters("gas spore")  # with no more hit points than that
OBJECTS = of_ranges((nethack.GLYPH_OBJ_OFF, _SYMBOL), (nethack.GLYPH_BODY_OFF, nethack.GLYPH_RIDDEN_OFF))
SWALLOWED = of_ranges((nethack.GLYPH_SWALLOW_OFF, nethack.GLYPH_WARNING_OFF))
BOULDER = int(nethack.GLYPH_OBJ_OFF) + next(
    i for i in range(nethack.NUM_OBJECTS) if nethack.OBJ_NAME(nethack.objclass(i)) == "boulder"
)

SHOPKEEPER = int(np.flatnonzero(of_monsters("shopkeeper"))[0])


def of_objects(kinds: Iterable[int], but: Collection[str] = ()) -> np.ndarray:
    """Whether a glyph is an object of these classes (`nethack.FOOD_CLASS`, ...), bool; `but` these names."""
    table = np.zeros(nethack.MAX_GLYPH + 1, bool)
    wanted = set(kinds)
    for number in range(nethack.NUM_OBJECTS):
        item = nethack.objclass(number)
        kept = ord(item.oc_class) in wanted and nethack.OBJ_NAME(item) not in but
        table[nethack.GLYPH_OBJ_OFF + number] = kept
    return table


# What walking picks up, under the package's own options (`nethackrc`): tins and corpses are left.
PICKED_UP = (
    *(nethack.COIN_CLASS, nethack.WAND_CLASS, nethack.SCROLL_CLASS, nethack.POTION_CLASS),
    nethack.FOOD_CLASS,
)
LOOT_OBJECTS = of_objects(PICKED_UP, ("corpse", "tin"))

# Bits of `KINDS`, for one look at a whole map. OPEN: floor and doors.
OPEN, DOOR, MONSTER, OBJECT, LOOT = 1, 2, 4, 8, 16
KINDS = (
    (FLOORS | DOORS) * OPEN + DOORS * DOOR + MONSTERS * MONSTER + OBJECTS * OBJECT + LOOT_OBJECTS * LOOT
).astype(np.uint8)
