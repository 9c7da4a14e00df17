"""A scripted explorer: it plays NetHack from what a player sees, so that observations need no trained agent.

It walks to the nearest square from which something new may be seen, opens or kicks doors, fights what stands
in its way, fetches what it may sell, searches walls and dead ends when nothing is left, and takes the stairs
down. Sometimes it looks around first, and sometimes it goes back up for a moment, so that such observations
exist. Now and then it eats, drinks, prays, casts, or drops what it has found, most of all on altars and in
shops.

Every episode's choices are drawn from a generator of its own, so play is a function of the explorer's seed
and the pool's.
"""

import random
from dataclasses import dataclass, field

import numpy as np
from nle import nethack

from maestromotif.nethack.keys import INDEX
from maestromotif.nethack.observation import (
    COLUMNS,
    DEPTH,
    DUNGEON,
    ENERGY,
    HP,
    HUNGER,
    LEVEL,
    MAX_HP,
    ROWS,
    TURN,
    X,
    Y,
)
from maestromotif.nethack.pool import GamePool
from maestromotif.preferences import maps
from maestromotif.preferences.maps import HEIGHT, OFFSETS, SQUARES, WIDTH

# How often, out of all arrivals on a level or of all steps.
RETURN_UP = 0.3  # arrivals by stairs from above after which it goes up again at once
LOOK_AROUND = 0.25  # levels that it explores before it takes the stairs that it has seen
WHIM = 0.004  # steps on which it eats, drinks, casts, drops, prays or rests for no good reason

LOOK_AROUND_STEPS = 250
RETRY = 2  # moves that may fail before a way counts as blocked
KICKS = 12  # kicks at one door
SEARCHES = 8  # steps of searching at one square
SALES = 4  # tries to drop something at one altar or in one shop
RESTS = 20  # times 25 turns of rest in a row
STILL = 12  # steps without a game turn after which it does something at random

YES, NO = INDEX["northwest"], INDEX["southeast"]
_SEARCH, _KICK, _WAIT, _MORE = INDEX["search"], INDEX["kick"], INDEX["wait"], INDEX["more"]
_FIRST_STEP = INDEX["north"]  # the eight steps follow one another as in maps.COMPASS
_STEPS = range(_FIRST_STEP, _FIRST_STEP + 8)

_MONSTERS = nethack.NUMMONS
# To touch or to strike these costs more than it is worth; none of them follows.
_LEFT_ALONE = frozenset(
    {
        *(
            "floating eye",
            "cockatrice",
            "chickatrice",
            "blue jelly",
            "spotted jelly",
            "acid blob",
            "gas spore",
        ),
        *("brown mold", "yellow mold", "green mold", "red mold"),
    }
)
_BOULDER = nethack.GLYPH_OBJ_OFF + next(
    i for i in range(nethack.NUM_OBJECTS) if nethack.OBJ_NAME(nethack.objclass(i)) == "boulder"
)
_SHOPKEEPER = nethack.GLYPH_MON_OFF + next(
    i for i in range(_MONSTERS) if nethack.permonst(i).mname == "shopkeeper"
)
# Picked up by walking over it; food is too, but the drop action never drops it.
_LOOT_CLASSES = (nethack.COIN_CLASS, nethack.WAND_CLASS, nethack.SCROLL_CLASS, nethack.POTION_CLASS)
_HUNGRY = 2


def _glyph_tables() -> tuple[np.ndarray, ...]:
    """By glyph, bool [MAX_GLYPH] each: a monster, one better left alone, a thing, loot, a stomach's wall."""
    monster, avoid, thing, loot, swallowed = (np.zeros(nethack.MAX_GLYPH, bool) for _ in range(5))
    swallowed[nethack.GLYPH_SWALLOW_OFF : nethack.GLYPH_WARNING_OFF] = True
    monster[nethack.GLYPH_MON_OFF : nethack.GLYPH_MON_OFF + _MONSTERS] = True
    monster[nethack.GLYPH_INVISIBLE] = True
    for i in range(_MONSTERS):
        avoid[nethack.GLYPH_MON_OFF + i] = nethack.permonst(i).mname in _LEFT_ALONE
    thing[nethack.GLYPH_BODY_OFF : nethack.GLYPH_RIDDEN_OFF] = True
    thing[nethack.GLYPH_OBJ_OFF : nethack.GLYPH_CMAP_OFF] = True
    for i in range(nethack.NUM_OBJECTS):
        loot[nethack.GLYPH_OBJ_OFF + i] = ord(nethack.objclass(i).oc_class) in _LOOT_CLASSES
    return monster, avoid, thing, loot, swallowed


