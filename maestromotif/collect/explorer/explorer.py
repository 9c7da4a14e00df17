"""A scripted explorer: it plays NetHack from what a player sees, so that observations need no trained agent.

It walks to the nearest square from which it may see something new, opens or kicks doors, fights what is in
its way, picks up what it can sell, searches walls and dead ends when nothing else is left, and takes the
stairs down. Sometimes it explores the level first, and sometimes it goes back up briefly, so that such
observations exist. It runs errands in the shops and on the altars that it sees. Occasionally it eats, drinks,
prays, casts, or drops what it has found.

As an evaluated agent it does what the acting skill is for instead (`intent.py`).

Every episode draws its choices from its own generator, so play is a function of the explorer's seed and the
pool's seed.
"""

import random
from collections.abc import Mapping

import numpy as np
from nle import nethack

from maestromotif.collect.explorer import errands
from maestromotif.collect.explorer.intent import Intent
from maestromotif.collect.explorer.memory import AVOID, LOOT, RISKY, SAFE, TRADER, Level, framed
from maestromotif.nethack import paths
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.glyphs import FOES, SWALLOWED
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
from maestromotif.nethack.paths import OFFSETS, WIDTH
from maestromotif.nethack.pool.pool import IDLE, GamePool

# Frequencies, as fractions of arrivals on a level or of steps.
RETURN_UP = 0.3  # arrivals by stairs from above after which it goes straight back up
LOOK_AROUND = 0.25  # levels that it explores before it takes the stairs that it has seen
TASTE = 0.25  # levels on which it eats a shop's food
DECLINE = 0.2  # offers of shopkeepers that it declines
WHIM = 0.004  # steps on which it drinks, casts, drops, prays or rests without a reason
APPETITE = 0.004  # steps on which it eats although it is not hungry

LOOK_AROUND_STEPS = 250
KICKS = 12  # kicks at one door
SEARCHES = 8  # steps of searching at one square
RESTS = 20  # rests of 25 turns in a row
STILL = 12  # steps without a game turn after which it does something at random

YES, NO = INDEX["northwest"], INDEX["southeast"]
_SEARCH, _KICK, _WAIT, _MORE = INDEX["search"], INDEX["kick"], INDEX["wait"], INDEX["more"]
_FIRST_STEP = INDEX["north"]  # the eight moves are in the order of paths.COMPASS
_STEPS = range(_FIRST_STEP, _FIRST_STEP + 8)

_HUNGRY = 2


