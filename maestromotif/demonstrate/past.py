"""What the demonstrator remembers of an episode: where everything is, and what came of the actions so far.

It follows any play, not only the demonstrator's own: `Past.see` takes the action that was truly played.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from maestromotif.collect.explorer import errands
from maestromotif.collect.explorer.memory import Level
from maestromotif.nethack import paths
from maestromotif.nethack.actions import INDEX, NAMES
from maestromotif.nethack.glyphs import FOES
from maestromotif.nethack.observation import COLUMNS, DUNGEON, HP, LEVEL, MAX_HP, ROWS, TURN, X, Y
from maestromotif.nethack.paths import OFFSETS
from maestromotif.nethack.pool.pool import GamePool

FIRST_STEP = INDEX["north"]  # the eight moves are in the order of paths.COMPASS
STEPS = range(FIRST_STEP, FIRST_STEP + 8)
TRAVELS = frozenset(number for number, name in enumerate(NAMES) if name.startswith("travel_"))
TRAVEL_UNEXPLORED = INDEX["travel_unexplored"]
KICKS = 12  # kicks at one door
SEARCH, SEARCH_LONG, SEARCH_HIDDEN, FIGHT, WAIT = (
    INDEX[name] for name in ("search", "search_long", "search_hidden", "fight", "wait")
)

_SEARCHED = {SEARCH: 1 / 8, SEARCH_LONG: 15 / 8}  # in visits of 8 turns, the unit of Level.searched
_FIELDS = ("on_upstairs", "on_downstairs", "shopkeeper_in_view", "sellable_items", "prayers")


@dataclass
class Now:
    """What a game shows now."""

    message: bytes
    asks: bool  # the message is a question that waits for the agent's answer
    glyphs: np.ndarray  # int16 [21, 79]
    status: list[int]  # blstats
    kinds: np.ndarray  # uint8 [55]: object classes of the inventory
    state: Mapping[str, int]  # the fields of GameState that the demonstrator reads
    here: int  # the hero's square

    @classmethod
    def of(cls, pool: GamePool, game: int) -> "Now":
        obs = pool.obs
        line, status = obs["message"][game], obs["blstats"][game].tolist()
        return cls(
            message=line.tobytes().rstrip(b"\0") if line[0] else b"",
            asks=bool(obs["misc"][game, 0]),
            glyphs=obs["glyphs"][game],
            status=status,
            kinds=obs["inv_oclasses"][game],
            state={name: int(pool.state[name][game]) for name in _FIELDS},
            here=paths.square(status[X], status[Y]),
        )

    def around(self) -> list[int]:
        """Glyphs of the eight neighbours in the order of the compass; -1 beyond the map."""
        x, y = self.status[X], self.status[Y]
        return [
            int(self.glyphs[y + dy, x + dx]) if 0 <= x + dx < COLUMNS and 0 <= y + dy < ROWS else -1
            for dx, dy in paths.COMPASS
        ]


@dataclass
class Place(Level):
    """Memory of a level, with what only the demonstrator remembers."""

    locked: set[int] = field(default_factory=set)  # doors
    # Travel actions that showed nothing new, and where they were played; until the map shows more.
    futile: set[tuple[int, int]] = field(default_factory=set)
    aim: tuple[str, int] | None = None  # what for, and to which square it walks; until the map changes

    def unknown(self) -> int:
        """Number of squares that were never seen."""
        return int(np.count_nonzero(self.terrain == paths.UNKNOWN))


class Past:
    """One episode's memory."""

    def __init__(self) -> None:
        self.levels: dict[tuple[int, int], Place] = {}
        self.level = Place()
        self.changed = False  # the map changed on the last step, or the hero came to a new square
        self.grew = False  # the map showed more on the last step
        self.no_food = False  # there was nothing to eat
        self.rests = 0  # in a row
        self.still = 0  # steps without a game turn
        self.prayed_at: int | None = None  # turn of the last prayer
        self._where = (-1, -1)
        self._here = 0
        self._around: list[int] = [-1] * 8
        self._asked = b""  # the question that the last step answered
        self._turn, self._hp, self._prayers = -1, 0, 0

    def see(self, now: Now, played: int) -> None:
        """Take in what `played` has led to; at the beginning of an episode it is IDLE."""
        asked, self._asked = self._asked, now.message if now.asks else b""
        if now.asks:
            self._wonder(now, played)
            return
        status = now.status
        self.still = 0 if status[TURN] != self._turn else self.still + 1
        self._turn = status[TURN]
        where = (status[DUNGEON], status[LEVEL])
        arrived = where != self._where
        self._where = where
        if arrived:
            self.level = self.levels.setdefault(where, Place())
            self.level.aim = None
            self.rests = 0
        if now.state["shopkeeper_in_view"]:
            errands.remember_keeper(self.level, now.glyphs)
        stairs = paths.UP if now.state["on_upstairs"] else paths.DOWN if now.state["on_downstairs"] else None
        unknown = self.level.unknown()
        self.changed = self.level.look(now.glyphs, now.here, stairs)
        self.grew = self.level.unknown() < unknown
        if self.grew:
            self.level.futile.clear()
        if self.changed:
            self.level.aim = None
        self._fare(now, played)
        if not arrived:
            self._learn(now, played, asked)
        self._here, self._around = now.here, now.around()

    def _wonder(self, now: Now, played: int) -> None:
        """NetHack asks before the hero attacks a peaceful monster."""
        if b"attack" in now.message:
            self.level.peaceful.add(self._struck(played))

    def _struck(self, played: int) -> int:
        """Glyph of what was walked into or struck; -1 if that is unknown."""
        if played in STEPS:
            return self._around[played - FIRST_STEP]
        foes = [glyph for glyph in self._around if glyph >= 0 and FOES[glyph]]
        return foes[0] if foes else -1

    def _fare(self, now: Now, played: int) -> None:
        """How the hero fares: hit points, prayers, food."""
        hp, most = now.status[HP], now.status[MAX_HP]
        if hp < self._hp:
            self.level.peaceful.clear()  # one of them may be hostile
        self._hp = hp
        self.rests = 0 if hp > 0.8 * most else self.rests + (played == WAIT)
        if now.state["prayers"] > self._prayers:
            self.prayed_at = now.status[TURN]
        self._prayers = now.state["prayers"]
        self.no_food |= b"have anything to eat" in now.message

    def _learn(self, now: Now, played: int, asked: bytes) -> None:
        """The outcome of an action on the same level."""
        level, terrain, before = self.level, self.level.terrain.reshape(-1), self._here
        level.locked = {door for door in level.locked if terrain[door] == paths.CLOSED_DOOR}
        if b"can't go down here" in now.message or b"can't go up here" in now.message:
            terrain[now.here] = paths.FLOOR
        if b"direction?" in asked:
            if played in STEPS:
                self._kicked(before + OFFSETS[played - FIRST_STEP])
            return
        if asked:
            return
        if played in _SEARCHED and now.here == before:
            level.has_searched(now.here, _SEARCHED[played])
        if played in TRAVELS and not self.grew and (now.here == before or played == TRAVEL_UNEXPLORED):
            level.futile.add((played, before))
        if b"locked" in now.message and (played in TRAVELS or played in STEPS):
            beside = {now.here + offset for offset in OFFSETS[:4]}
            level.locked |= {door for door in beside if terrain[door] == paths.CLOSED_DOOR}
            return
        if self.changed or now.here != before:
            return
        if played in STEPS:
            glyph = self._around[played - FIRST_STEP]
            if glyph < 0 or not FOES[glyph]:
                level.failed(before, played - FIRST_STEP, b"boulder" in now.message)

    def _kicked(self, door: int) -> None:
        if door in self.level.locked:
            kicks = self.level.kicks[door] = self.level.kicks.get(door, 0) + 1
            if kicks >= KICKS:
                self.level.shut.add(door)
