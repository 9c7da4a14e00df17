"""Which actions are useless now in many games, so that a policy need not try them.

`rules.RULES` says what makes an action useless at a glance, such as down away from the stairs. An action that
has just changed nothing is useless too, until something changes.
"""

from collections.abc import Mapping

import numpy as np

from maestromotif.nethack import glyphs
from maestromotif.nethack.actions import CLOSED_SHOP, CORPSE, INDEX, LOCKED_DOOR, NAMES, PEACEFUL
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.marks import Marks
from maestromotif.nethack.observation import COLUMNS, DUNGEON, LEVEL, TURN, X, Y
from maestromotif.nethack.paths import COMPASS
from maestromotif.nethack.rules import RULES, View

FADES = 20  # steps after which an action that changed nothing may be tried again

_MOVES, _RUNS = (np.arange(8) + INDEX[first] for first in ("north", "far_north"))
_TRAVELS = np.array([name.startswith("travel_") for name in NAMES])
_FIGHT, _MORE, _YES, _NO = (INDEX[name] for name in ("fight", "more", "northwest", "southeast"))
# These pass time, which is a use.
_ALWAYS = [INDEX[name] for name in ("wait", "search", "search_long", "search_hidden")]
_NEVER_FUTILE = np.isin(np.arange(len(NAMES)), [*_ALWAYS, _MORE])
_PEACEFUL = np.frombuffer(PEACEFUL, np.uint8)


