"""Where on a level something hidden is likely to be found: for the action `search_hidden`, and the explorer.

A hidden door or corridor shows nothing. Dead ends, and walls with much unknown behind them, are likely
places. The place follows from the map and from where the hero has searched, so a recorded game plays again
to the same places. Maps have the frame of `paths`.
"""

from collections.abc import Mapping, Set

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
_WALKABLE = np.zeros(256, np.uint8)
_WALKABLE[[paths.FLOOR, paths.DOWN, paths.UP, paths.ALTAR, paths.COVERED]] = 1
_WALKABLE[paths.DOOR] = 2


def likeliest(
    passable: np.ndarray,
    unknown: np.ndarray,
    closed: np.ndarray,
    searched: np.ndarray,
    here: int,
    blocked: Set[tuple[int, int]] = frozenset(),
) -> tuple[int, list[int]]:
    """The best square that can be walked to: much unknown, a dead end, near, searched little.

    Maps are [23, 81]. passable: uint8, as for `paths.reach`, which explains `blocked`. unknown, closed: bool,
    squares that were never seen, and those that cannot be walked on or were never seen. searched: float, in
    searches. Returns the number of the square, and the directions by which each square was entered.
    """
    _, met, came = paths.reach(passable.tobytes(), here, _NOWHERE, blocked)
    row, column = np.divmod(np.array(met), WIDTH)
    distance = np.maximum(abs(row - row[0]), abs(column - column[0]))
    dead_end = _within(passable != 0, 1)[row, column] <= 2  # itself and the way in
    behind = _within(unknown, _RADIUS)[row, column] / (2 * _RADIUS + 1) ** 2
    score = 8 * behind + 6 * dead_end - 0.15 * distance - 4 * searched[row, column]
    best = int(np.where(paths.around(closed)[row, column], score, -np.inf).argmax())
    return met[best], came


class Searches:
    """How long one game's hero has searched, by level, and where to search next."""

    def __init__(self) -> None:
        self._turns: dict[tuple[int, int], np.ndarray] = {}  # by dungeon and level: int64 [23, 81]
        self._vain: dict[tuple[int, int], np.ndarray] = {}  # the same, of squares that she could not reach
        self._target: tuple[bytes, tuple[int, int]] | None = None  # for a map: x and y

    def reset(self) -> None:
        """An episode begins."""
        self._turns.clear()
        self._vain.clear()
        self._target = None

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
        terrain = np.full((HEIGHT, WIDTH), paths.ROCK, np.uint8)
        terrain[1:-1, 1:-1] = np.where(shown == glyphs.BOULDER, paths.ROCK, paths.TERRAIN[shown])
        passable = _WALKABLE[terrain]  # the same wherever the hero stands, so that she keeps to one place
        key = passable.tobytes() + bytes(bl[[DUNGEON, LEVEL]].astype(np.uint8))
        if self._target is None or self._target[0] != key:
            unknown = terrain == paths.UNKNOWN
            square, _ = likeliest(
                passable,
                unknown,
                unknown | (terrain == paths.ROCK),
                (_of_level(self._turns, bl) + _of_level(self._vain, bl)) / SEARCH_TURNS,
                paths.square(int(bl[X]), int(bl[Y])),
            )
            row, column = divmod(square, WIDTH)
            self._target = key, (column - 1, row - 1)
        return self._target[1]

    def _add(
        self, to: dict[tuple[int, int], np.ndarray], bl: np.ndarray, place: tuple[int, int], turns: int
    ) -> None:
        x, y = place
        _of_level(to, bl)[y : y + 3, x : x + 3] += turns
        self._target = None


def _of_level(maps: dict[tuple[int, int], np.ndarray], bl: np.ndarray) -> np.ndarray:
    return maps.setdefault((int(bl[DUNGEON]), int(bl[LEVEL])), np.zeros((HEIGHT, WIDTH), np.int64))


def _within(mask: np.ndarray, radius: int) -> np.ndarray:
    """int64 [23, 81]: how many squares of the mask lie within the distance."""
    sums = np.pad(mask.astype(np.int64), radius + 1).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    within: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return within[:HEIGHT, :WIDTH]
