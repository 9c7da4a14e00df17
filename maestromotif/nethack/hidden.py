"""Where on a level something hidden is most likely to be found, for the action `search_hidden`.

A hidden door or corridor shows nothing. Dead ends, and walls with much unknown behind them, are likely
places. The place follows from the map and from where the hero has searched, so a recorded game plays again
to the same places.
"""

from collections.abc import Mapping

import numpy as np
from nle import nethack

from maestromotif.nethack import glyphs
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, ROWS, X, Y

SEARCH_TURNS = (
    15  # of one search: finds a neighbour with probability 0.9 (1/7 a turn, `dosearch0` of detect.c)
)

_HEIGHT, _WIDTH = ROWS + 2, COLUMNS + 2  # with a frame, so that every square has eight neighbours
_ROCK, _FLOOR, _DOOR = 0, 1, 2  # a door is not passed diagonally
_UNKNOWN_RADIUS = 5


def _terrain() -> np.ndarray:
    """uint8 [MAX_GLYPH + 1], by glyph. Squares that something covers count as floor, traps as rock."""
    table = np.full(nethack.MAX_GLYPH + 1, _FLOOR, np.uint8)
    table[nethack.GLYPH_CMAP_OFF : nethack.GLYPH_EXPLODE_OFF] = _ROCK
    table[glyphs.FLOORS | glyphs.of_symbols(12, *range(23, 32), 33)] = _FLOOR  # stairs, altar, ... ice
    table[glyphs.HUNG & ~glyphs.CLOSED] = _DOOR
    table[glyphs.BOULDER] = _ROCK
    return table


_TERRAIN = _terrain()
_STEPS = [(dy * _WIDTH + dx, bool(dx and dy)) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dx or dy]


class Searches:
    """How long one game's hero has searched, and where to search next."""

    def __init__(self) -> None:
        self._turns: dict[tuple[int, int], np.ndarray] = {}  # by dungeon and level: int64 [_HEIGHT, _WIDTH]
        self._target: tuple[bytes, tuple[int, int]] | None = None  # for a map: x and y

    def reset(self) -> None:
        """An episode begins."""
        self._turns.clear()
        self._target = None

    def add(self, bl: np.ndarray, turns: int, place: tuple[int, int] | None = None) -> None:
        """The hero has searched for so many turns at `place` (x, y); None: where `bl` (blstats) says."""
        x, y = place or (int(bl[X]), int(bl[Y]))
        self._level(bl)[y : y + 3, x : x + 3] += turns
        self._target = None

    def place(self, obs: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """The likeliest place that the hero can walk to, x and y; it may be her own square."""
        bl, terrain = obs["blstats"], _TERRAIN[obs["glyphs"]]
        key = terrain.tobytes() + bytes(bl[[DUNGEON, LEVEL]].astype(np.uint8))
        if self._target is None or self._target[0] != key:
            self._target = key, self._find(obs["glyphs"], terrain, bl)
        return self._target[1]

    def _level(self, bl: np.ndarray) -> np.ndarray:
        where = int(bl[DUNGEON]), int(bl[LEVEL])
        return self._turns.setdefault(where, np.zeros((_HEIGHT, _WIDTH), np.int64))

    def _find(self, shown: np.ndarray, terrain: np.ndarray, bl: np.ndarray) -> tuple[int, int]:
        """The reachable square with the highest score: much unknown, a dead end, near, searched little."""
        passable = np.zeros((_HEIGHT, _WIDTH), np.uint8)
        passable[1:-1, 1:-1] = terrain
        unknown = np.zeros((_HEIGHT, _WIDTH), bool)
        unknown[1:-1, 1:-1] = shown == glyphs.STONE
        here = (int(bl[Y]) + 1) * _WIDTH + int(bl[X]) + 1
        met = np.array(_reachable(passable.tobytes(), here))
        row, column = np.divmod(met, _WIDTH)
        distance = np.maximum(abs(row - row[0]), abs(column - column[0]))
        dead_end = _around(passable != _ROCK, 1)[row, column] <= 2  # itself and the way in
        side = 2 * _UNKNOWN_RADIUS + 1
        behind = _around(unknown, _UNKNOWN_RADIUS)[row, column] / side**2
        closed = _around(passable == _ROCK, 1)[row, column] > 0  # else there is nothing to search
        searched = self._level(bl)[row, column] / SEARCH_TURNS
        score = 8 * behind + 6 * dead_end - 0.15 * distance - 4 * searched
        best = int(np.where(closed, score, -np.inf).argmax())
        return int(column[best]) - 1, int(row[best]) - 1


def _reachable(passable: bytes, start: int) -> list[int]:
    """Squares that can be walked to from `start`, nearest first."""
    found, met = {start}, [start]
    for here in met:
        upright = passable[here] == _DOOR
        for offset, diagonal in _STEPS:
            there = here + offset
            kind = passable[there]
            if kind == _ROCK or there in found or (diagonal and (upright or kind == _DOOR)):
                continue
            found.add(there)
            met.append(there)
    return met


def _around(mask: np.ndarray, radius: int) -> np.ndarray:
    """int64 [_HEIGHT, _WIDTH]: how many squares of the mask lie within the distance."""
    sums = np.pad(mask.astype(np.int64), radius + 1).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    within: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return within[:_HEIGHT, :_WIDTH]
