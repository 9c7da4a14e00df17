"""What the squares of a level show, for many games at once. Updates read only the squares that changed."""

import numpy as np
from nle import nethack

from maestromotif.nethack.observation import COLUMNS, ROWS

CELLS = ROWS * COLUMNS
NEAR = 3  # squares from the hero that count as near

# Kinds of squares. Places come last: the tracker remembers them even while something covers them.
BLANK, PLAIN, PLAYER, PRIEST, SHOPKEEPER, ALTAR, DOWN, UP = range(8)
KINDS, FIRST_PLACE = 8, ALTAR
PLACES = KINDS - FIRST_PLACE
_BEINGS = {
    SHOPKEEPER: ("shopkeeper",),
    PRIEST: ("aligned priest", "high priest"),
    PLAYER: (
        *("archeologist", "barbarian", "caveman", "cavewoman", "healer", "knight", "monk", "priest"),
        *("priestess", "ranger", "rogue", "samurai", "tourist", "valkyrie", "wizard"),
    ),
}
_SHOWN_AS = {ALTAR: ("altar",), DOWN: ("staircase down", "ladder down"), UP: ("staircase up", "ladder up")}
_SYMBOLS = nethack.GLYPH_EXPLODE_OFF - nethack.GLYPH_CMAP_OFF


def _kind_of_glyph() -> np.ndarray:
    """uint8 [MAX_GLYPH + 1]: the kind of square of each glyph."""
    kinds = np.full(nethack.MAX_GLYPH + 1, PLAIN, np.uint8)
    for monster in range(nethack.NUMMONS):
        for kind, names in _BEINGS.items():
            if nethack.permonst(monster).mname in names:
                kinds[nethack.GLYPH_MON_OFF + monster] = kind
    for symbol in range(_SYMBOLS):
        for kind, names in _SHOWN_AS.items():
            if nethack.symdef.from_idx(symbol).explanation in names:
                kinds[nethack.GLYPH_CMAP_OFF + symbol] = kind
    return kinds


_KIND = _kind_of_glyph()


class Maps:
    """What the squares of each game's level show."""

    def __init__(self, games: int) -> None:
        self._glyphs = np.full((games, CELLS), -1, np.int16)
        self.kinds = np.zeros((games, CELLS), np.uint8)
        # Number of squares of each kind: [N, KINDS].
        self.counts = np.zeros((games, KINDS), np.int64)
        self.counts[:, BLANK] = CELLS

    def read(self, game: int, glyphs: np.ndarray, chars: np.ndarray) -> list[tuple[int, int]]:
        """Read the whole map of a game again. Returns its places as (square, kind)."""
        self._glyphs[game] = glyphs[game].ravel()
        kinds = self.kinds[game]
        _KIND.take(self._glyphs[game], out=kinds)
        kinds[chars[game].ravel() == ord(" ")] = BLANK
        self.counts[game] = np.bincount(kinds, minlength=KINDS)
        squares = np.flatnonzero(kinds >= FIRST_PLACE)
        return list(zip(squares.tolist(), kinds[squares].tolist(), strict=True))

    def update(
        self, glyphs: np.ndarray, chars: np.ndarray, moved: np.ndarray | None
    ) -> list[tuple[int, int, int]]:
        """Read what changed in the games `moved` (None: all). Returns new places as (game, square, kind)."""
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
        places = (kinds >= FIRST_PLACE).nonzero()[0]
        if not len(places):
            return []
        square = changed[places] - game[places] * CELLS
        return list(zip(game[places].tolist(), square.tolist(), kinds[places].tolist(), strict=True))

    def near(self, game: int, kind: int, x: int, y: int) -> bool:
        """Whether a square within `NEAR` of (x, y) shows this kind."""
        level = self.kinds[game].reshape(ROWS, COLUMNS)
        around = level[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1]
        return bool((around == kind).any())
