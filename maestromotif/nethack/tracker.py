"""Keeps GameState, changes and events of games up to date.

`Tracker` follows many games at once. It reads only observations, so it knows nothing that a player could not
know. It runs at every step of every game, so it looks only at the map squares that changed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from nle import nethack

from maestromotif.nethack import actions, events
from maestromotif.nethack.events import COLUMN, EVENTS, Said
from maestromotif.nethack.observation import COLUMNS, CONDITION, DUNGEON, LEVEL, XP_LEVEL, X, Y
from maestromotif.nethack.prices import base_prices
from maestromotif.nethack.squares import (
    ALTAR,
    BLANK,
    CELLS,
    CENTAUR,
    DOWN,
    FIRST_PLACE,
    FOUNTAIN,
    NEAR,
    ORACLE,
    PLACES,
    PLAYER,
    PRIEST,
    SHOPKEEPER,
    UP,
    WATCH,
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
_MINES, _SOKOBAN = 2, 4
_TOWNS = (100 * _MINES + 3, 100 * _MINES + 4)  # the levels that may be Minetown (`dungeon.def`)
_CENTAURS = 3  # statues of centaurs on a level that show that it is the Oracle's (`oracle.des`)
_HUNGRY = 2
_DROP = actions.INDEX["drop"]
_CLIMBS = [actions.INDEX[name] for name in ("up", "down")]
# Where a second way from the Dungeons of Doom leads: the field, and the kind of stairs.
_BRANCHES = {DOWN: "branch_depth", UP: "sokoban_depth"}
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
        # By game: the doors of temples by level; the games on a level with a temple that was entered.
        self._temples: list[dict[int, tuple[int, ...]]] = [{} for _ in range(games)]
        self._by_temple: set[int] = set()
        self._on_doors: set[int] = set()  # of the games that this matters to, those whose hero is on a door
        self._oracle = np.full(games, -1, np.int64)  # level known as the Oracle's, as in `_level`
        self._town = np.full(games, -1, np.int64)  # ... as Minetown
        # Kinds of stairs by which the hero went into a branch, so that its depth is certain.
        self._been: list[set[int]] = [set() for _ in range(games)]
        self._questions: dict[int, Said] = {}  # game -> what ended with a question of the step before
        self._meal = np.zeros(games, np.int64)  # hunger when the meal began that was interrupted
        self._tourist = np.zeros(games, bool)
        self._climbs: np.ndarray | None = (
            None  # bool [games]: whether the action takes stairs, if it is known
        )
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
        self._stairs[game], self._been[game], self._temples[game] = {}, set(), {}
        self._oracle[game] = self._town[game] = -1
        self._questions.pop(game, None)
        self._meal[game] = 0
        letters = obs["inv_letters"][game].tolist() if starting is None else starting
        self._starting[game] = frozenset(letters)
        self._inventory[game], self._letters = (b"", b""), b""
        x, y = obs["blstats"][game, [X, Y]].tolist()
        self._tourist[game] = obs["glyphs"][game, y, x] == _TOURIST
        self.state[game] = 0
        for name in _BRANCHES.values():
            self._column[name][game] = -1
        only = np.zeros(len(self.state), bool)
        only[game] = True
        self._observe(obs, {}, only)
        for name in ("step", "idle_steps", "still_steps"):
            self._column[name][game] = 0
        self.changes[game] = 0
        self.events[game] = 0

    def update(
        self,
        obs: Mapping[str, np.ndarray],
        texts: Sequence[bytes],
        moved: np.ndarray,
        action: np.ndarray | None = None,
    ) -> None:
        """Take in one step of the games in the mask `moved`.

        texts [N]: the messages of the step. action int [N]: what was played; without it, the event
        `published_buc` is not noticed, and a hero that changes the level while she stands on stairs is
        thought to have taken them.
        """
        played = moved.tolist()
        said = {game: events.read(text) for game, text in enumerate(texts) if text and played[game]}
        self._climbs = None if action is None else np.isin(action, _CLIMBS)
        self._observe(obs, said, moved)
        self.events[moved, COLUMN["died"]] = 0  # the hero lives, whatever her dog is called
        for game, words in said.items():
            if words.altar and action is not None and action[game] == _DROP:
                self.events[game, COLUMN["published_buc"]] = 1

    def over(self, game: int, text: bytes, died: bool) -> None:
        """Take in the text of a game that ended on this step. Only its events change, not its state."""
        words = events.read(text)
        self.events[game] = words.counts
        self.events[game, COLUMN["died"]] = died
        self._follow_up(game, words, self.events[game])

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
        hunger_before = column["hunger"].copy()
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
        enters = {game for game, words in said.items() if words.greeted or words.temple}
        self._on_doors = {
            game
            for game in enters | self._by_temple
            if self._maps.door(game, int(hero[1, game] * COLUMNS + hero[0, game]))
        }
        for game in arrivals:
            for square, kind in self._arrive(game, obs, int(before[game])):
                self._found(game, square, kind, first)
        for game, square, kind in self._maps.update(
            obs["glyphs"], obs["chars"], None if others is None else moved
        ):
            self._found(game, square, kind, first)
        for game, square, kind in self._maps.gone:
            self._forget(game, square, kind)

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
            if words is not events.NOTHING or game in self._questions:
                asks = words.leaves and bool(obs["misc"][game, 0])
                self._hear(game, words, bl[game], open_offers.get(game, 0), game in arrivals, asks)
                if words.eats:
                    self._eat(game, words, int(hunger_before[game]))
        for game in [game for game in self._questions if moved[game] and game not in said]:
            del self._questions[game]  # the question was answered without a word
        if self._doors:
            self._leave_shops(bl, moved)
        if self._by_temple:
            self._leave_temples(bl, moved)
        self._beings(hero)
        self._know_levels(bl, moved)
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
        # The hero arrives on the other end of the stairs it took. Every episode begins on stairs up. Potions,
        # scrolls and traps may also take it away from stairs.
        climbs = self._climbs is None or bool(self._climbs[game])
        if came_from < 0 or (climbs and column["on_downstairs"][game] and depth > before):
            self._stand_on(game, UP, x, y)
        elif climbs and column["on_upstairs"][game] and depth < before:
            self._stand_on(game, DOWN, x, y)
        if 0 <= came_from < 100 and dungeon in (_MINES, _SOKOBAN):
            self._go_into(game, DOWN if dungeon == _MINES else UP, before)
        elif came_from == 100 * _MINES + 1 and dungeon == 0 and depth == before - 1:
            self._go_into(game, DOWN, depth)
        elif came_from // 100 == _SOKOBAN and dungeon == 0 and depth == before + 1:
            self._go_into(game, UP, depth)
        self._doors.pop(game, None)
        self._by_temple.discard(game)
        if self._level[game] in self._temples[game]:
            self._by_temple.add(game)
        column["in_shop"][game] = column["in_temple"][game] = column["unpaid"][game] = 0
        found = self._maps.read(game, obs["glyphs"], obs["chars"])
        for kind in (DOWN, UP):
            for square in list(self._stairs[game].get((kind, int(self._level[game])), ())):
                if self._maps.bare(game, square):  # a mimic, which has moved meanwhile
                    self._forget(game, square, kind)
        self._count_stairs(game)
        return found

    def _go_into(self, game: int, kind: int, depth: int) -> None:
        """The hero has taken the stairs of this kind at this depth into a branch, or out of it."""
        self._been[game].add(kind)
        self._column[_BRANCHES[kind]][game] = depth

    def _count_stairs(self, game: int) -> None:
        """Notice whether the level has several stairs of a kind."""
        level = int(self._level[game])
        if max(len(self._stairs[game].get((kind, level), ())) for kind in (DOWN, UP)) > 1:
            self._several.add(game)
        else:
            self._several.discard(game)

    def _stand_on(self, game: int, kind: int, x: int, y: int) -> None:
        place = kind - FIRST_PLACE
        self._seen[place, game] = True
        self._place[:, place, game] = x, y
        self._nearest[place, game] = 0
        self._maps.remember(game, y * COLUMNS + x, kind)
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
            # One of two ways down leads into the Mines, one of two ways up into Sokoban.
            if level < 100 and kind not in self._been[game]:
                self._column[_BRANCHES[kind]][game] = self._column["depth"][game]

    def _forget(self, game: int, square: int, kind: int) -> None:
        """What looked like stairs are none: a mimic has shown itself."""
        known = self._stairs[game]
        known.get((kind, int(self._level[game])), set()).discard(square)
        self._count_stairs(game)
        if kind not in self._been[game]:
            levels = [
                at for (of, at), squares in known.items() if of == kind and at < 100 and len(squares) > 1
            ]
            # In the Dungeons of Doom the number of a level is its depth.
            self._column[_BRANCHES[kind]][game] = max(levels, default=-1)
        place = kind - FIRST_PLACE
        if (self._place[:, place, game] == (square % COLUMNS, square // COLUMNS)).all():
            others = self._maps.stairs(game, kind)
            self._seen[place, game] = bool(others)
            x, y = (others[0] % COLUMNS, others[0] // COLUMNS) if others else (_FAR, _FAR)
            self._place[:, place, game], self._nearest[place, game] = (x, y), COLUMNS

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

    def _hear(
        self, game: int, words: Said, bl: np.ndarray, open_offer: int, arrived: bool, asks: bool
    ) -> None:
        """Take in the messages of a game's step.

        open_offer: waited for an answer before the step. asks: whether to leave the dungeon is asked now.
        """
        column, told = self._column, self.events[game]
        told += words.counts
        self._follow_up(game, words, told)
        if words.drinks or words.half or asks:
            self._questions[game] = words._replace(leaves=asks)
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
        level = int(self._level[game])
        if told[COLUMN["entered_delphi"]]:
            self._oracle[game] = level
        if (words.greeted or words.temple) and level in _TOWNS:
            self._town[game] = level
        if words.greeted:
            self._doors[game] = self._door(game, int(bl[X]), int(bl[Y]), arrived)
        if words.temple:
            self._temples[game][level] = self._door(game, int(bl[X]), int(bl[Y]), arrived)
            self._by_temple.add(game)
            column["in_temple"][game] = 1
        if words.owes or words.paid:
            column["unpaid"][game] = not words.paid

    def _follow_up(self, game: int, words: Said, told: np.ndarray) -> None:
        """Take in what the messages say about a question that waited for an answer before the step."""
        asked = self._questions.pop(game, None)
        if asked is None:
            return
        if asked.drinks and not words.drinks and not words.refused:
            told[COLUMN["drank"]] = 1
        if asked.leaves and words.leaves:
            told[COLUMN["asked_to_leave"]] = 0  # the same question, shown again
        if asked.half and words.counts[COLUMN["sold"]]:
            told[COLUMN["published_price"]] = 1

    def _eat(self, game: int, words: Said, hunger: int) -> None:
        """Count meals of a hungry hero. hunger: before the step."""
        if words.resumed:
            hunger = int(self._meal[game])
        meals = int(words.counts[COLUMN["ate"]])
        if hunger >= _HUNGRY:
            self._column["meals_while_hungry"][game] += meals
        if words.stopped:
            self._meal[game] = hunger

    def _door(self, game: int, x: int, y: int, arrived: bool) -> tuple[int, ...]:
        """A shop's or temple's door, on which the hero was greeted: x, y, direction inwards.

        The direction is 0 for a hero that fell or teleported in. It leaves a shop only with the level, and a
        temple by the first door that it stands on.
        """
        moved = np.array([x, y]) - self._hero[:, game]
        jumped = arrived or (abs(moved).max() > 1 and game not in self._on_doors)
        inwards = np.zeros(2) if jumped else np.sign(moved)
        return (x, y, *inwards.astype(int).tolist())

    def _leave_temples(self, bl: np.ndarray, moved: np.ndarray) -> None:
        """The hero leaves a temple by going back out through its door, and is in it again on its door."""
        for game in [game for game in self._by_temple if moved[game]]:
            level = int(self._level[game])
            door_x, door_y, dx, dy = self._temples[game][level]
            if not (dx or dy) and self._column["in_temple"][game] and game in self._on_doors:
                door_x, door_y = bl[game, [X, Y]].tolist()
                dx, dy = np.sign(self._hero[:, game] - [door_x, door_y]).tolist()
                self._temples[game][level] = (door_x, door_y, dx, dy)
            away_x, away_y = bl[game, X] - door_x, bl[game, Y] - door_y
            inside = away_x * dx + away_y * dy >= 0
            self._column["in_temple"][game] = inside and (
                self._column["in_temple"][game] or (away_x == 0 and away_y == 0)
            )

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

    def _know_levels(self, bl: np.ndarray, moved: np.ndarray) -> None:
        """Know the Oracle's level and Minetown by what the map shows. Monsters may be hallucinated."""
        counts = self._maps.counts
        towns = (self._level == _TOWNS[0]) | (self._level == _TOWNS[1])
        signs = counts[:, CENTAUR : ORACLE + 1].any(1)
        if towns.any():
            signs |= towns & counts[:, PRIEST : ALTAR + 1].any(1)
        for game in (signs & moved).nonzero()[0].tolist():
            level = int(self._level[game])
            sober = not int(bl[game, CONDITION]) & nethack.BL_MASK_HALLU
            count = counts[game].tolist()
            if level < 100:
                if sober and (count[ORACLE] or count[CENTAUR] >= _CENTAURS):
                    self._oracle[game] = level
            elif towns[game] and (
                count[FOUNTAIN]
                or count[ALTAR]
                or (sober and (count[WATCH] or count[PRIEST] or count[SHOPKEEPER]))
            ):
                self._town[game] = level
        self._column["at_oracle"][:] = self._level == self._oracle
        self._column["in_minetown"][:] = self._level == self._town

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