class _Player:
    """One episode's memory, plans and choices."""

    def __init__(self, episode: int, rng: random.Random) -> None:
        self.episode, self._rng = episode, rng
        self._levels: dict[tuple[int, int], Level] = {}
        self._level, self._where = Level(), (-1, -1)
        self._depth = 0
        self._intent = Intent.TOUR
        self._plan: list[int] = []  # directions, the next one last
        self._exploring = False  # the plan leads to something new: once that is seen, plan again
        self._moved: tuple[int, int] | None = None  # square and direction of the last step
        self._aim = 0  # the answer if a direction is asked for
        self._kick: int | None = None  # direction of the door that is being kicked
        self._struck = False
        self._searches = 0
        self._rests = 0
        self._prayed = False
        self._starved = False  # there was nothing to eat
        self._hp = 0
        self._target = 0  # glyph of what was last walked into or struck
        self._turn, self._still = -1, 0

    def act(self, game: int, pool: GamePool, intent: Intent) -> int:
        """The action for the observation in row `game` of the pool."""
        obs = pool.obs
        line = obs["message"][game]
        message = line.tobytes().rstrip(b"\0") if line[0] else b""
        if obs["misc"][game, 0]:
            return self._answer(message)
        glyphs, bl = obs["glyphs"][game], obs["blstats"][game].tolist()
        if SWALLOWED[glyphs[bl[Y], max(bl[X] - 1, 0)]]:
            return self._rng.choice(_STEPS)  # every direction hits the stomach
        here = paths.square(bl[X], bl[Y])
        changed = self._look(glyphs, bl, here, pool, game)
        self._learn(message, here, changed)
        self._still = 0 if bl[TURN] != self._turn else self._still + 1
        self._turn = bl[TURN]
        self._intend(intent, bl[DEPTH])
        if self._still > STILL:
            self._still, self._plan, self._kick = 0, [], None
            return self._rng.choice(_STEPS)
        action = self._survive(glyphs, bl, here, obs["inv_oclasses"][game])
        if action is None:
            action = self._fight(glyphs, bl, here)
        if action is None and self._intent is Intent.TOUR:
            action = self._whim(bl, obs["inv_oclasses"][game], int(pool.state["sellable_items"][game]))
        if action is None:
            action = self._break_door(here)
        if action is None:
            action = self._walk(glyphs, here, int(pool.state["sellable_items"][game]))
        return action

    def _answer(self, question: bytes) -> int:
        """Answers are compass keys: northwest is yes, southeast no."""
        if b"direction?" in question:
            return _FIRST_STEP + self._aim
        if b"attack" in question:  # only asked about peaceful monsters
            self._level.peaceful.add(self._target)
            self._moved, self._plan = None, []
            return NO
        if question.startswith((b"What do you want to eat?", b"What do you want to drink?")):
            return YES
        if b"Sell" in question:
            declines = self._intent is not Intent.TRADE and self._rng.random() < DECLINE
            return NO if declines else YES
        if b"Stop eating" in question or b"pray" in question:
            return YES
        if b"here; eat" in question and self._level.meal is not None:
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
        if pool.state["shopkeeper_in_view"][game]:
            errands.remember_keeper(self._level, glyphs)
        stairs = None
        if pool.state["on_upstairs"][game]:
            stairs = paths.UP
        elif pool.state["on_downstairs"][game]:
            stairs = paths.DOWN
        return self._level.look(glyphs, here, stairs)

    def _arrived(self, where: tuple[int, int], depth: int, by_stairs: bool) -> None:
        known = where in self._levels
        self._level = self._levels.setdefault(where, Level())
        self._where = where
        self._plan, self._moved, self._kick, self._searches = [], None, None, 0
        self._rests = 0
        if not known:
            self._level.look_around = self._rng.random() < LOOK_AROUND
            self._level.tasting = self._rng.random() < TASTE
            if by_stairs and 0 < self._depth < depth:
                self._level.return_up = self._rng.random() < RETURN_UP
        self._depth = depth

    def _intend(self, intent: Intent, depth: int) -> None:
        """Follow this intent from now on. The stairs up of level 1 leave the dungeon, so explore there."""
        if intent is Intent.UP and depth == 1:
            intent = Intent.EXPLORE
        if intent is not self._intent:
            self._intent, self._plan, self._searches = intent, [], 0

    def _learn(self, message: bytes, here: int, changed: bool) -> None:
        """Learn from the outcome of the last step."""
        level = self._level
        if self._exploring and changed:
            self._plan = []
        terrain = level.terrain.reshape(-1)
        if self._kick is not None and terrain[here + OFFSETS[self._kick]] != paths.CLOSED_DOOR:
            self._kick = None
        if b"have anything to eat" in message:
            self._starved = True
        if b"can't go down here" in message:
            terrain[here] = paths.FLOOR
        if b"can't go up here" in message and self._intent is Intent.UP:
            terrain[here] = paths.FLOOR
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
            level.failed(square, direction, b"boulder" in message)

    def _survive(self, glyphs: np.ndarray, bl: list[int], here: int, kinds: np.ndarray) -> int | None:
        weak = bl[HP] < bl[MAX_HP] / 7 or bl[HP] < 6
        if weak and not self._prayed and bl[TURN] > 300:
            self._prayed = True
            return INDEX["pray"]
        flees = weak and bl[DEPTH] > 1 and self._intent in (Intent.TOUR, Intent.DOWN, Intent.UP)
        if flees and self._level.terrain.reshape(-1)[here] == paths.UP:
            return INDEX["up"]
        if bl[HUNGER] >= _HUNGRY and not self._starved and (kinds == nethack.FOOD_CLASS).any():
            return INDEX["eat"]
        if bl[HP] < 0.6 * bl[MAX_HP] and self._rests < RESTS:
            if FOES[glyphs].sum() <= 1:  # the hero
                self._rests += 1
                return _WAIT
        elif bl[HP] > 0.8 * bl[MAX_HP]:
            self._rests = 0
        return None

    def _fight(self, glyphs: np.ndarray, bl: list[int], here: int) -> int | None:
        """Attack an adjacent monster, unless it is peaceful or better left alone."""
        self._struck = False
        if bl[HP] < self._hp:
            self._level.peaceful.clear()  # one of them may be hostile
        self._hp = bl[HP]
        x, y = bl[X], bl[Y]
        if FOES[glyphs[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]].sum() <= 1:
            return None
        for direction, (dx, dy) in enumerate(paths.COMPASS):
            if 0 <= x + dx < COLUMNS and 0 <= y + dy < ROWS:
                glyph = int(glyphs[y + dy, x + dx])
                spared = AVOID[glyph] or TRADER[glyph] or glyph in self._level.peaceful
                if FOES[glyph] and not spared:
                    self._target = glyph
                    self._struck = True
                    self._plan = []
                    self._moved = (here, direction)
                    self._aim = direction
                    return _FIRST_STEP + direction
        return None

    def _whim(self, bl: list[int], kinds: np.ndarray, wares: int) -> int | None:
        draw = self._rng.random()
        if draw >= 1 - APPETITE and bl[HUNGER] > 0 and (kinds == nethack.FOOD_CLASS).any():
            return INDEX["eat"]
        if draw >= WHIM:
            return None
        possible = ["wait", "cast" if bl[ENERGY] >= 5 else "search"]
        if wares:
            possible += ["drop", "drop"]
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

    def _walk(self, glyphs: np.ndarray, here: int, wares: int) -> int:
        level = self._level
        if level.return_up:
            level.return_up = False
            if self._intent is Intent.TOUR and level.terrain.reshape(-1)[here] == paths.UP:
                return INDEX["up"]
        if self._searches:
            self._searches -= 1
            return _SEARCH
        if not self._plan:
            action = self._make_plan(glyphs, here, wares)
            if action is not None:
                return action
        if not self._plan:
            return _SEARCH
        direction = self._plan[-1]
        row, column = divmod(here + OFFSETS[direction], WIDTH)
        self._target = int(glyphs[row - 1, column - 1])
        if TRADER[self._target]:  # wait for it to step aside
            level.patience += 1
            if level.patience % errands.PATIENCE == 0:
                self._plan = []
            return _SEARCH
        self._plan.pop()
        self._moved = (here, direction)
        self._aim = direction
        return _FIRST_STEP + direction

    def _make_plan(self, glyphs: np.ndarray, here: int, wares: int) -> int | None:
        """Fill the plan, or return an action to take here."""
        level, terrain, intent = self._level, self._level.terrain, self._intent
        safe = level.walkable(glyphs, SAFE, boulders=False)
        errand = None
        if intent is Intent.TOUR:
            errand = errands.errand(level, glyphs, here, wares)
        elif intent is Intent.ALTAR:
            errand = errands.offering(level, safe, here, wares)
        elif intent is Intent.TRADE:
            errand = errands.sale(level, glyphs, safe, here, wares)
        if errand is not None:
            self._plan, self._exploring = errand.way, False
            return errand.action
        loot = framed(LOOT[glyphs]) & ~level.visited & ~errands.shop(level)
        picks_up = intent not in (Intent.DOWN, Intent.UP)
        if picks_up and loot.any() and self._head_for(loot, safe, here):
            return None
        exits, leave = _exits(terrain, intent)
        looking = (
            intent is Intent.TOUR
            and level.look_around
            and level.steps < LOOK_AROUND_STEPS
            and not level.exhausted
        )
        if looking and self._explore(safe, here):
            return None
        if exits.any() and self._head_for(exits, safe | exits, here):
            return None if self._plan else leave
        if not level.exhausted and self._explore(safe, here):
            return None
        risky = level.walkable(glyphs, RISKY, boulders=True)
        if exits.any() and self._head_for(exits, risky | exits, here):
            return None if self._plan else leave
        if not level.exhausted:
            if self._explore(risky, here):
                return None
            level.give_up()
        self._plan, self._exploring = level.place_to_search(safe, here), False
        if self._plan:
            return None
        self._searches = SEARCHES - 1
        return _SEARCH

    def _head_for(self, goals: np.ndarray, passable: np.ndarray, here: int) -> bool:
        """Plan the shortest way to one of the goals (bool [23, 81]); False if there is none."""
        way = self._level.way(goals, passable, here)
        if way is None:
            return False
        self._plan, self._exploring = way, False
        return True

    def _explore(self, passable: np.ndarray, here: int) -> bool:
        """Plan the way to the nearest square from which something new may be seen."""
        if not self._head_for(self._level.frontier(passable), passable, here):
            return False
        self._exploring = True
        return True


