"""The terrain of a level for walking, and shortest paths across it.

Maps are flat: a level of 21 x 79 squares with a frame of rock around it, so that every square has eight
neighbours. Square (x, y) of NetHack's map has the number `square(x, y)`.
"""

from collections.abc import Set

import numpy as np
from nle import nethack

from maestromotif.nethack.observation import COLUMNS, ROWS

HEIGHT, WIDTH = ROWS + 2, COLUMNS + 2
SQUARES = HEIGHT * WIDTH

# Kinds of terrain. A door, open or closed, cannot be entered or left diagonally; an empty doorway can.
UNKNOWN, ROCK, FLOOR, DOOR, CLOSED_DOOR, TRAP, HOLE, DOWN, UP, ALTAR = range(10)
COVERED = 255  # a glyph that hides the terrain: a monster, an object, an effect

# The compass in the order of the actions north ... northwest: (dx, dy).
COMPASS = ((0, -1), (1, 0), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
OFFSETS = tuple(dy * WIDTH + dx for dx, dy in COMPASS)
_MOVES = tuple((direction, OFFSETS[direction], direction >= 4) for direction in range(8))

# NetHack's own words for the symbols of its maps; symbols not named here are solid.
_WORDS = {
    "doorway": FLOOR,
    "open door": DOOR,
    "lowered drawbridge": FLOOR,
    "closed door": CLOSED_DOOR,
    "staircase up": UP,
    "ladder up": UP,
    "staircase down": DOWN,
    "ladder down": DOWN,
    "altar": ALTAR,
    "hole": HOLE,
    "trap door": HOLE,
    "squeaky board": FLOOR,
} | dict.fromkeys(
    ("floor of a room", "corridor", "lit corridor", "grave", "opulent throne", "sink", "fountain", "ice"),
    FLOOR,
)
_TRAPS = (
    *("arrow trap", "dart trap", "falling rock trap", "bear trap", "land mine", "rolling boulder trap"),
    *("sleeping gas trap", "rust trap", "fire trap", "pit", "spiked pit", "teleportation trap", "web"),
    *("level teleporter", "magic portal", "statue trap", "magic trap", "anti-magic field", "polymorph trap"),
    "vibrating square",
)
_STONE, _DARK_FLOOR, _SYMBOLS = 0, 20, 65  # the first two have the same words: "dark part of a room"


def _terrain_of_glyphs() -> np.ndarray:
    """Kind of terrain by glyph, uint8 [MAX_GLYPH]."""
    table = np.full(nethack.MAX_GLYPH, COVERED, np.uint8)
    words = _WORDS | dict.fromkeys(_TRAPS, TRAP)
    for symbol in range(_SYMBOLS):
        table[nethack.GLYPH_CMAP_OFF + symbol] = words.get(nethack.symdef.from_idx(symbol).explanation, ROCK)
    table[nethack.GLYPH_CMAP_OFF + _STONE] = UNKNOWN
    table[nethack.GLYPH_CMAP_OFF + _DARK_FLOOR] = FLOOR
    return table


TERRAIN = _terrain_of_glyphs()


def square(x: int, y: int) -> int:
    return (y + 1) * WIDTH + x + 1


def remember(terrain: np.ndarray, glyphs: np.ndarray) -> bool:
    """Record what is displayed (`glyphs` int16 [21, 79]) in `terrain` uint8 [23, 81]; True if it changed.

    Covered terrain stays as it was; if it was unknown, it becomes floor.
    """
    inner = terrain[1:-1, 1:-1]
    seen = TERRAIN[glyphs]
    covered = seen == COVERED
    seen[covered] = np.maximum(inner[covered], FLOOR)
    known = np.where(seen == UNKNOWN, inner, seen)
    if np.array_equal(known, inner):
        return False
    inner[...] = known
    return True


def around(mask: np.ndarray) -> np.ndarray:
    """Squares that are in the mask or touch it, bool [23, 81] -> bool [23, 81]."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    wide = rows.copy()
    wide[:, 1:] |= rows[:, :-1]
    wide[:, :-1] |= rows[:, 1:]
    return wide


def reach(
    passable: bytes, start: int, goals: bytes, blocked: Set[tuple[int, int]]
) -> tuple[int | None, list[int], list[int]]:
    """Breadth-first search from `start` over squares that are not 0 in `passable` (2: not diagonally).

    `blocked` holds moves (square, direction) that have failed. Returns the nearest square that is not 0 in
    `goals` (None if there is none; the start counts), all squares reached, nearest first, and for every
    square of the map the direction by which it was entered (8: start, -1: not reached).
    """
    came = [-1] * SQUARES
    came[start] = 8
    met = [start]
    if goals[start]:
        return start, met, came
    for here in met:
        upright = passable[here] == 2
        for direction, offset, diagonal in _MOVES:
            there = here + offset
            kind = passable[there]
            if not kind or came[there] >= 0 or (diagonal and (upright or kind == 2)):
                continue
            if (here, direction) in blocked:
                continue
            came[there] = direction
            met.append(there)
            if goals[there]:
                return there, met, came
    return None, met, came


def way(came: list[int], goal: int) -> list[int]:
    """Directions that lead to `goal` in a search's result, last one first."""
    directions = []
    here = goal
    while came[here] != 8:
        directions.append(came[here])
        here -= OFFSETS[came[here]]
    return directions
