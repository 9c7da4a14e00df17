"""The stage `evaluate`: the trained agent on the composed task, next to an untrained and two random agents.

All agents play the same games, with seeds from a range that training never uses. If training was limited to a
few dungeons (`nethack.levels`), these are played again with other monsters, items and dice, and a second set
of rows is played in new dungeons. All agents use the same program over skills, but the random agents ignore
the skill. Uniformly random actions include praying, which soon kills; the wandering agent uses the weights of
the collection's random play instead, so it lives longer and gets farther.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from maestromotif.agent.episodes import Episode, play_wave
from maestromotif.agent.network import build, initial_params
from maestromotif.agent.policy import POLICY, load_policy
from maestromotif.agent.reward import RewardFunction
from maestromotif.compose.compose import program_file
from maestromotif.config.schema import Config
from maestromotif.evaluate.agents import network_policy, random_policy, wandering_policy
from maestromotif.evaluate.record import REPLAY, REPLAY_ABOUT, record
from maestromotif.intervals import bootstrap_mean, wilson
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.nethack.recording import Recording
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.train import train
from maestromotif.train.reward_source import DistilledRewards, reward_folder

EPISODES = "episodes.jsonl"  # one episode per line: agent, seeds, success, deepest, steps, end
RESULTS = "results.json"


@dataclass(frozen=True)
class Entry:
    """A row of the results: the agent, and the number of dungeons (None: new levels every episode)."""

    name: str
    agent: Literal["trained", "untrained", "random", "wandering"]
    levels: int | None


def entries(levels: int | None) -> list[Entry]:
    """All agents as in training; if that used a few dungeons, also all but the random agent in new ones."""
    rows = [Entry(agent, agent, levels) for agent in ("trained", "untrained", "random", "wandering")]
    if levels is not None:
        rows += [
            Entry(f"{agent}, new levels", agent, None) for agent in ("trained", "untrained", "wandering")
        ]
    return rows


def reads(config: Config) -> dict[str, str]:
    """What training reads: the same game, skills, programs and rewards."""
    return train.reads(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    settings = config.evaluate
    games = min(config.nethack.games, settings.episodes)
    waves = -(-settings.episodes // games)
    rows = entries(config.nethack.levels)
    # A policy of another network is refused before any game starts.
    load_policy(inputs["train"].path / POLICY, build(config.train.network, len(config.skills)))
    episodes: dict[str, list[Episode]] = {}
    with Progress("evaluate", total=len(rows) * waves * games, unit="episodes") as progress:
        for levels in dict.fromkeys(row.levels for row in rows):
            with open_pool(config, "evaluate", games, settings.max_steps, levels) as pool:
                for row in (row for row in rows if row.levels == levels):
                    played: list[Episode] = []
                    for wave in range(waves):
                        # A killed run resumes at a wave, so the random draws depend only on the wave.
                        name = f".scratch/{row.name}-{wave}.json"
                        if not (work.path / name).exists():
                            found = _wave(config, inputs, pool, row, wave)
                            work.write_json(name, [episode.as_json() for episode in found])
                        saved = json.loads((work.path / name).read_text())
                        played += [Episode(**episode) for episode in saved]
                        progress.advance(games)
                    episodes[row.name] = played[: settings.episodes]

    lines = [
        {
            "agent": agent,
            **{k: v for k, v in episode.as_json().items() if k not in ("actions", "skills", "switched")},
        }
        for agent, played in episodes.items()
        for episode in played
    ]
    work.write_text(EPISODES, "".join(json.dumps(line) + "\n" for line in lines))
    results = [_row(row, episodes[row.name], settings.confidence) for row in rows]
    task = {"name": config.task.name, "words": config.task.words, "success": list(config.task.success)}
    work.write_json(RESULTS, {"task": task, "confidence": settings.confidence, "rows": results})
    _write_replay(config, inputs, work, _to_show(episodes["trained"]))
    return {"rows": results}


def _wave(
    config: Config, inputs: dict[str, Artefact], pool: GamePool, entry: Entry, wave: int
) -> list[Episode]:
    seed = config.run.seed
    network = build(config.train.network, len(config.skills))
    key = jax.random.fold_in(jax.random.key(seed + 3), wave)
    if entry.agent == "trained":
        params = load_policy(inputs["train"].path / POLICY, network)
        policy = network_policy(pool, network, params, key)
    elif entry.agent == "untrained":
        policy = network_policy(pool, network, initial_params(network, seed), key)
    elif entry.agent == "random":
        policy = random_policy(pool, network.actions, seed + wave)
    else:
        policy = wandering_policy(pool, seed + wave)
    program = inputs["compose"].path / program_file("program")
    skills = skills_of(config)
    with ProgramHost(program.read_text(), skills, pool.games, seed + wave, config.task.program) as host:
        return play_wave(pool, policy, host, config.task.success, seed, wave, entry.levels)


def _row(entry: Entry, episodes: Sequence[Episode], confidence: float) -> dict[str, Any]:
    successes = sum(episode.success for episode in episodes)
    success = wilson(successes, len(episodes), confidence)
    depths = [episode.deepest for episode in episodes]
    deepest = bootstrap_mean(depths, confidence)
    return {
        "agent": entry.name,
        "levels": entry.levels,
        "episodes": len(episodes),
        "successes": successes,
        "success": round(successes / len(episodes), 4),
        "success_low": round(success.low, 4),
        "success_high": round(success.high, 4),
        "deepest_mean": round(float(np.mean(depths)), 4),
        "deepest_low": round(deepest.low, 4),
        "deepest_high": round(deepest.high, 4),
        "steps_mean": round(float(np.mean([episode.steps for episode in episodes])), 1),
    }


def _to_show(episodes: Sequence[Episode]) -> Episode:
    """The first success; without one, the episode that went deepest."""
    return next((e for e in episodes if e.success), max(episodes, key=lambda e: e.deepest))


def _write_replay(config: Config, inputs: dict[str, Artefact], work: Work, episode: Episode) -> None:
    folder = reward_folder(config, inputs)
    reward = RewardFunction(DistilledRewards(config, folder).scorer(0), config.reward, games=1)
    recording = Recording(
        EpisodeSeeds(*episode.seeds),
        tuple(episode.actions),
        config.nethack.character,
        config.nethack.options,
    )
    work.write_arrays(REPLAY, **record(recording, episode.skills, episode.switched, reward))
    outcome = "success" if episode.success else "no success"
    about = {
        "skills": list(config.skills),
        "agent": "trained",
        "seeds": list(episode.seeds),
        "success": episode.success,
        "title": f"{config.task.name}: {outcome} in {episode.steps} steps",
    }
    work.write_json(REPLAY_ABOUT, about)
