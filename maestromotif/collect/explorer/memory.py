"""What the explorer remembers of a level, and the places on it that are worth a visit."""

from dataclasses import dataclass, field

import numpy as np
from nle import nethack

from maestromotif.nethack import paths
from maestromotif.nethack.glyphs import BOULDER, PICKED_UP, of_monsters, of_objects
from maestromotif.nethack.hidden import places
from maestromotif.nethack.paths import HEIGHT, SQUARES, WIDTH

RETRY = 2  # failures after which a move counts as blocked

# Touching or attacking these costs more than it is worth, and none of them follows the hero.
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
# Attacking a shopkeeper is fatal; the others are peaceful unless provoked.
_WATCH = frozenset({"watchman", "watch captain"})
_TRADERS = _WATCH | {"shopkeeper", "aligned priest"}

# By glyph, bool [MAX_GLYPH + 1].
AVOID = of_monsters(*_LEFT_ALONE)
TRADER = of_monsters(*_TRADERS)
WATCH = of_monsters(*_WATCH)  # who punish those that break doors
FOOD = of_objects([nethack.FOOD_CLASS])
LOOT = of_objects(PICKED_UP)  # tins and corpses too: the hero looks at them


def _passable(*kinds: int) -> np.ndarray:
    """uint8 [10] for `paths.reach`: what can be walked on, by kind of terrain."""
    table = np.zeros(10, np.uint8)
    table[[paths.FLOOR, paths.DOWN, paths.UP, paths.ALTAR, *kinds]] = 1
    table[[paths.DOOR, paths.CLOSED_DOOR]] = 2
    return table


SAFE, RISKY = _passable(), _passable(paths.TRAP)
_NOWHERE = bytes(SQUARES)


def framed(inner: np.ndarray) -> np.ndarray:
    """A level's mask, bool [21, 79], with the frame of a map around it, bool [23, 81]."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[1:-1, 1:-1] = inner
    return mask


def _blank() -> np.ndarray:
    """uint8 [23, 81]: nothing known but the frame."""
    terrain = np.full((HEIGHT, WIDTH), paths.ROCK, np.uint8)
    terrain[1:-1, 1:-1] = paths.UNKNOWN
    return terrain


@dataclass
class Level:
    """Memory of a level. Masks are bool [23, 81], like maps."""

    terrain: np.ndarray = field(default_factory=_blank)
    visited: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), bool))
    near: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), bool))  # visited or adjacent
    searched: np.ndarray = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH)))  # times
    blocked: set[tuple[int, int]] = field(default_factory=set)  # (square, direction)
    failures: dict[tuple[int, int], int] = field(default_factory=dict)
    kicks: dict[int, int] = field(default_factory=dict)  # by the door's square
    shut: set[int] = field(default_factory=set)  # doors that did not open
    peaceful: set[int] = field(default_factory=set)  # glyphs
    keeper: int | None = None  # where a shopkeeper was last seen
    offerings: int = 0  # items dropped on its altars
    sales: int = 0  # items dropped in its shops
    tasting: bool = False  # it wants to eat in a shop
    meal: int | None = None  # where
    patience: int = 0  # steps spent waiting for a shopkeeper to step aside
    steps: int = 0
    look_around: bool = False
    return_up: bool = False
    exhausted: bool = False  # nothing new can be reached until the map changes

    def look(self, glyphs: np.ndarray, here: int, stairs: int | None) -> bool:
        """Record what is displayed and where the hero stands (on `stairs`: UP or DOWN); True if it is new."""
        self.steps += 1
        changed = paths.remember(self.terrain, glyphs)
        if stairs is not None:
            self.terrain.reshape(-1)[here] = stairs
        row, column = divmod(here, WIDTH)
        if not self.visited[row, column]:
            self.visited[row, column] = True
            self.near[row - 1 : row + 2, column - 1 : column + 2] = True
            changed = True
        if changed:
            self.exhausted = False
        return changed

    def failed(self, square: int, direction: int, for_good: bool) -> None:
        """Record a failed move."""
        failures = self.failures[square, direction] = self.failures.get((square, direction), 0) + 1
        if for_good or failures >= RETRY:
            self.blocked.add((square, direction))

    def give_up(self) -> None:
        """Nothing new can be reached. Forget failed moves: they may work when the map has changed."""
        self.exhausted = True
        self.blocked.clear()
        self.failures.clear()

    def walkable(self, glyphs: np.ndarray, table: np.ndarray, boulders: bool) -> np.ndarray:
        """uint8 [23, 81] for `paths.reach`. boulders: whether the hero may push them."""
        passable: np.ndarray = table[self.terrain]
        closed = AVOID[glyphs] | TRADER[glyphs]
        for glyph in self.peaceful:
            closed |= glyphs == glyph
        if not boulders:
            closed |= glyphs == BOULDER
        passable[1:-1, 1:-1][closed] = 0
        for door in self.shut:
            passable.reshape(-1)[door] = 0
        return passable

    def way(self, goals: np.ndarray, passable: np.ndarray, here: int) -> list[int] | None:
        """The shortest path to one of the goals, last direction first; None if there is none."""
        goal, _, came = paths.reach(passable.tobytes(), here, goals.tobytes(), self.blocked)
        return None if goal is None else paths.way(came, goal)

    def frontier(self, passable: np.ndarray) -> np.ndarray:
        """Mask of the squares from which something new may be seen."""
        hidden = (self.terrain == paths.UNKNOWN) & ~self.near
        new: np.ndarray = (passable != 0) & ~self.visited & paths.around(hidden)
        return new

    def place_to_search(self, passable: np.ndarray, here: int) -> list[int]:
        """`likely_place`, which counts as searched if it is here."""
        way = self.likely_place(passable, here)
        if not way:
            self.has_searched(here, 1.0)
        return way

    def has_searched(self, here: int, times: float) -> None:
        row, column = divmod(here, WIDTH)
        self.searched[row - 1 : row + 2, column - 1 : column + 2] += times

    def likely_place(self, passable: np.ndarray, here: int) -> list[int]:
        """The path to where something is most likely hidden (`hidden.places`); empty if it is here."""
        unknown = self.terrain == paths.UNKNOWN
        closed = unknown | (self.terrain == paths.ROCK)
        _, met, came = paths.reach(passable.tobytes(), here, _NOWHERE, self.blocked)
        return paths.way(came, places(met, passable, unknown, closed).best(here, self.searched))
