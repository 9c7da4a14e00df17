"""The demonstrator: a scripted player that pursues the goal of a skill, for a policy to imitate.

It is the explorer of the stage `collect` without its tour, detours and whims, and it differs in three ways.
It decides at every step from what it has seen, without a plan, so it can say what it would play in a game
that somebody else plays. Where the action set has them, it uses the travel actions, which are easier to
imitate than a walk of many steps, and `search_hidden` to find hidden doors and corridors. It takes better
care of itself: it rests, prays only when that helps, flees up the stairs, and kicks no doors where a watchman
looks on.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from nle import nethack

from maestromotif.collect.explorer import errands
from maestromotif.collect.explorer.intent import Intent
from maestromotif.collect.explorer.memory import AVOID, LOOT, RISKY, SAFE, TRADER, WATCH, framed
from maestromotif.demonstrate.past import (
    FIGHT,
    FIRST_STEP,
    SEARCH,
    SEARCH_HIDDEN,
    SEARCH_LONG,
    STEPS,
    TRAVEL_UNEXPLORED,
    WAIT,
    Now,
    Past,
)
from maestromotif.nethack import glyphs, paths
from maestromotif.nethack.actions import INDEX, SETS, TRAVEL_LOOT
from maestromotif.nethack.glyphs import FOES, SWALLOWED
from maestromotif.nethack.marks import frontier
from maestromotif.nethack.observation import DEPTH, HP, HUNGER, MAX_HP, TURN, X, Y
from maestromotif.nethack.paths import OFFSETS, WIDTH
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.nethack.rules import BETWEEN_PRAYERS, FIRST_PRAYER

RESTS = 30  # rests of 25 turns in a row
STILL = 12  # steps without a game turn after which it does something at random
ESCAPE = 12  # squares to the stairs up by which it flees
FUTILE = 3  # travels that showed nothing new after which it walks, until the map shows more
FAR = 3  # squares from which on it travels
SEARCHING = "search"  # the purpose of a way to where something may be hidden

YES, NO = INDEX["northwest"], INDEX["southeast"]  # how the agent answers questions
_HUNGRY, _WEAK = 2, 3
# Stairs and ladders down and up, and altars.
_DOWN, _UP, _ALTAR = (glyphs.of_symbols(*symbols) for symbols in ((24, 26), (23, 25), (27,)))


class _Way(NamedTuple):
    """Where to go. Masks are bool [23, 81]."""

    purpose: str
    goals: np.ndarray
    passable: np.ndarray  # as for `Level.way`
    looks: bool = False  # for what is not explored yet


class Demonstrator:
    """Plays N games, or says what it would play in them.

    It forgets a game's episode when the pool begins the next one. actions: the set that it plays with.
    """

    def __init__(self, games: int, seed: int, actions: str) -> None:
        self._seed, self._actions = seed, SETS[actions]
        self._players: list[_Player | None] = [None] * games
        self.sure = np.ones(games, bool)  # False: the last action of this game was drawn at random

    def act(self, pool: GamePool, intents: Mapping[int, Intent], played: np.ndarray) -> np.ndarray:
        """int32 [N]: what it would play in each of these games, IDLE in the others.

        Call it at every step. played: int [N], the actions that led to what the pool shows now, its own or
        others; those of games that have just begun are ignored.
        """
        actions = np.full(pool.games, IDLE, np.int32)
        for game, intent in intents.items():
            player, episode, last = self._players[game], int(pool.episode[game]), int(played[game])
            if player is None or player.episode != episode or pool.ended[game]:
                drawn = random.Random(f"{self._seed}/{game}/{episode}")
                player, last = _Player(episode, drawn, self._actions), IDLE
                self._players[game] = player
            now = Now.of(pool, game)
            player.past.see(now, last)
            actions[game] = player.choose(now, intent)
            self.sure[game] = player.sure
        return actions


class _Player:
    """One episode's choices."""

    def __init__(self, episode: int, rng: random.Random, actions: int) -> None:
        self.episode, self._rng, self._actions = episode, rng, actions
        self.past = Past()
        self.sure = True

    def choose(self, now: Now, intent: Intent) -> int:
        self.sure = True
        if now.asks:
            return self._answer(now, intent)
        if SWALLOWED[now.glyphs[now.status[Y], max(now.status[X] - 1, 0)]]:
            return FIRST_STEP  # every direction hits the stomach
        if self.past.still > STILL:
            self.past.still, self.sure = 0, False
            return self._rng.choice(STEPS)
        if intent is Intent.UP and now.status[DEPTH] == 1:  # those stairs leave the dungeon
            intent = Intent.EXPLORE
        for rule in (self._survive, self._fight, self._heal):
            action = rule(now)
            if action is not None:
                return action
        return self._pursue(now, intent)

    def _has(self, action: int) -> bool:
        return action < self._actions

    def _answer(self, now: Now, intent: Intent) -> int:
        question = now.message
        if b"direction?" in question:
            door = self._door_to_kick(now)
            return INDEX["more"] if door is None else FIRST_STEP + door
        if b"attack" in question:  # only asked about peaceful monsters
            return NO
        if b"pray" in question:
            return YES if self._may_pray(now) else NO
        if question.startswith(b"What do you want to eat?"):
            return YES if now.status[HUNGER] >= _HUNGRY else NO
        if b"Sell" in question:
            return YES if intent is Intent.TRADE else NO
        if b"Stop eating" in question:
            return YES
        if b"eat" in question or b"drink" in question:
            return NO
        return INDEX["more"]

    # Staying alive.

    def _may_pray(self, now: Now) -> bool:
        turn, last = now.status[TURN], self.past.prayed_at
        trouble = _dying(now) or now.status[HUNGER] >= _WEAK
        return trouble and turn > FIRST_PRAYER and (last is None or turn - last > BETWEEN_PRAYERS)

    def _survive(self, now: Now) -> int | None:
        hungry = now.status[HUNGER] >= _HUNGRY and not self.past.no_food
        if hungry and (now.kinds == nethack.FOOD_CLASS).any() and not _foes(now, self.past, 1):
            return INDEX["eat"]
        if self._may_pray(now):
            return INDEX["pray"]
        if _dying(now) and now.status[DEPTH] > 1 and _foes(now, self.past, 8):
            return self._flee(now)
        return None

    def _flee(self, now: Now) -> int | None:
        level = self.past.level
        if level.terrain.reshape(-1)[now.here] == paths.UP:
            return INDEX["up"]
        stairs = level.terrain == paths.UP
        way = level.way(stairs, self._walkable(now, SAFE), now.here) if stairs.any() else None
        return FIRST_STEP + way[-1] if way and len(way) <= ESCAPE else None

    def _fight(self, now: Now) -> int | None:
        """Attack an adjacent monster, unless it is peaceful or better left alone."""
        around = now.around()
        monsters = [
            (direction, glyph) for direction, glyph in enumerate(around) if glyph >= 0 and FOES[glyph]
        ]
        for number, (direction, glyph) in enumerate(monsters):
            if not _spared(glyph, self.past):
                # `fight` strikes the first monster of all.
                return FIGHT if number == 0 and self._has(FIGHT) else FIRST_STEP + direction
        return None

    def _heal(self, now: Now) -> int | None:
        """Rest while the hero is hurt and no enemy is in view."""
        if now.status[HP] < 0.6 * now.status[MAX_HP] and self.past.rests < RESTS:
            return None if _foes(now, self.past, max(paths.HEIGHT, WIDTH)) else WAIT
        return None

    # The goal.

    def _pursue(self, now: Now, intent: Intent) -> int:
        level, terrain, wares = self.past.level, self.past.level.terrain, now.state["sellable_items"]
        safe = self._walkable(now, SAFE)
        action = None
        if intent is Intent.ALTAR and wares:
            action = self._drop_on(now, terrain == paths.ALTAR, safe)
        elif (
            intent is Intent.TRADE
            and wares
            and level.keeper is not None
            and level.patience < errands.PATIENCE
        ):
            action = self._sell(now, safe)
        if action is not None:
            return action
        if intent not in (Intent.DOWN, Intent.UP):
            action = self._collect(now, safe)
            if action is not None:
                return action
        ways = self._ways(now, intent, safe)
        action = self._go_on(now, ways)
        if action is not None:
            return action
        for way in ways[:-1]:
            if way.goals.reshape(-1)[now.here]:
                return INDEX["up" if intent is Intent.UP else "down"]
            action = self._set_out(now, way)
            if action is not None:
                return action
        if not level.exhausted:
            level.give_up()
        return self._search(now, safe)

    def _collect(self, now: Now, safe: np.ndarray) -> int | None:
        """The next action to something that lies about; travel leads to most of it, and picks it up."""
        level = self.past.level
        new = ~level.visited & ~errands.shop(level)
        if self._useful(TRAVEL_LOOT, now):
            goals = framed(glyphs.LOOT_OBJECTS[now.glyphs]) & new
            if goals.any() and level.way(goals, safe, now.here):
                return TRAVEL_LOOT
        goals = framed(LOOT[now.glyphs]) & new
        return self._go(now, goals, safe) if goals.any() else None

    def _ways(self, now: Now, intent: Intent, safe: np.ndarray) -> list[_Way]:
        """Ways to the stairs if the intent is to leave, and to what is new; the preferred ones first."""
        level, terrain, ways = self.past.level, self.past.level.terrain, []
        exits = terrain == paths.UP if intent is Intent.UP else np.isin(terrain, (paths.DOWN, paths.HOLE))
        leaves = intent in (Intent.DOWN, Intent.UP) and bool(exits.any())
        for caution, passable in (("safe", safe), ("risky", self._walkable(now, RISKY, boulders=True))):
            if leaves:
                ways.append(_Way(f"{intent.name}, {caution}", exits, passable | exits))
            if not level.exhausted:
                ways.append(_Way(f"look, {caution}", level.frontier(passable), passable, looks=True))
        ways.append(_Way(SEARCHING, np.ones_like(level.visited), safe))
        return ways

    def _go_on(self, now: Now, ways: list[_Way]) -> int | None:
        """The next action to the square that was chosen before.

        A monster in the dark closes a way only where the hero sees it, so a choice at each square would send
        her back and forth.
        """
        aim, self.past.level.aim = self.past.level.aim, None
        if aim is not None and aim[1] != now.here:
            for way in ways:
                if way.purpose == aim[0] and way.goals.reshape(-1)[aim[1]]:
                    action = self._go(now, _only(aim[1]), way.passable)
                    if action is not None:
                        self.past.level.aim = aim
                    return action
        return None

    def _set_out(self, now: Now, way: _Way) -> int | None:
        if way.looks and self._useful(TRAVEL_UNEXPLORED, now) and _sees_frontier(now):
            return TRAVEL_UNEXPLORED
        directions = self.past.level.way(way.goals, way.passable, now.here)
        if not directions:
            return None
        self.past.level.aim = way.purpose, _end(now.here, directions)
        return self._take(now, directions)

    def _drop_on(self, now: Now, goals: np.ndarray, passable: np.ndarray) -> int | None:
        if goals.reshape(-1)[now.here]:
            return INDEX["drop"]
        return self._go(now, goals, passable)

    def _sell(self, now: Now, safe: np.ndarray) -> int | None:
        counters = errands.counters(self.past.level, now.glyphs)
        if counters.reshape(-1)[now.here]:
            return INDEX["drop"]
        way = errands.into_shop(self.past.level, counters, safe, now.here)
        return self._step(now, way) if way else None

    def _search(self, now: Now, safe: np.ndarray) -> int:
        if self._has(SEARCH_HIDDEN):
            return SEARCH_HIDDEN
        level = self.past.level
        way = level.likely_place(safe, now.here)
        if way:
            level.aim = SEARCHING, _end(now.here, way)
            return self._step(now, way)
        return SEARCH_LONG if self._has(SEARCH_LONG) else SEARCH

    # Ways.

    def _walkable(self, now: Now, table: np.ndarray, boulders: bool = False) -> np.ndarray:
        """As `Level.walkable`; doors that would have to be kicked are closed while a watchman looks on."""
        passable = self.past.level.walkable(now.glyphs, table, boulders)
        if self.past.level.locked and _watched(now):
            passable.reshape(-1)[list(self.past.level.locked)] = 0
        return passable

    def _go(self, now: Now, goals: np.ndarray, passable: np.ndarray) -> int | None:
        """The next action on the shortest way to a goal; None if there is none, or if it is here."""
        way = self.past.level.way(goals, passable, now.here)
        return self._take(now, way) if way else None

    def _take(self, now: Now, way: list[int]) -> int:
        """The next action on the way."""
        action = self._travel(now, _end(now.here, way)) if len(way) >= FAR else None
        return self._step(now, way) if action is None else action

    def _travel(self, now: Now, end: int) -> int | None:
        """The travel action that walks to this square of stairs or an altar."""
        for name, shown in (("travel_down", _DOWN), ("travel_up", _UP), ("travel_altar", _ALTAR)):
            if self._useful(INDEX[name], now):
                squares = np.flatnonzero(framed(shown[now.glyphs]))
                if len(squares) == 1 and squares[0] == end:
                    return INDEX[name]
        return None

    def _useful(self, action: int, now: Now) -> bool:
        """Whether travel may lead on. It has not if it showed nothing new from here, or often."""
        tried = [square for one, square in self.past.level.futile if one == action]
        return self._has(action) and len(tried) < FUTILE and now.here not in tried

    def _step(self, now: Now, way: list[int]) -> int:
        level, direction = self.past.level, way[-1]
        there = now.here + OFFSETS[direction]
        row, column = divmod(there, WIDTH)
        if TRADER[now.glyphs[row - 1, column - 1]]:  # wait for it to step aside
            level.patience += 1
            return SEARCH
        if there in level.locked:
            return INDEX["kick"]
        return FIRST_STEP + direction

    def _door_to_kick(self, now: Now) -> int | None:
        """Direction of an adjacent locked door."""
        level = self.past.level
        if _watched(now):
            return None
        doors = [d for d in range(4) if now.here + OFFSETS[d] in level.locked - level.shut]
        return doors[0] if doors else None


