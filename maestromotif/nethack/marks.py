"""What a player remembers of a level besides its map: where it was and searched, and what is left to see.

It reads only what the map shows and which actions were played. It runs at every step of every game, in the
worker processes, for many games at once.
"""

from collections.abc import Mapping

import numpy as np
from nle import nethack

from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, ROWS, TURN, X, Y
from maestromotif.nethack.squares import CELLS

# Bits of a square's marks.
VISITED = 1  # the hero has stood there
SEARCHED = 2  # ... or beside it, and has searched there for ENOUGH turns
FRONTIER = 4  # floor, corridor or doorway next to what was never seen: `travel_unexplored` leads there
DOOR = 8  # a doorway or a door; the characters of the map are those of floor and walls
# One turn of searching finds a hidden neighbour with probability 1/7 (`dosearch0` of detect.c), 15 with 0.9.
ENOUGH = 15

SYMBOL = nethack.GLYPH_CMAP_OFF  # glyph of the first map symbol, S_stone of rm.h
STONE, DOORWAY, LAST_DOOR = SYMBOL, SYMBOL + 12, SYMBOL + 16
_FLOORS = (19, 20, 21, 22, 35, 36)  # S_room, S_darkroom, S_corr, S_litcorr, lowered drawbridges
_SEARCHES = np.array([INDEX[name] for name in ("search", "search_long", "search_hidden")])
NOTHING = -1  # for a glyph: none is known


def _table(*ranges: tuple[int, int]) -> np.ndarray:
    """Bool [MAX_GLYPH + 1], by glyph: whether it lies in one of the ranges (first, last + 1)."""
    table = np.zeros(nethack.MAX_GLYPH + 1, bool)
    for first, end in ranges:
        table[first:end] = True
    return table


_DOORS = _table((DOORWAY, LAST_DOOR + 1))
_OPEN = _DOORS | _table(*((SYMBOL + floor, SYMBOL + floor + 1) for floor in _FLOORS))
_DOOR_BITS = _DOORS.astype(np.uint8) * np.uint8(DOOR)
_AROUND = np.array([dy * COLUMNS + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])


class Marks:
    """The marks of N games' levels; they come back with the hero.

    Writes `marks` uint8 [N, 21, 79] in place. `under` int16 [N] is the glyph that the hero's square showed
    before the hero stepped on it, NOTHING if it was not seen.
    """

    def __init__(self, marks: np.ndarray) -> None:
        games = len(marks)
        self.marks = marks
        self._flat = marks.reshape(games, CELLS)
        self._kept = np.zeros((games, CELLS), np.uint8)  # VISITED and SEARCHED
        self._turns = np.zeros((games, CELLS), np.uint8)  # searched next to each square, at most 255
        self._glyphs = np.full((games, CELLS), STONE, np.int16)
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
        bl, glyphs = obs["blstats"], obs["glyphs"].reshape(-1, CELLS)
        level = bl[:, DUNGEON] * 100 + bl[:, LEVEL]
        square = bl[:, Y] * COLUMNS + bl[:, X]
        for game in np.flatnonzero(moved & (level != self._level)).tolist():
            self._change_level(game, int(level[game]))
            self.under[game] = NOTHING
        played = np.flatnonzero(moved)
        stepped = played[square[played] != self._square[played]]
        before = self._glyphs[stepped, square[stepped]]
        self.under[stepped] = np.where(before == STONE, NOTHING, before)
        self._kept[played, square[played]] |= VISITED
        stayed = square[played] == self._square[played]
        for game in played[stayed & np.isin(action[played], _SEARCHES)].tolist():
            self._search(game, int(square[game]), int(bl[game, TURN] - self._turn[game]))
        self._square[played], self._level[played] = square[played], level[played]
        self._turn[played] = bl[played, TURN]
        self._glyphs[played] = glyphs[played]
        self._flat[played] = self._kept[played] | _DOOR_BITS[glyphs[played]] | _frontier(glyphs[played])

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
        self._glyphs[game] = STONE
        self._square[game] = -1


def _frontier(glyphs: np.ndarray) -> np.ndarray:
    """uint8 [n, CELLS]: FRONTIER where `travel_unexplored` may lead (GLOC_EXPLORE of NetHack's do_name.c)."""
    blank = (glyphs == STONE).reshape(-1, ROWS, COLUMNS)
    beside = np.zeros_like(blank)
    beside[:, 1:] |= blank[:, :-1]
    beside[:, :-1] |= blank[:, 1:]
    beside[:, :, 1:] |= blank[:, :, :-1]
    beside[:, :, :-1] |= blank[:, :, 1:]
    found: np.ndarray = (beside.reshape(glyphs.shape) & _OPEN[glyphs]).astype(np.uint8) * np.uint8(FRONTIER)
    return found
