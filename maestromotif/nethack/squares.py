"""What the squares of a level show, for many games at once. Updates read only the squares that changed."""

import numpy as np
from nle import nethack

from maestromotif.nethack import glyphs
from maestromotif.nethack.observation import COLUMNS, ROWS

CELLS = ROWS * COLUMNS
NEAR = 3  # squares from the hero that count as near

# Kinds of squares. Places come last: the tracker remembers them even while something covers them.
# The kinds from PRIEST to ALTAR are signs by which a player may know the level.
BLANK, PLAIN, PLAYER, PRIEST, FOUNTAIN, CENTAUR, ORACLE, WATCH, SHOPKEEPER, ALTAR, DOWN, UP = range(12)
KINDS, FIRST_PLACE = 12, ALTAR
PLACES = KINDS - FIRST_PLACE
_BEINGS = {
    ORACLE: ("Oracle",),
    WATCH: ("watchman", "watch captain"),
    SHOPKEEPER: ("shopkeeper",),
    PRIEST: ("aligned priest", "high priest"),
    PLAYER: (
        *("archeologist", "barbarian", "caveman", "cavewoman", "healer", "knight", "monk", "priest"),
        *("priestess", "ranger", "rogue", "samurai", "tourist", "valkyrie", "wizard"),
    ),
}
_STATUES = {CENTAUR: ("plains centaur", "forest centaur", "mountain centaur")}
_SHOWN_AS = {
    FOUNTAIN: ("fountain",),
    ALTAR: ("altar",),
    DOWN: ("staircase down", "ladder down"),
    UP: ("staircase up", "ladder up"),
}
_MIMICS = ("small mimic", "large mimic", "giant mimic")
_SYMBOLS = nethack.GLYPH_EXPLODE_OFF - nethack.GLYPH_CMAP_OFF


def _kind_of_glyph() -> np.ndarray:
    """uint8 [MAX_GLYPH + 1]: the kind of square of each glyph."""
    kinds = np.full(nethack.MAX_GLYPH + 1, PLAIN, np.uint8)
    for monster in range(nethack.NUMMONS):
        for kind, names in _BEINGS.items():
            if nethack.permonst(monster).mname in names:
                kinds[nethack.GLYPH_MON_OFF + monster] = kind
        if nethack.permonst(monster).mname in _STATUES[CENTAUR]:
            kinds[nethack.GLYPH_STATUE_OFF + monster] = CENTAUR
    for symbol in range(_SYMBOLS):
        for kind, names in _SHOWN_AS.items():
            if nethack.symdef.from_idx(symbol).explanation in names:
                kinds[nethack.GLYPH_CMAP_OFF + symbol] = kind
    return kinds


def _not_stairs() -> np.ndarray:
    """Bool [MAX_GLYPH + 1]: glyphs of squares that have no stairs, even if they looked like stairs before.

    A mimic may look like stairs. Then its own glyph is shown, and after it the floor.
    """
    found: np.ndarray = glyphs.FLOORS | glyphs.DOORS
    for monster in range(nethack.NUMMONS):
        if nethack.permonst(monster).mname in _MIMICS:
            found[nethack.GLYPH_MON_OFF + monster] = True
    return found


_KIND = _kind_of_glyph()
_NO_STAIRS = _not_stairs()


class Maps:
    """What the squares of each game's level show."""

    def __init__(self, games: int) -> None:
        self._glyphs = np.full((games, CELLS), -1, np.int16)
        self.kinds = np.zeros((games, CELLS), np.uint8)
        # Number of squares of each kind: [N, KINDS].
        self.counts = np.zeros((games, KINDS), np.int64)
        self.counts[:, BLANK] = CELLS
        # The stairs that were shown on each square on this visit to the level: DOWN, UP or 0.
        self._stairs = np.zeros((games, CELLS), np.uint8)
        self.gone: list[tuple[int, int, int]] = []  # what `update` found to be no stairs: game, square, kind

    def remember(self, game: int, square: int, kind: int) -> None:
        """Stairs are known to be on a square that the hero covers."""
        self._stairs[game, square] = kind

    def stairs(self, game: int, kind: int) -> list[int]:
        """The squares on which stairs of this kind were shown on this visit, in the order of the map."""
        found: list[int] = np.flatnonzero(self._stairs[game] == kind).tolist()
        return found

    def door(self, game: int, square: int) -> bool:
        """Whether the map shows a door or doorway there; ask before `update`, for the hero covers it."""
        return bool(glyphs.DOORS[self._glyphs[game, square]])

    def bare(self, game: int, square: int) -> bool:
        """Whether the map shows that a square has no stairs."""
        return bool(_NO_STAIRS[self._glyphs[game, square]] and self.kinds[game, square] != BLANK)

    def read(self, game: int, glyphs: np.ndarray, chars: np.ndarray) -> list[tuple[int, int]]:
        """Read the whole map of a game again. Returns its places as (square, kind)."""
        self._glyphs[game] = glyphs[game].ravel()
        kinds = self.kinds[game]
        _KIND.take(self._glyphs[game], out=kinds)
        kinds[chars[game].ravel() == ord(" ")] = BLANK
        self.counts[game] = np.bincount(kinds, minlength=KINDS)
        self._stairs[game] = np.where(kinds > ALTAR, kinds, 0)
        squares = np.flatnonzero(kinds >= FIRST_PLACE)
        return list(zip(squares.tolist(), kinds[squares].tolist(), strict=True))

    def update(
        self, glyphs: np.ndarray, chars: np.ndarray, moved: np.ndarray | None
    ) -> list[tuple[int, int, int]]:
        """Read what changed in the games `moved` (None: all). Returns new places as (game, square, kind).

        Afterwards `gone` lists squares that looked like stairs on this visit and are none.
        """
        self.gone = []
        changed = (glyphs.reshape(-1, CELLS) != self._glyphs).ravel().nonzero()[0]
        game = changed // CELLS
        if moved is not None:
            changed, game = changed[moved[game]], game[moved[game]]
        if not len(changed):
            return []
        shown = glyphs.ravel().take(changed)
        kinds = _KIND.take(shown)
        kinds[chars.ravel().take(changed) == ord(" ")] = BLANK
        games, flat, row = len(glyphs), self.kinds.ravel(), game * KINDS
        delta = np.bincount(row + kinds, minlength=games * KINDS)
        delta -= np.bincount(row + flat.take(changed), minlength=games * KINDS)
        self.counts += delta.reshape(games, KINDS)
        self._glyphs.ravel()[changed] = shown
        flat[changed] = kinds
        stairs = self._stairs.ravel()
        was = stairs.take(changed)
        if was.any():
            for i in ((was > 0) & _NO_STAIRS.take(shown) & (kinds != BLANK)).nonzero()[0].tolist():
                stairs[changed[i]] = 0
                self.gone.append((int(game[i]), int(changed[i] - game[i] * CELLS), int(was[i])))
        places = (kinds >= FIRST_PLACE).nonzero()[0]
        if not len(places):
            return []
        stairs[changed[places]] = np.where(kinds[places] > ALTAR, kinds[places], 0)
        square = changed[places] - game[places] * CELLS
        return list(zip(game[places].tolist(), square.tolist(), kinds[places].tolist(), strict=True))

    def near(self, game: int, kind: int, x: int, y: int) -> bool:
        """Whether a square within `NEAR` of (x, y) shows this kind."""
        level = self.kinds[game].reshape(ROWS, COLUMNS)
        around = level[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1]
        return bool((around == kind).any())