def _end(here: int, way: list[int]) -> int:
    """The square to which a way (`Level.way`) leads."""
    return here + sum(OFFSETS[direction] for direction in way)


def _only(square: int) -> np.ndarray:
    mask = np.zeros((paths.HEIGHT, WIDTH), bool)
    mask.reshape(-1)[square] = True
    return mask


def _dying(now: Now) -> bool:
    return now.status[HP] < now.status[MAX_HP] / 7 or now.status[HP] < 6


def _spared(glyph: int, past: Past) -> bool:
    return bool(AVOID[glyph] or TRADER[glyph]) or glyph in past.level.peaceful


def _foes(now: Now, past: Past, within: int) -> bool:
    """Whether a monster that is not spared is displayed within so many squares."""
    ys, xs = np.nonzero(FOES[now.glyphs])
    x, y = now.status[X], now.status[Y]
    return any(
        0 < max(abs(mx - x), abs(my - y)) <= within and not _spared(int(now.glyphs[my, mx]), past)
        for mx, my in zip(xs.tolist(), ys.tolist(), strict=True)
    )


def _watched(now: Now) -> bool:
    return bool(WATCH[now.glyphs].any())


def _sees_frontier(now: Now) -> bool:
    """Whether the map shows a square to which `travel_unexplored` may lead."""
    shown = now.glyphs.reshape(1, -1)
    return len(frontier(shown, glyphs.KINDS[shown])) > 0