_MONSTER, _AVOID, _THING, _LOOT, _SWALLOWED = _glyph_tables()


def _passable(*kinds: int) -> np.ndarray:
    """uint8 [10] for `maps.reach`: what may be walked on, by kind of terrain."""
    table = np.zeros(10, np.uint8)
    table[[maps.FLOOR, maps.DOWN, maps.UP, maps.ALTAR, *kinds]] = 1
    table[[maps.DOOR, maps.CLOSED_DOOR]] = 2
    return table


_SAFE, _RISKY = _passable(), _passable(maps.TRAP)
_NOWHERE = bytes(SQUARES)


def _blank() -> np.ndarray:
    """uint8 [23, 81]: nothing known but the frame."""
    terrain = np.full((HEIGHT, WIDTH), maps.ROCK, np.uint8)
    terrain[1:-1, 1:-1] = maps.UNKNOWN
    return terrain


@dataclass
class _Level:
    """What is remembered of a level."""

    terrain: np.ndarray = field(default_factory=_blank)
    visited: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), bool))
    near: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), bool))  # visited or beside
    searched: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), np.int32))
    blocked: set[tuple[int, int]] = field(default_factory=set)  # (square, direction)
    failures: dict[tuple[int, int], int] = field(default_factory=dict)
    kicks: dict[int, int] = field(default_factory=dict)  # by the door's square
    shut: set[int] = field(default_factory=set)  # doors that did not give way
    peaceful: set[int] = field(default_factory=set)  # glyphs
    steps: int = 0
    sales: int = 0
    look_around: bool = False
    return_up: bool = False
    exhausted: bool = False  # nothing new can be walked to, as long as the map stays as it is


