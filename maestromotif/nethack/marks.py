"""What a player remembers of a level besides its map: where it was and searched, and what is left to see.

It reads only what the map shows and which actions were played. It runs at every step of every game, in the
worker processes, for many games at once.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from maestromotif.nethack import glyphs
from maestromotif.nethack.actions import INDEX, SEARCH_HIDDEN, SEARCHES
from maestromotif.nethack.hidden import SEARCH_TURNS, Searches
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, X, Y
from maestromotif.nethack.squares import CELLS

# Bits of a square's marks.
VISITED = 1  # the hero has stood there
SEARCHED = 2  # ... or beside it, and has searched there for SEARCH_TURNS
FRONTIER = 4  # floor, corridor or doorway next to what was never seen: `travel_unexplored` leads there
DOOR = 8  # a doorway or a door; the characters of the map are those of floor and walls

_SEARCHES = np.array([*SEARCHES, SEARCH_HIDDEN])
NOTHING = -1  # for a glyph: none is known


class Marks:
    """The marks of N games' levels; they come back with the hero.

    Writes `marks` uint8 [N, 21, 79] in place. `kinds` uint8 [N, 21 * 79] is what the maps show, bits of
    `glyphs.KINDS`. `under` int16 [N] is the glyph that the hero's square showed before the hero stepped on
    it, NOTHING if it was not seen. searches: of the N games.
    """

    def __init__(self, marks: np.ndarray, searches: Sequence[Searches]) -> None:
        games, self._searches = len(marks), searches
        self.marks = marks
        self._flat = marks.reshape(games, CELLS)
        self._kept = np.zeros((games, CELLS), np.uint8)  # VISITED and SEARCHED
        self._glyphs = np.full((games, CELLS), glyphs.STONE, np.int16)
        self.kinds = np.zeros((games, CELLS), np.uint8)
        self._level = np.full(games, -1, np.int64)
        self._square = np.zeros(games, np.int64)
        self._elsewhere: list[dict[int, np.ndarray]] = [{} for _ in range(games)]
        self.under = np.full(games, NOTHING, np.int16)

    def begin(self, game: int, obs: Mapping[str, np.ndarray]) -> None:
        """An episode begins in this game."""
        self._elsewhere[game] = {}
        self._level[game] = -1
        self._kept[game] = 0
        only = np.zeros(len(self._level), bool)
        only[game] = True
        self.update(obs, np.full(len(only), INDEX["more"]), only)

    def update(self, obs: Mapping[str, np.ndarray], action: np.ndarray, moved: np.ndarray) -> None:
        """Take in what the actions int [N] led to in the games bool [N] `moved`; leave the others alone."""
        bl, shown = obs["blstats"], obs["glyphs"].reshape(-1, CELLS)
        level = bl[:, DUNGEON] * 100 + bl[:, LEVEL]
        square = bl[:, Y] * COLUMNS + bl[:, X]
        for game in np.flatnonzero(moved & (level != self._level)).tolist():
            self._change_level(game, int(level[game]))
            self._search(game, bl[game])
        played = np.flatnonzero(moved)
        stays = square[played] == self._square[played]
        stepped = played[~stays]
        before = self._glyphs[stepped, square[stepped]]
        self.under[stepped] = np.where(before == glyphs.STONE, NOTHING, before)
        self._kept[played, square[played]] |= VISITED
        for game in played[np.isin(action[played], _SEARCHES)].tolist():
            self._search(game, bl[game])
        self._square[played], self._level[played] = square[played], level[played]
        # All games at once without a copy, which is the rule; else those that were played.
        rows = slice(None) if len(played) == len(moved) else played
        self._glyphs[rows] = shown[rows]
        self.kinds[rows] = glyphs.KINDS[shown[rows]]
        self._flat[rows] = self._kept[rows] | _found(shown[rows], self.kinds[rows])

    def _search(self, game: int, bl: np.ndarray) -> None:
        searched = self._searches[game].turns(bl).ravel() >= SEARCH_TURNS
        self._kept[game] = (self._kept[game] & VISITED) | np.where(searched, np.uint8(SEARCHED), np.uint8(0))

    def _change_level(self, game: int, level: int) -> None:
        known = self._elsewhere[game]
        if self._level[game] >= 0:
            known[int(self._level[game])] = self._kept[game].copy()
        self._kept[game] = known.get(level, 0)
        self._glyphs[game] = glyphs.STONE
        self._square[game] = -1


def _found(shown: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """uint8 [n, CELLS]: marks DOOR and FRONTIER. kinds uint8 [n, CELLS]: bits of `glyphs.KINDS`."""
    marks = np.where(kinds & glyphs.DOOR, np.uint8(DOOR), np.uint8(0))
    marks.ravel()[frontier(shown, kinds)] |= FRONTIER
    return marks


def frontier(shown: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Flat squares, int64, to which `travel_unexplored` may lead (GLOC_EXPLORE of NetHack's do_name.c).

    shown int16 [n, CELLS]: glyphs. kinds uint8 [n, CELLS]: bits of `glyphs.KINDS`. NetHack never uses the
    first row and column of a map, so that the square before and after an open one is in the same row.
    """
    blank, free = (shown == glyphs.STONE).ravel(), np.flatnonzero(kinds & glyphs.OPEN)
    beside = blank.take(free - 1, mode="clip") | blank.take(free + 1, mode="clip")
    beside |= blank.take(free - COLUMNS, mode="clip") | blank.take(free + COLUMNS, mode="clip")
    found: np.ndarray = free[beside]
    return found
