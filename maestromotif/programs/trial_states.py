"""Simulated games: cheap random sequences of valid GameStates for testing programs over skills.

They keep NetHack's invariants (turns increase, the depth changes by one, nothing is deeper than `deepest`,
leaving a level resets its flags) and draw the rest at random, so that programs meet situations that their
authors did not expect. With `rare` they also jump to late or odd parts of an episode: turn 20,000, depth 40,
another dungeon, much gold.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from maestromotif.nethack.state import FIELDS, SKILL_FIELDS

_FLAGS = ("downstairs_seen", "upstairs_seen", "altar_in_view", "shopkeeper_in_view")


class Dice:
    """N simulated games. `state` has one array [N] per field of GameState, except the skill's name.

    rare: probability of a jump in each game at each step.
    """

    def __init__(self, games: int, seed: int, rare: float = 0.0) -> None:
        self._rare = rare
        self._jumps = np.random.default_rng((seed, 2))
        self._random = np.random.default_rng(seed)
        self._more = np.random.default_rng((seed, 1))
        self.state: dict[str, np.ndarray] = {
            name: np.zeros(games, bool if field.type is bool else np.int32)
            for name, field in FIELDS.items()
            if name != "skill"
        }
        self.fresh: Bool[np.ndarray, " N"] = np.ones(games, bool)
        self._begin(self.fresh)

    def advance(self, skills: Int[np.ndarray, " N"], switched: Bool[np.ndarray, " N"]) -> None:
        """One environment step under `skills`; `switched`: games where a new call begins on this step."""
        s, draw = self.state, self._random
        games = len(skills)
        self._skill_begins(switched)
        turns = draw.choice([0, 1, 1, 1, 5, 25], games)
        for name, amount in (("step", 1), ("skill_steps", 1), ("turn", turns), ("skill_turns", turns)):
            s[name] += amount
        s["idle_steps"] += 1
        news = draw.random(games) < 0.3
        s["explored"][news] += draw.integers(1, 40, games)[news]
        s["idle_steps"][news] = 0
        for name in _FLAGS:
            s[name] |= draw.random(games) < 0.03
        s["on_downstairs"] = s["downstairs_seen"] & (draw.random(games) < 0.1)
        s["on_upstairs"] = s["upstairs_seen"] & (draw.random(games) < 0.1) & ~s["on_downstairs"]
        s["hp"][:] = np.clip(s["hp"] + draw.integers(-2, 3, games), 1, s["max_hp"])
        s["hunger"][:] = np.minimum(s["hunger"] + (draw.random(games) < 0.01), 4)
        for name in ("gold", "kills", "sellable_items"):
            s[name] += draw.random(games) < 0.03
        sold = s["shopkeeper_in_view"] & (s["sellable_items"] > 0) & (draw.random(games) < 0.2)
        s["items_sold"] += sold
        s["sellable_items"] -= sold
        s["has_eaten_in_mines"] |= (s["dungeon"] == 2) & (draw.random(games) < 0.05)
        down = draw.random(games) < 0.03
        up = (draw.random(games) < 0.03) & (s["depth"] > 1) & ~down
        self._change_level(down, up)
        if self._rare:
            self._jump()
        self._surroundings()
        self.fresh = draw.random(games) < 0.005
        self._begin(self.fresh)

    def _change_level(self, down: np.ndarray, up: np.ndarray) -> None:
        s = self.state
        at_branch = s["depth"] == s["branch_depth"]
        into_mines = down & at_branch & (s["dungeon"] == 0) & (self._random.random(len(down)) < 0.5)
        out_of_mines = up & (s["depth"] == s["branch_depth"] + 1) & (s["dungeon"] == 2)
        seen = (
            ~at_branch
            & (s["branch_depth"] < 0)
            & (s["dungeon"] == 0)
            & (self._random.random(len(down)) < 0.01)
        )
        s["branch_depth"][seen] = s["depth"][seen]
        s["dungeon"][into_mines] = 2
        s["dungeon"][out_of_mines] = 0
        s["depth"] += down.astype(np.int32) - up.astype(np.int32)
        s["deepest"] = np.maximum(s["deepest"], s["depth"])
        moved = down | up
        for name in (*_FLAGS, "on_downstairs", "on_upstairs", "explored", "idle_steps"):
            s[name][moved] = 0
        s["downstairs_seen"] |= up
        s["upstairs_seen"] |= down
        s["on_downstairs"] |= up
        s["on_upstairs"] |= down

    def _jump(self) -> None:
        """Long after: falls, level teleporters, other dungeons, a rich, strong or starving hero."""
        s, draw, games = self.state, self._jumps, len(self.fresh)
        where = draw.random(games) < self._rare
        turns = draw.integers(500, 20_000, games)
        now = {
            "turn": s["turn"] + turns, "skill_turns": s["skill_turns"] + turns,
            "depth": draw.integers(1, 50, games), "dungeon": draw.integers(0, 8, games),
            "max_hp": draw.integers(5, 300, games), "hp": draw.integers(1, 300, games),
            "xp_level": draw.integers(1, 31, games), "gold": draw.integers(0, 20_000, games),
            "hunger": draw.integers(0, 6, games), "armor_class": draw.integers(-30, 11, games),
            "max_energy": draw.integers(0, 200, games), "kills": s["kills"] + draw.integers(0, 500, games),
        }  # fmt: skip
        for name, column in now.items():
            s[name][where] = column[where]
        s["hp"] = np.minimum(s["hp"], s["max_hp"])
        s["energy"] = np.minimum(s["energy"], s["max_energy"])
        s["deepest"] = np.maximum(s["deepest"], s["depth"])
        for name in (*_FLAGS, "on_downstairs", "on_upstairs", "explored", "idle_steps"):
            s[name][where] = 0

    def _surroundings(self) -> None:
        """Updates what is nearby, and the counts that follow from it."""
        s, games, now_and_then = self.state, len(self.fresh), self._now_and_then
        s["priest_in_view"][:], s["player_in_view"][:] = now_and_then(0.02), now_and_then(0.01)
        s["altar_near"][:] = s["altar_in_view"] & now_and_then(0.5)
        s["on_altar"][:] = s["altar_near"] & now_and_then(0.3)
        s["shopkeeper_near"][:] = s["shopkeeper_in_view"] & now_and_then(0.5)
        s["in_shop"][:] = s["shopkeeper_near"] & now_and_then(0.7)
        s["unpaid"][:] = s["in_shop"] & now_and_then(0.1)
        asked = s["in_shop"] & (s["sellable_items"] > 0) & now_and_then(0.3)
        s["offer"][:] = np.where(asked, self._more.integers(1, 250, games), 0)
        s["prices_identified"] += asked & now_and_then(0.3)
        s["items_bought"] += s["in_shop"] & now_and_then(0.05)
        s["altar_tests"] += s["on_altar"] & (s["sellable_items"] > 0) & now_and_then(0.5)
        s["prayers"] += now_and_then(0.002)
        s["energy"][:] = np.clip(s["energy"] + self._more.integers(-1, 2, games), 0, s["max_energy"])

    def _now_and_then(self, chance: float) -> Bool[np.ndarray, " N"]:
        """No nested function: the tests' type checker would be made for it again at each call."""
        return self._more.random(len(self.fresh)) < chance

    def _begin(self, mask: np.ndarray) -> None:
        for column in self.state.values():
            column[mask] = 0
        begin: dict[str, Any] = {
            "turn": 1, "depth": 1, "deepest": 1, "branch_depth": -1, "hp": 14, "max_hp": 14, "xp_level": 1,
            "hunger": 1, "upstairs_seen": True, "on_upstairs": True, "energy": 4, "max_energy": 4,
            "armor_class": 4,
        }  # fmt: skip
        for name, value in begin.items():
            self.state[name][mask] = value
        self._skill_begins(mask)

    def _skill_begins(self, mask: np.ndarray) -> None:
        for name in SKILL_FIELDS:
            if name in self.state:
                self.state[name][mask] = 0
        self.state["skill_start_depth"][mask] = self.state["depth"][mask]