class _Player:
    """One episode's memory, plans and choices."""

    def __init__(self, episode: int, rng: random.Random) -> None:
        self.episode, self._rng = episode, rng
        self._levels: dict[tuple[int, int], _Level] = {}
        self._level, self._where = _Level(), (-1, -1)
        self._depth = 0
        self._plan: list[int] = []  # directions, the next one last
        self._exploring = False  # the plan leads to something new: when that is seen, plan anew
        self._moved: tuple[int, int] | None = None  # square and direction of the last step
        self._aim = 0  # direction for the next question about one
        self._kick: int | None = None  # direction of the door that is being kicked
        self._struck = False
        self._searches = 0
        self._rests = 0
        self._prayed = False
        self._starved = False  # there was nothing to eat
        self._hp = 0
        self._target = 0  # glyph of what was last walked into or struck
        self._turn, self._still = -1, 0

    def act(self, game: int, pool: GamePool) -> int:
        """The action for the observation in row `game` of the pool."""
        obs = pool.obs
        line = obs["message"][game]
        message = line.tobytes().rstrip(b"\0") if line[0] else b""
        if obs["misc"][game, 0]:
            return self._answer(message)
        glyphs, bl = obs["glyphs"][game], obs["blstats"][game].tolist()
        if _SWALLOWED[glyphs[bl[Y], max(bl[X] - 1, 0)]]:
            return self._rng.choice(_STEPS)  # any blow meets the stomach
        here = maps.square(bl[X], bl[Y])
        changed = self._look(glyphs, bl, here, pool, game)
        self._learn(message, here, changed)
        self._still = 0 if bl[TURN] != self._turn else self._still + 1
        self._turn = bl[TURN]
        if self._still > STILL:
            self._still, self._plan, self._kick = 0, [], None
            return self._rng.choice(_STEPS)
        action = self._survive(glyphs, bl, here, obs["inv_oclasses"][game])
        if action is None:
            action = self._fight(glyphs, bl, here)
        if action is None:
            action = self._whim(bl, obs["inv_oclasses"][game], int(pool.state["sellable_items"][game]))
        if action is None:
            action = self._break_door(here)
        if action is None:
            wares = int(pool.state["sellable_items"][game])
            shop = bool(pool.state["shopkeeper_in_view"][game])
            action = self._walk(glyphs, here, wares, shop)
        return action

    def _answer(self, question: bytes) -> int:
        """Answers are compass keys: northwest is yes, southeast no."""
        if b"direction?" in question:
            return _FIRST_STEP + self._aim
        if b"attack" in question:  # only asked of peaceful ones
            self._level.peaceful.add(self._target)
            self._moved, self._plan = None, []
            return NO
        if question.startswith((b"What do you want to eat?", b"What do you want to drink?")):
            return YES
        if b"Stop eating" in question or b"Sell" in question or b"pray" in question:
            return YES
        if b"rink from" in question and self._rng.random() < 0.5:
            return YES
        if b"eat" in question or b"drink" in question:
            return NO
        return _MORE

    def _look(self, glyphs: np.ndarray, bl: list[int], here: int, pool: GamePool, game: int) -> bool:
        """Update the map; True if it changed."""
        where = (bl[DUNGEON], bl[LEVEL])
        arrived = where != self._where
        if arrived:
            self._arrived(where, bl[DEPTH], bool(pool.state["on_upstairs"][game]))
        level = self._level
        level.steps += 1
        changed = maps.remember(level.terrain, glyphs)
        terrain = level.terrain.reshape(-1)
        if pool.state["on_upstairs"][game]:
            terrain[here] = maps.UP
        elif pool.state["on_downstairs"][game]:
            terrain[here] = maps.DOWN
        if not level.visited.reshape(-1)[here]:
            row, column = divmod(here, WIDTH)
            level.visited[row, column] = True
            level.near[row - 1 : row + 2, column - 1 : column + 2] = True
            changed = True
        if changed:
            level.exhausted = False
        return changed

    def _arrived(self, where: tuple[int, int], depth: int, by_stairs: bool) -> None:
        known = where in self._levels
        self._level = self._levels.setdefault(where, _Level())
        self._where = where
        self._plan, self._moved, self._kick, self._searches = [], None, None, 0
        self._rests = 0
        if not known:
            self._level.look_around = self._rng.random() < LOOK_AROUND
            if by_stairs and depth > max(self._depth, 1):
                self._level.return_up = self._rng.random() < RETURN_UP
        self._depth = depth

    def _learn(self, message: bytes, here: int, changed: bool) -> None:
        """What became of the last step."""
        level = self._level
        if self._exploring and changed:
            self._plan = []
        terrain = level.terrain.reshape(-1)
        if self._kick is not None and terrain[here + OFFSETS[self._kick]] != maps.CLOSED_DOOR:
            self._kick = None
        if b"have anything to eat" in message:
            self._starved = True
        if b"can't go down here" in message:
            terrain[here] = maps.FLOOR
        if self._moved is None:
            return
        square, direction = self._moved
        self._moved = None
        if here == square + OFFSETS[direction]:
            return
        self._plan = []
        if here != square or self._struck:
            return
        if b"locked" in message:
            self._kick = direction
        elif not changed:  # a door that opened changes the map
            failures = level.failures.get((square, direction), 0) + 1
            level.failures[square, direction] = failures
            if failures >= RETRY or b"boulder" in message:
                level.blocked.add((square, direction))

    def _survive(self, glyphs: np.ndarray, bl: list[int], here: int, kinds: np.ndarray) -> int | None:
        weak = bl[HP] < bl[MAX_HP] / 7 or bl[HP] < 6
        if weak and not self._prayed and bl[TURN] > 300:
            self._prayed = True
            return INDEX["pray"]
        if weak and bl[DEPTH] > 1 and self._level.terrain.reshape(-1)[here] == maps.UP:
            return INDEX["up"]
        if bl[HUNGER] >= _HUNGRY and not self._starved and (kinds == nethack.FOOD_CLASS).any():
            return INDEX["eat"]
        if bl[HP] < 0.6 * bl[MAX_HP] and self._rests < RESTS:
            if _MONSTER[glyphs].sum() <= 1:  # oneself
                self._rests += 1
                return _WAIT
        elif bl[HP] > 0.8 * bl[MAX_HP]:
            self._rests = 0
        return None

    def _fight(self, glyphs: np.ndarray, bl: list[int], here: int) -> int | None:
        """Strike a monster that stands beside, unless it is peaceful or better left alone."""
        self._struck = False
        if bl[HP] < self._hp:
            self._level.peaceful.clear()  # perhaps one of them is not
        self._hp = bl[HP]
        x, y = bl[X], bl[Y]
        if _MONSTER[glyphs[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]].sum() <= 1:
            return None
        for direction, (dx, dy) in enumerate(maps.COMPASS):
            if 0 <= x + dx < COLUMNS and 0 <= y + dy < ROWS:
                glyph = int(glyphs[y + dy, x + dx])
                if _MONSTER[glyph] and not _AVOID[glyph] and glyph not in self._level.peaceful:
                    self._target = glyph
                    self._struck = True
                    self._plan = []
                    self._moved = (here, direction)
                    self._aim = direction
                    return _FIRST_STEP + direction
        return None

    def _whim(self, bl: list[int], kinds: np.ndarray, wares: int) -> int | None:
        draw = self._rng.random()
        if draw >= WHIM:
            return None
        possible = ["wait", "cast" if bl[ENERGY] >= 5 else "search"]
        if wares:
            possible += ["drop", "drop"]
        if (kinds == nethack.FOOD_CLASS).any() and bl[HUNGER] > 0:
            possible += ["eat", "eat"]
        if (kinds == nethack.POTION_CLASS).any():
            possible += ["quaff", "quaff"]
        if draw < WHIM / 40:
            possible = ["pray"]
        return INDEX[self._rng.choice(possible)]

    def _break_door(self, here: int) -> int | None:
        if self._kick is None:
            return None
        door = here + OFFSETS[self._kick]
        kicks = self._level.kicks.get(door, 0)
        if kicks >= KICKS:
            self._level.shut.add(door)
            self._kick = None
            return None
        self._level.kicks[door] = kicks + 1
        self._aim = self._kick
        return _KICK

    def _walk(self, glyphs: np.ndarray, here: int, wares: int, shop: bool) -> int:
        level = self._level
        if level.return_up:
            level.return_up = False
            if level.terrain.reshape(-1)[here] == maps.UP:
                return INDEX["up"]
        if self._searches:
            self._searches -= 1
            return _SEARCH
        if not self._plan:
            action = self._make_plan(glyphs, here, wares, shop)
            if action is not None:
                return action
        if not self._plan:
            return _SEARCH
        direction = self._plan.pop()
        self._moved = (here, direction)
        self._aim = direction
        dx, dy = maps.COMPASS[direction]
        row, column = divmod(here, WIDTH)
        self._target = int(glyphs[row - 1 + dy, column - 1 + dx])
        return _FIRST_STEP + direction

    def _make_plan(self, glyphs: np.ndarray, here: int, wares: int, shop: bool) -> int | None:
        """Fill the plan, or return an action to take where it stands."""
        level, terrain = self._level, self._level.terrain
        safe = self._walkable(glyphs, _SAFE, boulders=False, things=not shop)
        if wares and level.sales < SALES and (shop or (terrain == maps.ALTAR).any()):
            stalls = self._stalls(glyphs) if shop else terrain == maps.ALTAR
            if self._head_for(stalls, safe, here):
                if not self._plan:
                    level.sales += 1
                    return INDEX["drop"]
                return None
        loot = np.zeros((HEIGHT, WIDTH), bool)
        loot[1:-1, 1:-1] = _LOOT[glyphs]
        loot &= ~level.visited
        if not shop and loot.any() and self._head_for(loot, safe, here):
            return None
        down = (terrain == maps.DOWN) | (terrain == maps.HOLE)
        looking = level.look_around and level.steps < LOOK_AROUND_STEPS and not level.exhausted
        if looking and self._explore(safe, here):
            return None
        if down.any() and self._head_for(down, safe | down, here):
            return None if self._plan else INDEX["down"]
        if not level.exhausted and self._explore(safe, here):
            return None
        risky = self._walkable(glyphs, _RISKY, boulders=True, things=True)
        if down.any() and self._head_for(down, risky | down, here):
            return None if self._plan else INDEX["down"]
        if not level.exhausted:
            if self._explore(risky, here):
                return None
            # What did not work may work later, when the map has changed and is looked through again.
            level.exhausted = True
            level.blocked.clear()
            level.failures.clear()
        return self._search(safe, here)

    def _walkable(self, glyphs: np.ndarray, table: np.ndarray, boulders: bool, things: bool) -> np.ndarray:
        """uint8 [23, 81] for `maps.reach`; boulders and other things may be let out."""
        level = self._level
        passable: np.ndarray = table[level.terrain]
        closed = _AVOID[glyphs]
        for glyph in level.peaceful:
            closed |= glyphs == glyph
        if not boulders:
            closed |= glyphs == _BOULDER
        if not things:
            closed |= _THING[glyphs]
        passable[1:-1, 1:-1][closed] = 0
        for door in level.shut:
            passable.reshape(-1)[door] = 0
        return passable

    def _head_for(self, goals: np.ndarray, passable: np.ndarray, here: int) -> bool:
        """Plan the shortest way to one of the goals (bool [23, 81]); False if there is none."""
        goal, _, came = maps.reach(passable.tobytes(), here, goals.tobytes(), self._level.blocked)
        if goal is None:
            return False
        self._plan, self._exploring = maps.way(came, goal), False
        return True

    def _explore(self, passable: np.ndarray, here: int) -> bool:
        """Plan the way to the nearest square from which something new may be seen."""
        level = self._level
        hidden = (level.terrain == maps.UNKNOWN) & ~level.near
        new = (passable != 0) & ~level.visited & maps.around(hidden)
        if not self._head_for(new, passable, here):
            return False
        self._exploring = True
        return True

    def _stalls(self, glyphs: np.ndarray) -> np.ndarray:
        """Free squares of a shop, bool [23, 81]: those beside its wares and near its keeper."""
        things, keeper = (np.zeros((HEIGHT, WIDTH), bool) for _ in range(2))
        things[1:-1, 1:-1] = _THING[glyphs]
        keeper[1:-1, 1:-1] = glyphs == _SHOPKEEPER
        near = maps.around(maps.around(maps.around(keeper)))
        stalls: np.ndarray = near & ~keeper & ~things & maps.around(things)
        stalls &= self._level.terrain == maps.FLOOR
        return stalls

    def _search(self, passable: np.ndarray, here: int) -> int | None:
        """Head for the likeliest place of something hidden, or search if it is here.

        Likely are dead ends and walls with much that is unknown behind them; near ones are preferred, and
        those that have been searched already come last.
        """
        level = self._level
        _, met, _ = maps.reach(passable.tobytes(), here, _NOWHERE, level.blocked)
        squares = np.array(met)
        row, column = np.divmod(squares, WIDTH)
        distance = np.maximum(abs(row - row[0]), abs(column - column[0]))
        dead_end = _sum_around(passable != 0, 1)[row, column] <= 2  # itself and the way it was reached by
        unknown = _sum_around(level.terrain == maps.UNKNOWN, 5)[row, column] / 121
        walls = maps.around((level.terrain == maps.ROCK) | (level.terrain == maps.UNKNOWN))[row, column]
        score = 8 * unknown + 6 * dead_end - 0.15 * distance - 4 * level.searched[row, column]
        best = int(np.where(walls, score, -np.inf).argmax())
        if best == 0:
            level.searched[row[0] - 1 : row[0] + 2, column[0] - 1 : column[0] + 2] += 1
            self._searches = SEARCHES - 1
            return _SEARCH
        goal = np.zeros((HEIGHT, WIDTH), bool)
        goal[row[best], column[best]] = True
        self._head_for(goal, passable, here)
        return None


def _sum_around(mask: np.ndarray, radius: int) -> np.ndarray:
    """int64 [23, 81]: how many squares of the mask lie within the given distance."""
    sums = np.pad(mask.astype(np.int64), radius + 1).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    within: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return within[:HEIGHT, :WIDTH]


class Explorer:
    """Plays N games; forgets a game's episode when the pool begins the next one."""

    def __init__(self, games: int, seed: int) -> None:
        self._seed = seed
        self._players: list[_Player | None] = [None] * games

    def act(self, pool: GamePool) -> np.ndarray:
        """int32 [N]: an action for what each game of the pool shows now."""
        episodes = pool.episode.tolist()
        actions = np.empty(pool.games, np.int32)
        for game, episode in enumerate(episodes):
            player = self._players[game]
            if player is None or player.episode != episode or pool.ended[game]:
                player = _Player(episode, random.Random(f"{self._seed}/{game}/{episode}"))
                self._players[game] = player
            actions[game] = player.act(game, pool)
        return actions
