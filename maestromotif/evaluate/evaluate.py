"""The stage `evaluate`: the trained agent on the composed task, next to an untrained one and scripted ones.

All agents play the same games, with seeds from a range that training never uses. If training was limited to a
few dungeons (`nethack.levels`), these are played again with other monsters, items and dice, and a second set
of rows is played in new dungeons. All agents use the same program over skills, but the random agents ignore
the skill. Uniformly random actions include praying, which soon kills; the wandering agent uses the weights of
the collection's random play instead, so it lives longer and gets farther. The explorer is a script that knows
the map and takes the stairs that the acting skill wants. If the run cloned a policy, the clone has a row too.

Games that are lost with a worker process are played again, with the same seeds and the same random draws.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from maestromotif.agent.episodes import Episode, LostGamesError, Policy, play_wave, to_end
from maestromotif.agent.network import Params, build, initial_params
from maestromotif.agent.playing import network_policy
from maestromotif.agent.policy import POLICY, make_acting
from maestromotif.agent.saved_policy import policy_file, policy_files, read_policy
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate import figures
from maestromotif.evaluate.agents import Agent, explorer_policy, random_policy, wandering_policy
from maestromotif.evaluate.replays import task_program, write_shown
from maestromotif.evaluate.summary import summary, table
from maestromotif.intervals import bootstrap_mean, wilson
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.replay import kept
from maestromotif.skill import skills_of
from maestromotif.tracking.tracker import SILENT, Tracker
from maestromotif.train import train

log = logging.getLogger("maestromotif")

LOGGED = figures.LOGGED
EPISODES = (
    "episodes.jsonl"  # one episode per line: agent, seeds, success, deepest, steps, end, cause, prayers
)
_TOLD = ("seeds", "success", "deepest", "steps", "end", "cause", "prayers")
RESULTS = "results.json"
TABLE = "results.md"  # the rows, for people
TRIES = 3  # at a wave whose games are lost with a dead worker
CAUSES = 5  # causes of death that a row of the results lists


@dataclass(frozen=True)
class Entry:
    """A row of the results: the agent, and the number of dungeons (None: new levels every episode)."""

    name: str
    agent: Agent
    levels: int | None


_AGENTS: tuple[Agent, ...] = ("trained", "cloned", "untrained", "random", "wandering", "explorer")


def entries(levels: int | None, cloned: bool = False) -> list[Entry]:
    """All agents as in training; if that used a few dungeons, also all but the random agent in new ones.

    cloned: whether there is a policy of the stage `clone`.
    """
    agents = [agent for agent in _AGENTS if agent != "cloned" or cloned]
    rows = [Entry(agent, agent, levels) for agent in agents]
    if levels is not None:
        rows += [Entry(f"{agent}, new levels", agent, None) for agent in agents if agent != "random"]
    return rows


def reads(config: Config) -> dict[str, str]:
    """What training reads: the same game, skills, programs and rewards; and the policy, if it is given."""
    return train.reads(config) | policy_files(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    settings = config.evaluate
    games = min(config.nethack.games, settings.episodes)
    waves = -(-settings.episodes // games)
    rows = entries(config.nethack.levels, cloned="clone" in inputs)
    has_end = bool(config.task.success)
    # A policy of another network is refused before any game starts.
    given = config.train.policy
    file = inputs["train"].path / POLICY if given is None else policy_file(given, "train.policy")
    trained = read_policy(file, config)
    cloned = read_policy(inputs["clone"].path / POLICY, config) if "clone" in inputs else None
    players = Players(config, trained, task_program(inputs), games, cloned)
    episodes: dict[str, list[Episode]] = {}
    total = len(rows) * waves * games
    with Progress("evaluate", total, "episodes", tracker=tracker) as progress:
        for levels in dict.fromkeys(row.levels for row in rows):
            with open_pool(config, "evaluate", games, settings.max_steps, levels) as pool:
                for row in (row for row in rows if row.levels == levels):
                    played: list[Episode] = []
                    began = time.perf_counter()
                    for wave in range(waves):
                        # A killed run resumes at a wave, so the random draws depend only on the wave.
                        name = f".scratch/{row.name}-{wave}.json"
                        if not (work.path / name).exists():
                            found = players.wave(pool, row, wave)
                            work.write_text(name, json.dumps([episode.as_json() for episode in found]))
                        saved = json.loads((work.path / name).read_text())
                        played += [Episode(**episode) for episode in saved]
                        progress.advance(games)
                    episodes[row.name] = played[: settings.episodes]
                    log.info("evaluate: %s: %.1f s", row.name, time.perf_counter() - began)
                    made = _row(row, episodes[row.name], settings.confidence, has_end)
                    figures.track_agent(tracker, progress.done, made)

    lines = [
        {
            "agent": agent,
            **{name: value for name, value in episode.as_json().items() if name in _TOLD},
        }
        for agent, played in episodes.items()
        for episode in played
    ]
    work.write_text(EPISODES, "".join(json.dumps(line) + "\n" for line in lines))
    work.write_arrays(kept.FILE, **kept.arrays(episodes))
    results = [_row(row, episodes[row.name], settings.confidence, has_end) for row in rows]
    work.write_text(TABLE, table(results, settings.confidence))
    task = {"name": config.task.name, "words": config.task.words, "success": list(config.task.success)}
    figures.track_all(tracker, total, results, episodes)
    work.write_json(RESULTS, {"task": task, "confidence": settings.confidence, "rows": results})
    # New dungeons are what counts, if training was limited to a few.
    main = next((row.name for row in rows if row.agent == "trained" and row.levels is None), "trained")
    for replay in write_shown(config, inputs, work, main, episodes[main]):
        if replay.warning:
            log.warning("evaluate: the replay '%s': %s", replay.label, replay.warning)
    steps = sum(episode.steps for own in episodes.values() for episode in own)
    return {
        "rows": results,
        "summary": summary(results, settings.confidence),
        "bytes_per_step": round((work.path / kept.FILE).stat().st_size / max(1, steps), 3),
    }


class Players:
    """Plays waves of episodes in pools of `games` games. The network is compiled once for all of them."""

    def __init__(
        self, config: Config, trained: Params, program: str, games: int, cloned: Params | None = None
    ) -> None:
        self._config, self._program = config, program
        self._network = build(config.train.network, len(config.skills))
        self._params = {"trained": trained} | ({} if cloned is None else {"cloned": cloned})
        self._acting = make_acting(self._network, games, 1)
        self._skills = skills_of(config)

    def wave(self, pool: GamePool, entry: Entry, wave: int) -> list[Episode]:
        """The episodes of a wave. If a worker died it is played again, so that failures leave no trace."""
        seed, task = self._config.run.seed, self._config.task
        for _ in range(TRIES):
            policy = self.policy(entry.agent, pool, wave)
            with ProgramHost(self._program, self._skills, pool.games, seed + wave, task.program) as host:
                try:
                    return to_end(play_wave(pool, policy, host, task.success, seed, wave, entry.levels))
                except LostGamesError:
                    log.warning("evaluate: %s: playing %d lost games again", entry.name, pool.games)
        raise UserError(
            f"evaluate: workers died in each of {TRIES} attempts at {pool.games} games; "
            "memory may be too small: lower nethack.games or nethack.workers"
        )

    def policy(self, agent: Agent, pool: GamePool, wave: int) -> Policy:
        """An agent's policy for the games of a pool, in a wave."""
        seed = self._config.run.seed
        if agent == "random":
            return random_policy(pool, self._network.actions, seed + wave)
        if agent == "wandering":
            return wandering_policy(pool, seed + wave)
        if agent == "explorer":
            return explorer_policy(pool, self._skills, seed)
        if agent == "untrained" and agent not in self._params:
            made = jax.jit(initial_params, static_argnums=0)  # twice as fast as without jit
            self._params[agent] = made(self._network, seed)
        key = jax.random.fold_in(jax.random.key(seed + 3), wave)
        return network_policy(pool, self._network, self._params[agent], key, self._acting)