def _exits(terrain: np.ndarray, intent: Intent) -> tuple[np.ndarray, int]:
    """Mask of the known ways off the level by which to leave, and the action that takes them."""
    if intent is Intent.UP:
        return terrain == paths.UP, INDEX["up"]
    if intent in (Intent.EXPLORE, Intent.TRADE, Intent.ALTAR):
        return np.zeros_like(terrain, bool), _SEARCH
    return (terrain == paths.DOWN) | (terrain == paths.HOLE), INDEX["down"]


class Explorer:
    """Plays N games; forgets a game's episode when the pool begins the next one."""

    def __init__(self, games: int, seed: int) -> None:
        self._seed = seed
        self._players: list[_Player | None] = [None] * games

    def act(self, pool: GamePool, intents: Mapping[int, Intent] | None = None) -> np.ndarray:
        """int32 [N]: one action per game, for what the pool's games show now.

        intents: what to do in each of these games; it plays no others, and their action is IDLE. None: TOUR
        in all games.
        """
        if intents is None:
            intents = dict.fromkeys(range(pool.games), Intent.TOUR)
        actions = np.full(pool.games, IDLE, np.int32)
        for game, intent in intents.items():
            player, episode = self._players[game], int(pool.episode[game])
            if player is None or player.episode != episode or pool.ended[game]:
                player = _Player(episode, random.Random(f"{self._seed}/{game}/{episode}"))
                self._players[game] = player
            actions[game] = player.act(game, pool, intent)
        return actions
