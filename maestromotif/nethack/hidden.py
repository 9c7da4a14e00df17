"""Where on a level something hidden is likely to be found: for the action `search_hidden`, and the explorer.

A hidden door or corridor shows nothing. Dead ends, and walls with much unknown behind them, are likely
places. The place follows from the map and from where the hero has searched, so a recorded game plays again
to the same places. Maps have the frame of `paths`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maestromotif.nethack import glyphs, paths
from maestromotif.nethack.observation import DUNGEON, LEVEL, X, Y
from maestromotif.nethack.paths import HEIGHT, SQUARES, WIDTH

# Turns of one search. A turn finds a hidden neighbour with probability 1/7 (`dosearch0` of NetHack's
# detect.c), so 15 turns find it with 0.9.
SEARCH_TURNS = 15

_RADIUS = 5  # squares around a place in which the unknown counts
_NOWHERE = bytes(SQUARES)
# Kind of terrain (`paths`) -> for `paths.reach`: 1 can be walked on, 2 not diagonally.
WALKABLE = np.zeros(256, np.uint8)
WALKABLE[[paths.FLOOR, paths.DOWN, paths.UP, paths.ALTAR, paths.COVERED]] = 1
WALKABLE[paths.DOOR] = 2


def shown_terrain(shown: np.ndarray) -> np.ndarray:
    """Kind of terrain of a map's glyphs, int16 [21, 79] -> uint8 [23, 81]; a boulder is rock."""
    terrain = np.full((HEIGHT, WIDTH), paths.ROCK, np.uint8)
    terrain[1:-1, 1:-1] = np.where(shown == glyphs.BOULDER, paths.ROCK, paths.TERRAIN[shown])
    return terrain


class Places(NamedTuple):
    """Squares that can be walked to, and what the map says of them; n of them, nearest first."""

    row: np.ndarray  # int64 [n], with the frame
    column: np.ndarray  # int64 [n]
    likely: np.ndarray  # float64 [n]: the score without distance and searches; -inf if nothing can be hidden

    def best(self, here: int, searched: np.ndarray) -> int:
        """The number of the best square for a hero at `here`: likely, near, and searched little.

        searched: float [23, 81], in searches.
        """
        row, column = divmod(here, WIDTH)
        distance = np.maximum(abs(self.row - row), abs(self.column - column))
        score = self.likely - 0.15 * distance - 4 * searched[self.row, self.column]
        best = int(score.argmax())
        return int(self.row[best]) * WIDTH + int(self.column[best])


def places(met: Sequence[int], passable: np.ndarray, unknown: np.ndarray, closed: np.ndarray) -> Places:
    """What the map says of the squares `met`: dead ends and much unknown around are likely.

    Maps are [23, 81]. passable: uint8, as for `paths.reach`, which gives `met`. unknown: bool, squares that
    were never seen. closed: bool, those, and squares that cannot be walked on.
    """
    row, column = np.divmod(np.array(met), WIDTH)
    dead_end = _within(passable != 0, 1)[row, column] <= 2  # itself and the way in
    behind = _within(unknown, _RADIUS)[row, column] / (2 * _RADIUS + 1) ** 2
    likely = np.where(paths.around(closed)[row, column], 8 * behind + 6 * dead_end, -np.inf)
    return Places(row, column, likely)


class Searches:
    """How long one game's hero has searched, by level, and where to search next."""

    def __init__(self) -> None:
        self._turns: dict[tuple[int, int], np.ndarray] = {}  # by dungeon and level: int64 [23, 81]
        self._vain: dict[tuple[int, int], np.ndarray] = {}  # the same, of squares that she could not reach
        # Of the map that was last looked at: it, the squares that she can walk to, and the best of them.
        self._map = b""
        self._places: Places | None = None
        self._best: int | None = None

    def reset(self) -> None:
        """An episode begins."""
        self._turns.clear()
        self._vain.clear()
        self._map, self._places, self._best = b"", None, None

    def turns(self, bl: np.ndarray) -> np.ndarray:
        """Turns searched beside each square of the level in `bl` (blstats), int64 [21, 79]."""
        return _of_level(self._turns, bl)[1:-1, 1:-1]

    def add(self, bl: np.ndarray, turns: int) -> None:
        """The hero has searched for so many turns where `bl` (blstats) says."""
        self._add(self._turns, bl, (int(bl[X]), int(bl[Y])), turns)

    def give_up(self, bl: np.ndarray, place: tuple[int, int]) -> None:
        """Something is in the way to this place (x, y), as if it had been searched once."""
        self._add(self._vain, bl, place, SEARCH_TURNS)

    def place(self, obs: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """The likeliest place that the hero can walk to, x and y; it may be her own square."""
        bl, shown = obs["blstats"], obs["glyphs"]
        here = paths.square(int(bl[X]), int(bl[Y]))
        terrain = shown_terrain(shown)
        passable = WALKABLE[terrain]  # the same wherever the hero stands, so that she keeps to one place
        seen = passable.tobytes() + bytes(bl[[DUNGEON, LEVEL]].astype(np.uint8))
        if self._places is None or self._map != seen:
            unknown = terrain == paths.UNKNOWN
            _, met, _ = paths.reach(passable.tobytes(), here, _NOWHERE, frozenset())
            self._map, self._best = seen, None
            self._places = places(met, passable, unknown, unknown | (terrain == paths.ROCK))
        if self._best is None:
            searched = (_of_level(self._turns, bl) + _of_level(self._vain, bl)) / SEARCH_TURNS
            self._best = self._places.best(here, searched)
        row, column = divmod(self._best, WIDTH)
        return column - 1, row - 1

    def _add(
        self, to: dict[tuple[int, int], np.ndarray], bl: np.ndarray, place: tuple[int, int], turns: int
    ) -> None:
        x, y = place
        _of_level(to, bl)[y : y + 3, x : x + 3] += turns
        self._best = None


def _of_level(maps: dict[tuple[int, int], np.ndarray], bl: np.ndarray) -> np.ndarray:
    return maps.setdefault((int(bl[DUNGEON]), int(bl[LEVEL])), np.zeros((HEIGHT, WIDTH), np.int64))


def _within(mask: np.ndarray, radius: int) -> np.ndarray:
    """int64 [23, 81]: how many squares of the mask lie within the distance."""
    # The sum over a square is a sum and a difference of corners of the running sums; np.pad would be slower.
    frame = radius + 1
    sums = np.zeros((HEIGHT + 2 * frame, WIDTH + 2 * frame), np.int64)
    sums[frame:-frame, frame:-frame] = mask
    sums = sums.cumsum(0).cumsum(1)
    side = 2 * radius + 1
    within: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return within[:HEIGHT, :WIDTH]
