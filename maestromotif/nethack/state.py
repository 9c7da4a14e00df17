"""What a program over skills may know of a game, and what happened on a step beside the message.

`Tracker` follows many games at once, from observations alone; nothing is read that a player could not know.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from nle import nethack

from maestromotif.nethack.observation import (
    COLUMNS,
    DEPTH,
    DUNGEON,
    GOLD,
    HP,
    HUNGER,
    LEVEL,
    MAX_HP,
    TURN,
    XP_LEVEL,
    X,
    Y,
)

# GameState, field by field, in the order in which programs see it.
FIELDS: dict[str, type] = {
    "step": int,  # environment steps since the episode began
    "turn": int,  # game turns (blstats)
    "depth": int,  # 1 = first level (blstats)
    "deepest": int,  # greatest depth of the episode
    "dungeon": int,  # 0 Dungeons of Doom, 2 Gnomish Mines, ... (blstats)
    "branch_depth": int,  # depth of the level with the stairs into the Mines: two ways down were seen on it,
    # or the Mines were entered from it; -1 until then
    "hp": int,
    "max_hp": int,
    "xp_level": int,
    "gold": int,
    "hunger": int,  # 0 satiated, 1 not hungry, 2 hungry, 3 weak, 4 fainting (blstats)
    "kills": int,  # "You kill ...", "You destroy ..." this episode
    "items_sold": int,  # "You sold ..." this episode
    "has_eaten_in_mines": bool,  # a meal's closing words were shown in the Gnomish Mines
    "skill": str,  # the running skill, or the one that has just ended
    "skill_steps": int,  # environment steps since it began
    "skill_turns": int,  # game turns since it began
    "skill_start_depth": int,
    "explored": int,  # squares displayed on this level, the most of this visit
    "idle_steps": int,  # environment steps since a new square was seen on this level
    "downstairs_seen": bool,  # a staircase or ladder down was displayed on this visit of the level
    "upstairs_seen": bool,
    "on_downstairs": bool,
    "on_upstairs": bool,
    "altar_in_view": bool,  # the map shows an altar
    "shopkeeper_in_view": bool,  # the map shows a shopkeeper (by glyph, so no other `@`)
    "sellable_items": int,  # stacks that are not from the starting inventory, neither food nor coins
}
SKILL_FIELDS = ("skill", "skill_steps", "skill_turns", "skill_start_depth")

# What the policy network is told beside GameState: where the remembered stairs are, in squares from the hero.
OFFSETS = ("downstairs_dx", "downstairs_dy", "upstairs_dx", "upstairs_dy")
# And for how many environment steps it has not left its square.
SENSES = (*OFFSETS, "still_steps")
TRACKED: tuple[str, ...] = (*(name for name in FIELDS if name not in SKILL_FIELDS), *SENSES)

# Codes of what happened on a step, column by column; names and number of codes.
CHANGES: dict[str, int] = {"depth": 3, "explored": 2, "downstairs": 4, "upstairs": 4}
DEPTH_SAME, DEPTH_DEEPER, DEPTH_HIGHER = 0, 1, 2
STAIRS_NOTHING, STAIRS_SEEN, STAIRS_CLOSER, STAIRS_REACHED = 0, 1, 2, 3

_CMAP = nethack.GLYPH_CMAP_OFF
_ALTAR_GLYPH = _CMAP + 27
_SHOPKEEPER_GLYPH = nethack.GLYPH_MON_OFF + next(
    i for i in range(nethack.NUMMONS) if nethack.permonst(i).mname == "shopkeeper"
)
_NOT_FOR_SALE = np.array([nethack.FOOD_CLASS, nethack.COIN_CLASS, nethack.MAXOCLASSES], np.uint8)
_MINES = 2
_KILLED = (b"You kill ", b"You destroy ")
_SOLD = b"You sold "
_ATE = (b"finish eating", b"delicious", b"hits the spot", b" tastes ", b"bland")
_FAR = 255  # a distance beyond the map


def depth_codes(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """int8 codes of column `depth` for two arrays of depths."""
    return np.where(now > before, DEPTH_DEEPER, np.where(now < before, DEPTH_HIGHER, DEPTH_SAME)).astype(
        np.int8
    )


class _Stairs:
    """Where the stairs of one direction are on each game's level, and how close the hero has come to them."""

    def __init__(self, games: int, symbol: str) -> None:
        self.symbol = ord(symbol)
        self.x, self.y, self.best = (np.zeros(games, np.int32) for _ in range(3))
        self.seen = np.zeros(games, bool)

    def forget(self, mask: np.ndarray) -> None:
        self.seen[mask] = False
        self.best[mask] = _FAR

    def arrive(self, mask: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """The hero came by these stairs and so stands on their other end."""
        self.seen[mask] = True
        self.x[mask], self.y[mask], self.best[mask] = x[mask], y[mask], 0

    def look(self, chars: np.ndarray, x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Update from the map where `mask`; returns change codes int8 [games]."""
        flat = chars.reshape(len(chars), -1)
        where = (flat == self.symbol).argmax(1)
        shown = (flat[np.arange(len(flat)), where] == self.symbol) & mask
        first = shown & ~self.seen
        self.x[first], self.y[first] = where[first] % COLUMNS, where[first] // COLUMNS
        self.seen |= first
        distance = np.where(self.seen, np.maximum(abs(self.x - x), abs(self.y - y)), _FAR)
        closer = mask & (distance < self.best)
        self.best[closer] = distance[closer]
        code = np.where(closer, np.where(distance == 0, STAIRS_REACHED, STAIRS_CLOSER), STAIRS_NOTHING)
        return np.where(first, STAIRS_SEEN, code).astype(np.int8)

    def offsets(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(self.seen, self.x - x, 0), np.where(self.seen, self.y - y, 0)


class Tracker:
    """GameState (without the skill's fields) and changes of N games.

    `state` int32 [N, len(TRACKED)] and `changes` int8 [N, len(CHANGES)] are written in place. The depth
    column of `changes` compares with the step before.
    """

    def __init__(self, state: np.ndarray, changes: np.ndarray) -> None:
        games = len(state)
        self.state, self.changes = state, changes
        self._column = {name: state[:, i] for i, name in enumerate(TRACKED)}
        self._down, self._up = _Stairs(games, ">"), _Stairs(games, "<")
        self._level = np.full((games, 2), -1, np.int64)  # dungeon number, level
        self._was_on_down, self._was_on_up = np.zeros(games, bool), np.zeros(games, bool)
        self._x, self._y = np.zeros(games, np.int64), np.zeros(games, np.int64)
        self._starting = np.zeros((games, 256), bool)

    def begin(self, game: int, obs: Mapping[str, np.ndarray]) -> None:
        """Forget everything of this game: an episode begins with the given observation `obs` (all games)."""
        self.state[game] = 0
        self._column["branch_depth"][game] = -1
        self._level[game] = -1
        self._was_on_down[game] = self._was_on_up[game] = False
        self._starting[game] = False
        self._starting[game, obs["inv_letters"][game]] = True
        only = np.zeros(len(self.state), bool)
        only[game] = True
        self._observe(obs, only)
        # Every game begins on the stairs that lead out of the dungeon.
        bl = obs["blstats"]
        self._up.arrive(only, bl[:, X], bl[:, Y])
        self._position(bl, only)
        self.changes[game] = 0

    def update(self, obs: Mapping[str, np.ndarray], texts: Sequence[bytes], moved: np.ndarray) -> None:
        """One step was played in the games of the mask `moved`; `texts` are the messages of the step [N]."""
        column = self._column
        column["step"][moved] += 1
        column["idle_steps"][moved] += 1
        column["still_steps"][moved] += 1
        for game in np.flatnonzero(moved).tolist():
            text = texts[game]
            if text:
                column["kills"][game] += sum(text.count(words) for words in _KILLED)
                column["items_sold"][game] += text.count(_SOLD)
                if obs["blstats"][game, DUNGEON] == _MINES and any(words in text for words in _ATE):
                    column["has_eaten_in_mines"][game] = 1
        self._observe(obs, moved)

    def _observe(self, obs: Mapping[str, np.ndarray], mask: np.ndarray) -> None:
        column, bl, chars, glyphs = self._column, obs["blstats"], obs["chars"], obs["glyphs"]
        x, y = bl[:, X], bl[:, Y]
        before = np.where(column["depth"] > 0, column["depth"], bl[:, DEPTH])
        for name, index in (
            ("turn", TURN),
            ("depth", DEPTH),
            ("dungeon", DUNGEON),
            ("hp", HP),
            ("max_hp", MAX_HP),
            ("xp_level", XP_LEVEL),
            ("gold", GOLD),
            ("hunger", HUNGER),
        ):
            column[name][mask] = bl[mask, index]
        depth = column["depth"]
        np.maximum(column["deepest"], depth, out=column["deepest"], where=mask)

        level = bl[:, [DUNGEON, LEVEL]]
        arrived = mask & (level != self._level).any(1)
        entered_mines = arrived & (self._level[:, 0] == 0) & (level[:, 0] == _MINES)
        column["branch_depth"][entered_mines] = before[entered_mines]
        self._level[mask] = level[mask]
        self._down.forget(arrived)
        self._up.forget(arrived)
        self._up.arrive(arrived & self._was_on_down & (depth > before), x, y)
        self._down.arrive(arrived & self._was_on_up & (depth < before), x, y)

        shown = (chars != ord(" ")).sum((1, 2), dtype=np.int32)
        new = mask & ~arrived & (shown > column["explored"])
        fresh = new | arrived
        column["explored"][fresh] = shown[fresh]
        column["idle_steps"][fresh] = 0

        self.changes[mask, 0] = depth_codes(before, depth)[mask]
        self.changes[mask, 1] = new[mask]
        self.changes[mask, 2] = self._down.look(chars, x, y, mask)[mask]
        self.changes[mask, 3] = self._up.look(chars, x, y, mask)[mask]

        two_ways_down = mask & (bl[:, DUNGEON] == 0) & ((chars == ord(">")).sum((1, 2)) >= 2)
        column["branch_depth"][two_ways_down] = depth[two_ways_down]
        column["altar_in_view"][mask] = (glyphs == _ALTAR_GLYPH).any((1, 2))[mask]
        column["shopkeeper_in_view"][mask] = (glyphs == _SHOPKEEPER_GLYPH).any((1, 2))[mask]
        carried = ~np.take_along_axis(self._starting, obs["inv_letters"].astype(np.intp), 1)
        for_sale = carried & ~np.isin(obs["inv_oclasses"], _NOT_FOR_SALE) & (obs["inv_letters"] > 0)
        column["sellable_items"][mask] = for_sale.sum(1)[mask]
        self._position(bl, mask)

    def _position(self, bl: np.ndarray, mask: np.ndarray) -> None:
        column, x, y = self._column, bl[:, X], bl[:, Y]
        column["still_steps"][mask & ((x != self._x) | (y != self._y))] = 0
        self._x[mask], self._y[mask] = x[mask], y[mask]
        for name, stairs in (("downstairs", self._down), ("upstairs", self._up)):
            dx, dy = stairs.offsets(x, y)
            column[f"{name}_seen"][mask] = stairs.seen[mask]
            column[f"on_{name}"][mask] = (stairs.seen & (dx == 0) & (dy == 0))[mask]
            column[f"{name}_dx"][mask], column[f"{name}_dy"][mask] = dx[mask], dy[mask]
        self._was_on_down[mask] = column["on_downstairs"][mask] != 0
        self._was_on_up[mask] = column["on_upstairs"][mask] != 0
