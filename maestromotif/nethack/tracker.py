"""Keeps GameState, changes and events of games up to date.

`Tracker` follows many games at once. It reads only observations, so it knows nothing that a player could not
know. It runs at every step of every game, so it looks only at the map squares that changed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from nle import nethack

from maestromotif.nethack import events
from maestromotif.nethack.events import COLUMN, EVENTS, Said
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, XP_LEVEL, X, Y
from maestromotif.nethack.prices import base_prices
from maestromotif.nethack.squares import (
    ALTAR,
    BLANK,
    CELLS,
    DOWN,
    FIRST_PLACE,
    NEAR,
    PLACES,
    PLAYER,
    PRIEST,
    SHOPKEEPER,
    UP,
    Maps,
)
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE, FIELDS, SKILL_FIELDS

# What the policy network sees besides GameState: offsets from the hero to the remembered stairs, in squares.
OFFSETS = ("downstairs_dx", "downstairs_dy", "upstairs_dx", "upstairs_dy")
# ... and for how many environment steps the hero has stayed on its square.
SENSES = (*OFFSETS, "still_steps")
TRACKED: tuple[str, ...] = (*(name for name in FIELDS if name not in SKILL_FIELDS), *SENSES)

_EXPLORED, _STAIRS = (tuple(CHANGES).index(name) for name in ("explored", "downstairs"))  # upstairs is next
DEEPER, HIGHER = (CHANGES["depth"].codes[name] for name in ("deeper", "higher"))
# Stairs up have the codes of stairs down. `_approach` adds 1 to "closer" for "reached".
_SEEN, _CLOSER = (CHANGES["downstairs"].codes[name] for name in ("seen", "closer"))

# Changes of a numeric field of GameState: the column of the change, and of the field.
_COMPARED = tuple(
    (column, TRACKED.index(change.field))
    for column, change in enumerate(CHANGES.values())
    if change.field is not None
)
# Events that are a change: the column of the event, and the column and code of the change.
_ARE_CHANGES = tuple(
    (COLUMN[name], tuple(CHANGES).index(event.change[0]), CHANGES[event.change[0]].codes[event.change[1]])
    for name, event in EVENTS.items()
    if event.change is not None
)
_AT = {name: column for column, name in enumerate(TRACKED)}
_STATUS = {name: field.column for name, field in FIELDS.items() if field.column is not None}
_STATUS_AT = np.array([_AT[name] for name in _STATUS])
_STATUS_FROM = np.array([*_STATUS.values()])
# Fields that count events per episode: their column, and the columns of the events.
_TALLIES = tuple(
    (_AT[name], tuple(COLUMN[event] for event in field.events))
    for name, field in FIELDS.items()
    if field.events
)
_MINES = 2
_FAR = 1000  # coordinate of a place that was not seen
_SHREWD = 15  # experience level from which shopkeepers no longer cheat Tourists
_NOT_FOR_SALE = (nethack.FOOD_CLASS, nethack.COIN_CLASS, nethack.MAXOCLASSES)

_TOURIST = nethack.GLYPH_MON_OFF + next(
    monster for monster in range(nethack.NUMMONS) if nethack.permonst(monster).mname == "tourist"
)


def depth_codes(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """int8 [N]: codes of the change `depth` from depths `before` to depths `now`, both [N]."""
    return np.where(now > before, DEEPER, np.where(now < before, HIGHER, 0)).astype(np.int8)


class Tracker:
    """GameState (without the skill fields), changes and events of N games.

    Writes `state` int32 [N, len(TRACKED)], `changes` int8 [N, len(CHANGES)] and `events` int16
    [N, len(EVENTS)] in place, in the rows of the games that were played. The depth column of `changes`
    compares with the previous step.
    """

    def __init__(self, state: np.ndarray, changes: np.ndarray, events: np.ndarray) -> None:
        games = len(state)
        self.state, self.changes, self.events = state, changes, events
        self._column = {name: state[:, i] for i, name in enumerate(TRACKED)}
        self._maps = Maps(games)
        # The places of a level (altar, stairs down, stairs up) where the map first showed them on this visit:
        # x and y of each, and the closest distance that the hero has reached.
        self._known = np.zeros((2, PLACES, games), bool)
        self._seen, self._on = self._known
        self._place = np.full((2, PLACES, games), _FAR)
        self._nearest = np.full((PLACES, games), COLUMNS)
        self._level = np.full(games, -1, np.int64)  # 100 x dungeon number + level
        self._hero = np.zeros((2, games), np.int64)  # x and y
        self._corner = np.arange(games) * CELLS  # index of the first square of each game
        self._starting = [frozenset[int]() for _ in range(games)]
        self._letters, self._classes = b"", b""
        self._inventory: list[tuple[bytes, bytes]] = [(b"", b"")] * games
        # Squares of all stairs down and up shown so far, by level; games whose level has several of a kind.
        self._stairs: list[dict[tuple[int, int], set[int]]] = [{} for _ in range(games)]
        self._several: set[int] = set()
        self._doors: dict[
            int, tuple[int, ...]
        ] = {}  # game -> door of the shop it is in: x, y, direction inwards
        self._tourist = np.zeros(games, bool)
        # Arrays that must not change in games that are not played, with the game axis first.
        self._memory = (
            *(state, changes, events, self._seen.T, self._place.T, self._nearest.T),
            *(self._level, self._hero.T),
        )

    def begin(self, game: int, obs: Mapping[str, np.ndarray], starting: Iterable[int] | None = None) -> None:
        """Reset this game: an episode begins with the observation `obs` (of all games).

        starting: inventory letters of the items that count as starting inventory; default: all items.
        """
        self._level[game] = -1
        self._stairs[game] = {}
        letters = obs["inv_letters"][game].tolist() if starting is None else starting
        self._starting[game] = frozenset(letters)
        self._inventory[game], self._letters = (b"", b""), b""
        x, y = obs["blstats"][game, [X, Y]].tolist()
        self._tourist[game] = obs["glyphs"][game, y, x] == _TOURIST
        self.state[game] = 0
        self._column["branch_depth"][game] = -1
        only = np.zeros(len(self.state), bool)
        only[game] = True
        self._observe(obs, {}, only)
        for name in ("step", "idle_steps", "still_steps"):
            self._column[name][game] = 0
        self.changes[game] = 0
        self.events[game] = 0

    def update(self, obs: Mapping[str, np.ndarray], texts: Sequence[bytes], moved: np.ndarray) -> None:
        """Take in one step of the games in the mask `moved`; `texts` [N] are the messages of the step."""
        played = moved.tolist()
        said = {game: events.read(text) for game, text in enumerate(texts) if text and played[game]}
        self._observe(obs, said, moved)

    def over(self, game: int, text: bytes) -> None:
        """Take in the text of a game that ended on this step. Only its events change, not its state."""
        self.events[game] = events.read(text).counts

    def _observe(self, obs: Mapping[str, np.ndarray], said: Mapping[int, Said], moved: np.ndarray) -> None:
        """Compute all games, which is faster, then restore the games that were not played."""
        playing = np.count_nonzero(moved)
        if not playing:
            return
        others = None if playing == len(moved) else (~moved).nonzero()[0]
        kept = [] if others is None else [array[others] for array in self._memory]
        column, bl, changes, happened = self._column, obs["blstats"], self.changes, self.events
        hero = bl[:, X : Y + 1].T
        before, level_before = column["depth"].copy(), column["xp_level"].copy()
        numbers_before = [self.state[:, number].copy() for _, number in _COMPARED]
        for name in ("step", "idle_steps", "still_steps"):
            column[name] += 1
        stays = hero == self._hero
        column["still_steps"] *= stays[0] & stays[1]
        self.state[:, _STATUS_AT] = bl.take(_STATUS_FROM, axis=1)
        depth = column["depth"]

        level = bl[:, DUNGEON] * 100 + bl[:, LEVEL]
        arrived = level != self._level
        if others is not None:
            arrived &= moved
        first: list[tuple[int, int]] = []  # places that came into view: game, place
        changes[:] = 0
        for (place, number), old in zip(_COMPARED, numbers_before, strict=True):
            new = self.state[:, number]
            changes[:, place] = np.where(new > old, 1, np.where(new < old, 2, 0))
        happened[:] = 0
        arrivals = arrived.nonzero()[0].tolist()
        for game in arrivals:
            for square, kind in self._arrive(game, obs, int(before[game])):
                self._found(game, square, kind, first)
        for game, square, kind in self._maps.update(
            obs["glyphs"], obs["chars"], None if others is None else moved
        ):
            self._found(game, square, kind, first)

        explored = column["explored"]
        shown = CELLS - self._maps.counts[:, BLANK]
        more = shown > explored
        changes[:, _EXPLORED] = more
        if arrivals:
            np.maximum(column["deepest"], depth, out=column["deepest"])
            more |= arrived
            changes[arrivals, DEPTH_CHANGE] = depth_codes(before, depth)[arrivals]
            changes[arrivals, _EXPLORED] = 0
        for event, place, code in _ARE_CHANGES:
            happened[:, event] = changes[:, place] == code
        np.copyto(explored, shown, where=more, casting="unsafe")
        column["idle_steps"][more] = 0
        changes[:, _STAIRS : _STAIRS + 2] = self._approach(hero)[1:].T
        for game, place in first:
            if place:
                changes[game, _STAIRS + place - 1] = _SEEN

        if column["xp_level"].tobytes() != level_before.tobytes():
            happened[:, COLUMN["gained_level"]] = np.maximum(column["xp_level"] - level_before, 0)
        open_offers = {game: int(column["offer"][game]) for game in column["offer"].nonzero()[0].tolist()}
        for game in open_offers:
            column["offer"][game] = 0
        for game, words in said.items():
            if words is not events.NOTHING:
                self._hear(game, words, bl[game], open_offers.get(game, 0), game in arrivals)
        if self._doors:
            self._leave_shops(bl, moved)
        self._beings(hero)
        self._carry(obs, moved)
        self._hero[:] = hero
        if others is not None:
            for array, rows in zip(self._memory, kept, strict=True):
                array[others] = rows

    def _arrive(self, game: int, obs: Mapping[str, np.ndarray], before: int) -> list[tuple[int, int]]:
        """The hero arrived on another level. Returns the places that its map shows."""
        column = self._column
        x, y, dungeon, level = obs["blstats"][game, [X, Y, DUNGEON, LEVEL]].tolist()
        depth, came_from = int(column["depth"][game]), int(self._level[game])
        self._level[game] = 100 * dungeon + level
        self._seen[:, game] = False
        self._place[:, :, game], self._nearest[:, game] = _FAR, COLUMNS
        # The hero arrives on the other end of the stairs it took. Every episode begins on stairs up.
        if came_from < 0 or (column["on_downstairs"][game] and depth > before):
            self._stand_on(game, UP, x, y)
        elif column["on_upstairs"][game] and depth < before:
            self._stand_on(game, DOWN, x, y)
        if 0 <= came_from < 100 and dungeon == _MINES:
            column["branch_depth"][game] = before
        elif came_from == 100 * _MINES + 1 and dungeon == 0 and depth == before - 1:
            column["branch_depth"][game] = depth
        self._several.discard(game)
        if max(len(self._stairs[game].get((kind, 100 * dungeon + level), ())) for kind in (DOWN, UP)) > 1:
            self._several.add(game)
        self._doors.pop(game, None)
        column["in_shop"][game] = column["unpaid"][game] = 0
        return self._maps.read(game, obs["glyphs"], obs["chars"])

    def _stand_on(self, game: int, kind: int, x: int, y: int) -> None:
        place = kind - FIRST_PLACE
        self._seen[place, game] = True
        self._place[:, place, game] = x, y
        self._nearest[place, game] = 0
        self._remember(game, kind, y * COLUMNS + x)

    def _found(self, game: int, square: int, kind: int, first: list[tuple[int, int]]) -> None:
        """The map shows a place. Append it to `first` if it is the first of its kind on this visit."""
        if kind != ALTAR:
            self._remember(game, kind, square)
        place = kind - FIRST_PLACE
        if not self._seen[place, game]:
            self._seen[place, game] = True
            self._place[:, place, game] = square % COLUMNS, square // COLUMNS
            first.append((game, place))

    def _remember(self, game: int, kind: int, square: int) -> None:
        """Remember stairs until the episode ends."""
        level = int(self._level[game])
        known = self._stairs[game].setdefault((kind, level), set())
        known.add(square)
        if len(known) > 1:
            self._several.add(game)
            if kind == DOWN and level < 100:  # one of two ways down from here leads into the Mines
                self._column["branch_depth"][game] = self._column["depth"][game]

    def _approach(self, hero: np.ndarray) -> np.ndarray:
        """Update the position relative to the places. Returns codes of coming closer, int8 [places, N]."""
        state, on, games = self.state, self._on, len(self.state)
        offset = self._place - hero[:, None]
        away = abs(offset)
        distance = np.maximum(away[0], away[1])
        offset *= self._seen
        np.equal(distance, 0, out=on)
        codes: np.ndarray = (distance < self._nearest).view(np.int8)
        codes *= on.view(np.int8) + np.int8(_CLOSER)
        np.minimum(self._nearest, distance, out=self._nearest)
        for game in self._several:  # the hero may stand on other stairs than the first ones shown
            square, level = int(hero[1, game] * COLUMNS + hero[0, game]), int(self._level[game])
            for kind in (DOWN, UP):
                on[kind - FIRST_PLACE, game] |= square in self._stairs[game].get((kind, level), ())
        at = _AT["downstairs_seen"]  # the first of four adjacent columns
        state[:, at : at + 4] = self._known[:, 1:].reshape(4, games).T
        at = _AT["downstairs_dx"]  # likewise
        state[:, at : at + 4] = offset[:, 1:].swapaxes(0, 1).reshape(4, games).T
        state[:, _AT["altar_near"]] = distance[0] <= NEAR
        state[:, _AT["on_altar"]] = on[0]
        return codes

    def _hear(self, game: int, words: Said, bl: np.ndarray, open_offer: int, arrived: bool) -> None:
        """Take in the messages of a game's step; `open_offer` waited for an answer before the step."""
        column, told = self._column, self.events[game]
        told += words.counts
        if words.offer and words.offer == open_offer:
            told[COLUMN["price_offered"]] = 0  # the same question, shown again
        else:
            tourist = bool(self._tourist[game]) and bl[XP_LEVEL] < _SHREWD
            for price in words.prices:
                if len(base_prices(price, int(bl[nethack.NLE_BL_CHA]), tourist)) == 1:
                    told[COLUMN["price_identified"]] += 1
        column["offer"][game] = words.offer
        for at, columns in _TALLIES:
            self.state[game, at] += sum(told.item(event) for event in columns)
        if told[COLUMN["ate"]] and bl[DUNGEON] == _MINES:
            column["has_eaten_in_mines"][game] = 1
        if words.greeted:
            self._enter_shop(game, int(bl[X]), int(bl[Y]), arrived)
        if words.owes or words.paid:
            column["unpaid"][game] = not words.paid

    def _enter_shop(self, game: int, x: int, y: int, arrived: bool) -> None:
        """The hero was greeted at a shop's door. If it fell in, it leaves the shop only with the level."""
        inwards = np.zeros(2) if arrived else np.sign([x, y] - self._hero[:, game])
        self._doors[game] = (x, y, *inwards.astype(int).tolist())

    def _leave_shops(self, bl: np.ndarray, moved: np.ndarray) -> None:
        """The hero leaves a shop by going back out through its door."""
        for game in [game for game in self._doors if moved[game]]:
            door_x, door_y, dx, dy = self._doors[game]
            inside = (bl[game, X] - door_x) * dx + (bl[game, Y] - door_y) * dy >= 0
            self._column["in_shop"][game] = inside
            if not inside:
                del self._doors[game]
                self._column["unpaid"][game] = 0

    def _beings(self, hero: np.ndarray) -> None:
        """Update altars, shopkeepers, priests and players in view."""
        state, counts = self.state, self._maps.counts
        others = counts > 0
        herself = self._maps.kinds.ravel().take(self._corner + hero[1] * COLUMNS + hero[0]) == PLAYER
        others[:, PLAYER] = counts[:, PLAYER] > herself
        for at, last in ((_AT["altar_in_view"], ALTAR), (_AT["priest_in_view"], PRIEST)):
            state[:, at : at + 2] = others[:, last : last - 2 : -1]
        near = self._column["shopkeeper_near"]
        near[:] = 0
        for game in others[:, SHOPKEEPER].nonzero()[0].tolist():
            near[game] = self._maps.near(game, SHOPKEEPER, *hero[:, game].tolist())

    def _carry(self, obs: Mapping[str, np.ndarray], moved: np.ndarray) -> None:
        """Count sellable items in the games whose inventory changed."""
        letters, classes = obs["inv_letters"].tobytes(), obs["inv_oclasses"].tobytes()
        if letters == self._letters and classes == self._classes:
            return
        # Games that were not played were not read, so compare them again next time.
        self._letters, self._classes = (letters, classes) if moved.all() else (b"", b"")
        slots = obs["inv_letters"].shape[1]
        for game in np.flatnonzero(moved).tolist():
            row = slice(game * slots, (game + 1) * slots)
            things = letters[row], classes[row]
            if things != self._inventory[game]:
                self._inventory[game] = things
                own = self._starting[game]
                self._column["sellable_items"][game] = sum(
                    letter != 0 and letter not in own and kind not in _NOT_FOR_SALE
                    for letter, kind in zip(*things, strict=True)
                )