def _row(
    entry: Entry, episodes: Sequence[Episode], confidence: float, has_end: bool = True
) -> dict[str, Any]:
    """A row of the results. has_end: whether the task can be achieved; otherwise its success is null."""
    successes = sum(episode.success for episode in episodes)
    success = wilson(successes, len(episodes), confidence)
    achieved = {
        "successes": successes,
        "success": round(successes / len(episodes), 4),
        "success_low": round(success.low, 4),
        "success_high": round(success.high, 4),
    }
    depths = [episode.deepest for episode in episodes]
    deepest = bootstrap_mean(depths, confidence)
    steps = [episode.steps for episode in episodes]
    causes = Counter(episode.cause for episode in episodes if episode.cause)
    prayers = sum(episode.prayers for episode in episodes)
    return {
        "agent": entry.name,
        "levels": entry.levels,
        "episodes": len(episodes),
        **(achieved if has_end else dict.fromkeys(achieved)),
        "deepest_mean": round(float(np.mean(depths)), 4),
        "deepest_low": round(deepest.low, 4),
        "deepest_high": round(deepest.high, 4),
        "steps_mean": round(float(np.mean(steps)), 1),
        "steps_median": float(np.median(steps)),
        "prayers_per_1000": round(1000 * prayers / sum(steps), 2),
        **{f"at_least_{d}": round(float(np.mean(np.array(depths) >= d)), 4) for d in figures.DEPTHS},
        "deaths": causes.total(),
        "causes": dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))[:CAUSES]),
    }
