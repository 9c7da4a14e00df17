"""What a player remembers of a level besides its map: where it was and searched, and what is left to see.

It reads only what the map shows and which actions were played. It runs at every step of every game, in the
worker processes, for many games at once.
"""

from collections.abc import Mapping

import numpy as np

from maestromotif.nethack import glyphs
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, TURN, X, Y
from maestromotif.nethack.squares import CELLS

# Bits of a square's marks.
VISITED = 1  # the hero has stood there
SEARCHED = 2  # ... or beside it, and has searched there for ENOUGH turns
FRONTIER = 4  # floor, corridor or doorway next to what was never seen: `travel_unexplored` leads there
DOOR = 8  # a doorway or a door; the characters of the map are those of floor and walls
# One turn of searching finds a hidden neighbour with probability 1/7 (`dosearch0` of detect.c), 15 with 0.9.
ENOUGH = 15

_SEARCHES = np.array([INDEX[name] for name in ("search", "search_long", "search_hidden")])
NOTHING = -1  # for a glyph: none is known


_AROUND = np.array([dy * COLUMNS + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])


class Marks:
    """The marks of N games' levels; they come back with the hero.

    Writes `marks` uint8 [N, 21, 79] in place. `kinds` uint8 [N, 21 * 79] is what the maps show, bits of
    `glyphs.KINDS`. `under` int16 [N] is the glyph that the hero's square showed before the hero stepped on
    it, NOTHING if it was not seen.
    """

    def __init__(self, marks: np.ndarray) -> None:
        games = len(marks)
        self.marks = marks
        self._flat = marks.reshape(games, CELLS)
        self._kept = np.zeros((games, CELLS), np.uint8)  # VISITED and SEARCHED
        self._turns = np.zeros((games, CELLS), np.uint8)  # searched next to each square, at most 255
        self._glyphs = np.full((games, CELLS), glyphs.STONE, np.int16)
        self.kinds = np.zeros((games, CELLS), np.uint8)
        self._level = np.full(games, -1, np.int64)
        self._square = np.zeros(games, np.int64)
        self._turn = np.zeros(games, np.int64)
        self._elsewhere: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in range(games)]
        self.under = np.full(games, NOTHING, np.int16)

    def begin(self, game: int, obs: Mapping[str, np.ndarray]) -> None:
        """An episode begins in this game."""
        self._elsewhere[game] = {}
        self._level[game] = -1
        self._kept[game] = self._turns[game] = 0
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
        played = np.flatnonzero(moved)
        stays = square[played] == self._square[played]
        stepped = played[~stays]
        before = self._glyphs[stepped, square[stepped]]
        self.under[stepped] = np.where(before == glyphs.STONE, NOTHING, before)
        self._kept[played, square[played]] |= VISITED
        for game in played[stays & np.isin(action[played], _SEARCHES)].tolist():
            self._search(game, int(square[game]), int(bl[game, TURN] - self._turn[game]))
        self._square[played], self._level[played] = square[played], level[played]
        self._turn[played] = bl[played, TURN]
        # All games at once without a copy, which is the rule; else those that were played.
        rows = slice(None) if len(played) == len(moved) else played
        self._glyphs[rows] = shown[rows]
        self.kinds[rows] = glyphs.KINDS[shown[rows]]
        self._flat[rows] = self._kept[rows] | _found(shown[rows], self.kinds[rows])

    def _search(self, game: int, square: int, turns: int) -> None:
        around = (square + _AROUND).clip(0, CELLS - 1)
        total = np.minimum(self._turns[game, around].astype(np.int64) + max(turns, 0), 255)
        self._turns[game, around] = total
        self._kept[game, around] |= np.where(total >= ENOUGH, SEARCHED, 0).astype(np.uint8)

    def _change_level(self, game: int, level: int) -> None:
        known = self._elsewhere[game]
        if self._level[game] >= 0:
            known[int(self._level[game])] = self._kept[game].copy(), self._turns[game].copy()
        self._kept[game], self._turns[game] = known.get(level, (0, 0))
        self._glyphs[game] = glyphs.STONE
        self._square[game] = -1


def _found(shown: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """uint8 [n, CELLS]: DOOR, and FRONTIER where `travel_unexplored` may lead (GLOC_EXPLORE of do_name.c).

    shown int16 [n, CELLS]: glyphs. kinds uint8 [n, CELLS]: bits of `glyphs.KINDS`. NetHack never uses the
    first row and column of a map, so that the square before and after an open one is in the same row.
    """
    marks = np.where(kinds & glyphs.DOOR, np.uint8(DOOR), np.uint8(0))
    blank, marked = (shown == glyphs.STONE).ravel(), marks.ravel()
    free = np.flatnonzero(kinds & glyphs.OPEN)
    beside = blank.take(free - 1, mode="clip") | blank.take(free + 1, mode="clip")
    beside |= blank.take(free - COLUMNS, mode="clip") | blank.take(free + COLUMNS, mode="clip")
    marked[free[beside]] |= FRONTIER
    return marks
