"""How often each skill's wanted events happen while it acts: on unseen seeds, under the training program.

The results of a task say little of single skills, because its program may call some of them hardly ever. The
training program calls them all. Agents play episodes that end only by death or at the last step, in new
dungeons and in arenas, and every event under `wanted` in a skill's file is counted in the steps in which that
skill acts. A change such as `explored` counts as one event on each step on which it happens.

Intervals are bootstrapped over episodes, because events in one episode depend on each other.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maestromotif.agent.episodes import LostGamesError, Policy, play_wave, to_end
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.intervals import bootstrap_ratio
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.nethack.state import CHANGES
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import Skill, skills_of
from maestromotif.tasks.task import Task

log = logging.getLogger("maestromotif")

DUNGEONS = "new dungeons"
ALL = "wanted"  # the events under `wanted` together
TRIES = 3  # at a wave whose games are lost with a dead worker
_CHANGES = {name: column for column, name in enumerate(CHANGES)}

Make = Callable[[GamePool, int], Policy]  # (pool, wave) -> the policy of an agent for the wave


@dataclass(frozen=True)
class Tally:
    """Of E episodes: steps int64 [E, K] of each skill, and happened int64 [E, K, W].

    W is the largest number of events that a skill wants; entries beyond a skill's own are 0.
    """

    steps: np.ndarray
    happened: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            np.concatenate([self.steps, other.steps]), np.concatenate([self.happened, other.happened])
        )


class Counting:
    """A policy that counts what the actions of another one cause, in a pool of N games."""

    def __init__(self, pool: GamePool, policy: Policy, skills: Sequence[Skill]) -> None:
        self._pool, self._policy, self._skills = pool, policy, skills
        most = max(len(skill.wanted) for skill in skills)
        self._steps = np.zeros((pool.games, len(skills)), np.int64)
        self._happened = np.zeros((pool.games, len(skills), most), np.int64)
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # skill, playing on the last step

    def __call__(self, first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        self._count()
        self._before = skill.copy(), playing.copy()
        return self._policy(first, skill, playing, step)

    def tally(self) -> Tally:
        """After the wave: the counts of all its steps."""
        self._count()
        self._before = None
        return Tally(self._steps.copy(), self._happened.copy())

    def _count(self) -> None:
        """Add the last step, which the pool still shows."""
        if self._before is None:
            return
        skill, playing = self._before
        for k, one in enumerate(self._skills):
            acted = np.flatnonzero(playing & (skill == k))
            self._steps[acted, k] += 1
            for w, event in enumerate(one.wanted):
                if event in COLUMN:
                    self._happened[acted, k, w] += self._pool.events[acted, COLUMN[event]]
                else:
                    self._happened[acted, k, w] += self._pool.changes[acted, _CHANGES[event]] > 0


def measure(
    config: Config, agents: Mapping[str, Make], places: Sequence[str | None], episodes: int, max_steps: int
) -> list[dict[str, Any]]:
    """Rows of `rows_of` for each place and agent.

    places: arenas by name or path, None for new dungeons. episodes: per agent and place, of at most
    `max_steps` steps. Raises UserError for arenas that do not exist, and if the training program fails.
    """
    skills = skills_of(config)
    source = contract.read(config.compose.training)
    games = min(config.nethack.games, episodes)
    rows: list[dict[str, Any]] = []
    for place in places:
        with open_pool(config, "evaluate", games, max_steps, arena=place) as pool:
            for agent, make in agents.items():
                waves = [
                    _wave(config, pool, source, skills, make, wave) for wave in range(-(-episodes // games))
                ]
                together = sum(waves[1:], waves[0])
                tally = Tally(together.steps[:episodes], together.happened[:episodes])
                log.info("%s, %s: %d steps", place or DUNGEONS, agent, tally.steps.sum())
                rows += rows_of(tally, skills, place or DUNGEONS, agent, config.evaluate.confidence)
    return rows


def _wave(
    config: Config, pool: GamePool, source: str, skills: Sequence[Skill], make: Make, wave: int
) -> Tally:
    """The counts of a wave. If a worker died it is played again."""
    seed, balance = config.run.seed, config.train.balance
    endless = Task("training", "", config.compose.training)
    for _ in range(TRIES):
        counting = Counting(pool, make(pool, wave), skills)
        with ProgramHost(source, skills, pool.games, seed + wave, endless.program, balance=balance) as host:
            try:
                to_end(play_wave(pool, counting, host, endless, seed, wave, None))
            except LostGamesError:
                log.warning("playing %d lost games again", pool.games)
            else:
                return counting.tally()
    raise UserError(f"workers died in each of {TRIES} attempts at {pool.games} games; lower nethack.games")


def rows_of(
    tally: Tally, skills: Sequence[Skill], place: str, agent: str, confidence: float
) -> list[dict[str, Any]]:
    """A row for each skill and each of its wanted events, and one (`ALL`) for all of them together.

    per_1000: events in 1,000 steps of the skill, with the bounds of its interval; null if it never acted.
    """
    rows = []
    for k, skill in enumerate(skills):
        steps_e = tally.steps[:, k]
        each = {event: tally.happened[:, k, w] for w, event in enumerate(skill.wanted)}
        together = {ALL: tally.happened[:, k].sum(1)} if len(each) > 1 else {}
        for event, happened_e in (each | together).items():
            row: dict[str, Any] = {"place": place, "agent": agent, "skill": skill.name, "event": event}
            row |= {"steps": int(steps_e.sum()), "happened": int(happened_e.sum())}
            row |= dict.fromkeys(("per_1000", "low", "high"))
            if steps_e.any():
                interval = bootstrap_ratio(happened_e, steps_e, confidence)
                rate = happened_e.sum() / steps_e.sum()
                values = (rate, interval.low, interval.high)
                row |= {
                    name: round(1000 * float(value), 3)
                    for name, value in zip(("per_1000", "low", "high"), values, strict=True)
                }
            rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]], confidence: float) -> str:
    """The rows as a table in Markdown, a column for each agent."""
    agents = list(dict.fromkeys(row["agent"] for row in rows))
    known = {(row["place"], row["skill"], row["event"], row["agent"]): row for row in rows}
    lines = [["place", "skill", "event", *agents], ["---"] * (3 + len(agents))]
    for place, skill, event in dict.fromkeys(key[:3] for key in known):
        cells = [_cell(known[place, skill, event, agent]) for agent in agents]
        lines.append([place, skill, event, *cells])
    written = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return (
        f"{written}\nEvents in 1,000 steps of the skill. In brackets: {100 * confidence:g} % intervals over "
        "episodes.\n"
    )


def _cell(row: Mapping[str, Any]) -> str:
    if row["per_1000"] is None:
        return "never acted"
    return f"{row['per_1000']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def reached(rows: Sequence[Mapping[str, Any]], skill: str, place: str, times: float = 3.0) -> bool:
    """Whether a skill's wanted events happen `times` as often as untrained, and more than in walking.

    More than in walking: the interval lies above that of the agent `wandering`. An event that untrained
    agents never cause counts if the trained one causes it at all.
    """
    events = [row["event"] for row in rows if row["skill"] == skill]
    event = ALL if ALL in events else events[0]
    by_agent = {
        row["agent"]: row
        for row in rows
        if (row["skill"], row["place"], row["event"]) == (skill, place, event)
    }
    trained, untrained, walking = (by_agent[name] for name in ("trained", "untrained", "wandering"))
    if not trained["per_1000"]:
        return False
    above = trained["low"] > (walking["high"] or 0.0)
    return bool(above and trained["per_1000"] >= times * (untrained["per_1000"] or 0.0))