class Useless:
    """Which actions are not useless in N games.

    Writes `allowed` bool [N, len(NAMES)] in place. At an open question only answers are allowed, no blow
    against a peaceful monster, and no meal from a corpse of unknown age. Otherwise:

    - what `RULES` finds useless is not allowed, and no step into a wall, or diagonally through a door;
    - an action that took no turn and left the hero where she was is not allowed again until she moves, the
      foes beside her change, the map shows more, or FADES steps have passed; the same holds for a travel
      action that did not move her, until the map shows more;
    - waiting and searching are always allowed, so a policy always has a choice.

    leave: whether the agent may leave the dungeon.
    """

    def __init__(
        self,
        allowed: np.ndarray,
        state: Mapping[str, np.ndarray],
        events: np.ndarray,
        marks: Marks,
        leave: bool = False,
    ) -> None:
        games, self._leave = len(allowed), leave
        self._allowed, self._state, self._events, self._marks = allowed, state, events, marks
        self._futile = np.zeros((games, len(NAMES)), bool)
        self._age = np.zeros(games, np.int64)  # steps since an action was found futile
        self._prayed = np.full(games, -1, np.int64)
        # Level and square of doors that were found locked, and of warnings before a shop that is closed.
        self._locked: list[set[tuple[int, int]]] = [set() for _ in range(games)]
        self._warned: list[set[tuple[int, int]]] = [set() for _ in range(games)]
        self._asked = np.zeros(games, bool)  # a question was open before the step
        # What a step is compared with: level, square, turn, squares shown; and the glyphs around the hero.
        self._before = np.zeros((games, 4), np.int64)
        self._near = np.zeros((games, len(COMPASS)), np.int16)

    def begin(self, game: int, obs: Mapping[str, np.ndarray]) -> None:
        """An episode begins in this game."""
        self._prayed[game] = -1
        self._locked[game], self._warned[game] = set(), set()
        self._asked[game] = True  # the first observation follows no action
        only = np.zeros(len(self._asked), bool)
        only[game] = True
        self.update(obs, np.full(len(only), _MORE), only)

    def update(self, obs: Mapping[str, np.ndarray], action: np.ndarray, moved: np.ndarray) -> None:
        """Take in what the actions int [N] led to in the games bool [N] `moved`; leave the others alone."""
        games = np.flatnonzero(moved)
        if not len(games):
            return
        prays = games[self._events[games, COLUMN["prayed"]] > 0]
        self._prayed[prays] = obs["blstats"][prays, TURN]
        # All games at once without copies, which is the rule; else those that were played.
        rows = slice(None) if len(games) == len(moved) else games
        marks = self._marks
        view = View(
            {name: obs[name][rows] for name in ("glyphs", "blstats", "inv_oclasses", "message")},
            {name: one[rows] for name, one in self._state.items()},
            marks.marks[rows],
            marks.kinds[rows],
            marks.under[rows],
            self._prayed[rows],
            np.zeros((len(games), len(COMPASS)), bool),
            self._leave,
        )
        asks = obs["misc"][games, 0] != 0
        self._find_locked(games, view)
        self._learn(games, action[games], view, asks)
        useful = ~self._futile[games]
        for name, rule in RULES.items():
            useful[:, INDEX[name]] &= rule.useful(view)
        useful[:, _MOVES] &= view.walkable
        useful[:, _RUNS] &= view.walkable
        useful[:, _MORE] = False
        useful[:, _ALWAYS] = True
        for row in np.flatnonzero(asks).tolist():
            useful[row] = answers(bytes(obs["message"][games[row]]), view.near[row], view.locked[row])
        self._allowed[games] = useful

    def _find_locked(self, games: np.ndarray, view: View) -> None:
        """Fill `view.locked`. A door is found locked by walking into it, which is never diagonal.

        Not every closed door is locked, and shopkeepers and watchmen defend doors against kicks. Before the
        locked door of a shop that is closed, a warning is written in the dust.
        """
        messages, bl, closed = view.obs["message"], view.bl, glyphs.CLOSED[view.near]
        for row in np.flatnonzero(closed.any(1) | (messages[:, 0] != 0)).tolist():
            game, text = int(games[row]), messages[row].tobytes()
            level = int(bl[row, DUNGEON] * 100 + bl[row, LEVEL])
            here = int(bl[row, Y] * COLUMNS + bl[row, X])
            if CLOSED_SHOP in text:
                self._warned[game].add((level, here))
            locked = self._locked[game]
            for number in np.flatnonzero(closed[row]).tolist():
                dx, dy = COMPASS[number]
                door = level, here + dy * COLUMNS + dx
                if LOCKED_DOOR in text and not (dx and dy):
                    locked.add(door)
                view.locked[row, number] = door in locked and (level, here) not in self._warned[game]

    def _learn(self, games: np.ndarray, action: np.ndarray, view: View, asks: np.ndarray) -> None:
        """Find what the last actions were good for."""
        bl, before, near = view.bl, self._before[games], view.near
        now = np.stack(
            [bl[:, DUNGEON] * 100 + bl[:, LEVEL], bl[:, Y] * COLUMNS + bl[:, X], bl[:, TURN],
             view.state["explored"]], 1,
        )  # fmt: skip
        asked = self._asked[games]
        same_map = (now[:, [0, 3]] == before[:, [0, 3]]).all(1)
        stays = same_map & (now[:, 1] == before[:, 1])
        foes = view.foes
        same_foes = (foes == glyphs.FOES[self._near[games]]).all(1)
        futile = self._futile[games]
        age = np.where(futile.any(1), self._age[games] + 1, 0)
        futile[~same_map | (age > FADES)] = False
        futile[~(stays & same_foes)] &= _TRAVELS
        struck = np.zeros(len(games), bool)  # walked into a monster: a blow, which may take no turn
        for numbers in (_MOVES, _RUNS):
            direction = action - numbers[0]
            walks = (direction >= 0) & (direction < len(COMPASS))
            aim = self._near[games, direction.clip(0, len(COMPASS) - 1)]
            struck |= walks & glyphs.MONSTERS[aim]
        judged = stays & ~asks & ~asked & ~struck & ~_NEVER_FUTILE[action]
        timeless = now[:, 2] == before[:, 2]
        # A fast hero's blow may take no turn either; a peaceful monster was only asked about.
        asked_about = (view.obs["message"][:, : len(PEACEFUL)] == _PEACEFUL).all(1)
        timeless &= (action != _FIGHT) | asked_about
        vain = judged & np.where(_TRAVELS[action], ~view.prey.any(1), timeless)
        futile[np.flatnonzero(vain), action[vain]] = True
        self._futile[games], self._age[games] = futile, np.where(vain, 0, age)
        self._before[games], self._near[games], self._asked[games] = now, near, asks


def answers(question: bytes, near: np.ndarray, locked: np.ndarray) -> np.ndarray:
    """Actions that answer an open question, bool [len(NAMES)].

    near int16 [8]: the glyphs around the hero. locked bool [8]: doors beside her that were found locked.
    """
    useful = np.zeros(len(NAMES), bool)
    if b"direction?" in question:
        useful[_MOVES] = locked if locked.any() else near != glyphs.OUTSIDE
    elif question.startswith((b"What do you want to eat?", b"What do you want to drink?")):
        useful[[_YES, _MORE]] = True
    elif PEACEFUL in question or CORPSE.search(question):
        useful[_NO] = True
    else:
        useful[[_YES, _NO]] = True
    return useful
