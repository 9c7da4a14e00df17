"""Where something lies that walking picks up: for the action `travel_loot`.

NetHack's travel command never picks anything up, so the hero travels to a square beside the object and makes
the last step.
"""

from collections.abc import Mapping

import numpy as np

from maestromotif.nethack import glyphs, paths
from maestromotif.nethack.hidden import WALKABLE, shown_terrain
from maestromotif.nethack.observation import DUNGEON, LEVEL, X, Y
from maestromotif.nethack.paths import COMPASS, HEIGHT, OFFSETS, SQUARES, WIDTH

_INSIDE = (WALKABLE == 1).astype(np.uint8)  # what a room is made of: doors bound it
_NOWHERE = bytes(SQUARES)


class Loot:
    """What one game's hero need not walk to: squares by level, as uint8 [23, 81]; 1 is a square to leave."""

    def __init__(self) -> None:
        self._left: dict[tuple[int, int], np.ndarray] = {}

    def reset(self) -> None:
        """An episode begins."""
        self._left.clear()

    def place(self, obs: Mapping[str, np.ndarray]) -> tuple[tuple[int, int], int] | None:
        """The square x, y beside the nearest object that she can walk to, and the direction of the last step.

        The direction is an index of `paths.COMPASS`. None if there is no object of `glyphs.LOOT_OBJECTS`.

        Not one that she stands on, which walking did not pick up, and none of a shop: those are not hers. A
        shop is the room of a shopkeeper in view.
        """
        bl, shown = obs["blstats"], obs["glyphs"]
        here = paths.square(int(bl[X]), int(bl[Y]))
        self.leave(bl)
        left = self._of_level(bl).reshape(-1)
        terrain = shown_terrain(shown)
        for y, x in np.argwhere(shown == glyphs.SHOPKEEPER).tolist():
            room = _INSIDE[terrain].tobytes()
            _, shop, _ = paths.reach(room, paths.square(x, y), _NOWHERE, frozenset())
            left[shop] = 1
        goals = np.zeros((HEIGHT, WIDTH), np.uint8)
        goals[1:-1, 1:-1] = glyphs.LOOT_OBJECTS[shown]
        goals.reshape(-1)[left != 0] = 0
        goal, _, came = paths.reach(WALKABLE[terrain].tobytes(), here, goals.tobytes(), frozenset())
        if goal is None:
            return None
        direction = came[goal]
        row, column = divmod(goal - OFFSETS[direction], WIDTH)
        return (column - 1, row - 1), direction

    def leave(self, bl: np.ndarray) -> None:
        """She leaves what lies under her: she has dropped it, or walking did not pick it up."""
        self._of_level(bl)[int(bl[Y]) + 1, int(bl[X]) + 1] = 1

    def give_up(self, bl: np.ndarray, beside: tuple[int, int], direction: int) -> None:
        """She leaves what `place` has named, because something is in the way."""
        (x, y), (dx, dy) = beside, COMPASS[direction]
        self._of_level(bl)[y + dy + 1, x + dx + 1] = 1

    def _of_level(self, bl: np.ndarray) -> np.ndarray:
        level = int(bl[DUNGEON]), int(bl[LEVEL])
        return self._left.setdefault(level, np.zeros((HEIGHT, WIDTH), np.uint8))
