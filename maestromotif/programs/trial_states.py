"""Simulated games: cheap random sequences of valid GameStates for testing programs over skills.

They keep NetHack's invariants (turns increase, the depth changes by one, nothing is deeper than `deepest`,
leaving a level resets its flags) and draw the rest at random, so that programs meet situations that their
authors did not expect. With `rare` they also jump to late or odd parts of an episode: turn 20,000, depth 40,
Minetown, much gold, a heavy load. Half of the numbers of a jump are near those that programs compare with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from maestromotif.nethack.state import FIELDS, SKILL_FIELDS

_FLAGS = ("downstairs_seen", "upstairs_seen", "altar_in_view", "shopkeeper_in_view")
_PLACES = ("at_oracle", "in_minetown", "in_temple")  # where only a jump leads
_ALIVE = ("hp", "max_hp")  # at least 1
_NEVER_LESS = ("meals_while_hungry", "sokoban_depth")  # in an episode; nor what counts events
# Field -> the least and the greatest number that a jump leads to; for the others see `_jump` and `_place`.
_ODD = {
    "xp_level": (1, 30), "gold": (0, 20_000), "hunger": (0, 6), "load": (0, 5), "armor_class": (-30, 10),
    "max_hp": (5, 300), "hp": (1, 300), "max_energy": (0, 200), "energy": (0, 200),
    "meals_while_hungry": (0, 9), "items_sold": (0, 40), "items_bought": (0, 40),
    "prices_identified": (0, 40), "altar_tests": (0, 40), "prayers": (0, 9),
    "sellable_items": (0, 45), "explored": (0, 1_600), "kills": (0, 1_000), "sokoban_depth": (-1, 10),
}  # fmt: skip


class Dice:
    """N simulated games. `state` has one array [N] per field of GameState, except the skill's name.

    rare: probability of a jump in each game at each step. near: field -> numbers that jumps lead to, or
    next to, at half of the times.
    """

    def __init__(
        self, games: int, seed: int, rare: float = 0.0, near: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        self._rare = rare
        self._near = {
            name: [n + d for n in numbers for d in (-1, 0, 0, 1)] for name, numbers in (near or {}).items()
        }
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
        down = (draw.random(games) < 0.03) & (s["depth"] < FIELDS["depth"].range[1])
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
            & (s["depth"] >= 2)
            & (s["depth"] <= FIELDS["branch_depth"].range[1])
            & (self._random.random(len(down)) < 0.01)
        )
        s["branch_depth"][seen] = s["depth"][seen]
        s["dungeon"][into_mines] = 2
        s["dungeon"][out_of_mines] = 0
        s["depth"] += down.astype(np.int32) - up.astype(np.int32)
        s["deepest"] = np.maximum(s["deepest"], s["depth"])
        moved = down | up
        for name in (*_FLAGS, *_PLACES, "on_downstairs", "on_upstairs", "explored", "idle_steps"):
            s[name][moved] = 0
        s["level"][:] = np.maximum(np.where(s["dungeon"] == 2, s["depth"] - s["branch_depth"], s["depth"]), 1)
        s["downstairs_seen"] |= up
        s["upstairs_seen"] |= down
        s["on_downstairs"] |= up
        s["on_upstairs"] |= down

    def _jump(self) -> None:
        """Long after: falls, level teleporters, other dungeons, a rich, strong, loaded or starving hero."""
        s, draw, games = self.state, self._jumps, len(self.fresh)
        where = draw.random(games) < self._rare
        for name, (least, most) in _ODD.items():
            drawn = self._near_or(name, draw.integers(least, most + 1, games), int(name in _ALIVE))
            if FIELDS[name].events or name in _NEVER_LESS:
                drawn = np.maximum(drawn, s[name])
            s[name][where] = drawn[where]
        steps, turns = draw.integers(0, 2_000, games), draw.integers(500, 20_000, games)
        for name, later in (("step", steps), ("turn", turns)):
            passed = np.maximum(self._near_or(name, s[name] + later) - s[name], 0)
            for one in (name, f"skill_{name}s"):
                s[one][where] += passed[where].astype(np.int32)
            own = self._near_or(f"skill_{name}s", s[f"skill_{name}s"])
            s[f"skill_{name}s"][where] = np.minimum(own, s[name])[where]
        s["idle_steps"][where] = np.minimum(self._near_or("idle_steps", steps), s["step"])[where]
        for name in _FLAGS:
            s[name][where] = (draw.random(games) < 0.3)[where]
        for name in ("on_downstairs", "on_upstairs"):
            s[name][where] = 0
        self._place(where)
        s["hp"] = np.minimum(s["hp"], s["max_hp"])
        s["energy"] = np.minimum(s["energy"], s["max_energy"])
        s["deepest"] = np.maximum(s["deepest"], s["depth"])

    def _place(self, where: Bool[np.ndarray, " N"]) -> None:
        """The dungeon, the level in it, and where the hero is there."""
        s, draw, games = self.state, self._jumps, len(self.fresh)
        dungeon = self._near_or("dungeon", draw.choice([0, 0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7], games))
        mines = where & (dungeon == 2)
        depth = np.maximum(draw.integers(1, 54, games) // draw.choice([1, 4], games), 1)
        level = draw.choice([1, 2, 3, 3, 4, 4, 6, 8], games)
        s["depth"][where] = self._near_or("depth", depth, 1)[where]
        s["dungeon"][where] = dungeon[where]
        s["branch_depth"][mines] = np.maximum(s["branch_depth"], draw.integers(2, 5, games))[mines]
        level = np.where(dungeon == 0, s["depth"], self._near_or("level", level, 1))
        s["level"][where] = np.where(dungeon == 2, np.minimum(level, 8), level)[where]
        s["depth"][mines] = (s["branch_depth"] + s["level"])[mines]
        here = draw.random((3, games)) < 0.7
        s["at_oracle"][where] = (here[0] & (dungeon == 0) & (s["depth"] >= 5) & (s["depth"] <= 9))[where]
        s["in_minetown"][where] = (here[1] & (dungeon == 2) & (s["level"] >= 3) & (s["level"] <= 4))[where]
        s["in_temple"][where] = (here[2] & (s["in_minetown"] | (s["depth"] > 20)))[where]

    def _near_or(self, name: str, drawn: Int[np.ndarray, " N"], least: int = 0) -> Int[np.ndarray, " N"]:
        """These numbers, half of them replaced by some that are near those of the field in `near`.

        least: of numbers that replace others, if it is positive and more than the field's own least.
        """
        near = self._near.get(name)
        if not near:
            return drawn
        low, high = FIELDS[name].range
        chosen = np.clip(self._jumps.choice(near, len(drawn)), max(low, least) if least else low, high)
        return np.where(self._jumps.random(len(drawn)) < 0.5, chosen, drawn)

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
        s["offer"][:] = np.where(asked, self._near_or("offer", self._more.integers(1, 250, games), 1), 0)
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
            "turn": 1, "depth": 1, "deepest": 1, "level": 1, "branch_depth": -1, "sokoban_depth": -1,
            "hp": 14, "max_hp": 14, "xp_level": 1,
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
