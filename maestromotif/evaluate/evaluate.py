"""The stage `evaluate`: the trained agent on each task, next to an untrained one and scripted ones.

All agents play the same games, with seeds from a range that training never uses. If training was limited to a
few dungeons (`nethack.levels`), these are played again with other monsters, items and dice, and a second set
of rows is played in new dungeons. All agents use the same program over skills, but the random agents ignore
the skill. Uniformly random actions include praying, which soon kills; the wandering agent uses the weights of
the collection's random play instead, so it lives longer and gets farther. The explorer is a script that knows
the map and takes the stairs that the acting skill wants. The demonstrator is one that plays with the policy's
actions, such as travel. If the run cloned a policy, the clone has a row too.

Games that are lost with a worker process are played again, with the same seeds and the same random draws.
"""

import json
import logging
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maestromotif.agent.episodes import Episode, LostGamesError, Policy, play_wave, to_end
from maestromotif.agent.network import Params, build, initial_params
from maestromotif.agent.playing import batches, network_policy
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import check_policy, policy_file, policy_files, read_policy
from maestromotif.config.schema import Config, EvaluateSettings
from maestromotif.errors import UserError
from maestromotif.evaluate import figures
from maestromotif.evaluate.agents import (
    demonstrator_policy,
    explorer_policy,
    program_of,
    random_policy,
    wandering_policy,
)
from maestromotif.evaluate.comparisons import comparisons
from maestromotif.evaluate.comparisons import lines as lines_of
from maestromotif.evaluate.normalised import normalised
from maestromotif.evaluate.progression import progression
from maestromotif.evaluate.replays import task_program, write_shown
from maestromotif.evaluate.summary import summary, table
from maestromotif.evaluate.trainings import lines as lines_of_trainings
from maestromotif.evaluate.trainings import trainings
from maestromotif.intervals import bootstrap_mean, wilson
from maestromotif.nethack.pool.pool import GamePool, check_options, open_pool
from maestromotif.nethack.seeds import EpisodeSeeds, episode_seeds, salt_name
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.pipeline.trees import refusing
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.reading import read_json, read_text
from maestromotif.replay import kept
from maestromotif.skill import skills_of
from maestromotif.tasks.task import PAPER_AGENT, PAPER_BASELINE, Task, steps_of, tasks_of
from maestromotif.tracking.tracker import SILENT, Tracker
from maestromotif.train import train

log = logging.getLogger("maestromotif")

LOGGED = figures.LOGGED
EPISODES = "episodes.jsonl"  # one episode per line: task, agent and what `_TOLD` lists
_TOLD = (
    *("seeds", "success", "progress", "published", "measured", "published_measured", "achieved_at"),
    *("deepest", "xp_level", "steps", "turns", "end", "cause", "prayers", "visited"),
)
RESULTS = "results.json"
TABLE = "results.md"  # the rows, for people
TRIES = 3  # at a wave whose games are lost with a dead worker
CAUSES = 5  # causes of death that a row of the results lists


@dataclass(frozen=True)
class Entry:
    """A row of a task's results: the agent, and the number of dungeons (None: new levels every episode)."""

    name: str
    agent: str  # see `evaluate.agents` of the config
    levels: int | None


def entries(
    named: Sequence[str], levels: int | None, cloned: bool = False, others: Sequence[str] = ()
) -> list[Entry]:
    """All agents as in training; if that used a few dungeons, also all but the random agent in new ones.

    cloned: whether there is a policy of the stage `clone`. others: names of further trainings.
    """
    agents = [*named[:1], *others, *(["cloned"] if cloned else []), *named[1:]]
    rows = [Entry(agent, agent, levels) for agent in agents]
    if levels is not None:
        rows += [Entry(f"{agent}, new levels", agent, None) for agent in agents if agent != "random"]
    return rows


def reads(config: Config) -> dict[str, str]:
    """What training reads: the same game, skills, programs and rewards; and the policy, if it is given."""
    salt = config.evaluate.salt_file
    hidden = {} if salt is None else file_contents("evaluate.salt_file", salt)
    others: dict[str, str] = {}
    for file in _trainings(config).values():
        check_policy(file, config, needs_header=True)
        others |= file_contents("evaluate.trainings", str(file))
    return train.reads(config) | policy_files(config) | hidden | others


def _trainings(config: Config) -> dict[str, Path]:
    """Agent -> the policy's file, of the further trainings. Raises UserError if one is missing."""
    return {
        f"training_{number}": policy_file(given, "evaluate.trainings")
        for number, given in enumerate(config.evaluate.trainings, start=2)
    }


def foresee(config: Config) -> None:
    """Raises UserError for a salt or options that the evaluation would refuse."""
    salt_of(config)
    check_options(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    settings = config.evaluate
    games = min(config.nethack.games, settings.episodes)
    waves = -(-settings.episodes // games)
    others = _trainings(config)
    rows = entries(settings.agents, config.nethack.levels, "clone" in inputs, list(others))
    tasks = tasks_of(config)
    # A policy of another network is refused before any game starts.
    given = config.train.policy
    file = inputs["train"].path / POLICY if given is None else policy_file(given, "train.policy")
    trained = read_policy(file, config)
    policies = {"trained": trained} | {agent: read_policy(path, config) for agent, path in others.items()}
    if "clone" in inputs:
        policies["cloned"] = read_policy(inputs["clone"].path / POLICY, config)
    players = Players(config, policies, games)
    of_training = {row.name: row.agent for row in rows if row.agent in ("trained", *others)}
    results: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    spreads: list[dict[str, Any]] = []
    tables: list[str] = []
    bytes_of, steps = 0, 0
    total = len(tasks) * len(rows) * waves * games
    # New dungeons are what counts, if training was limited to a few.
    main = next((row.name for row in rows if row.agent == rows[0].agent and row.levels is None), rows[0].name)
    with Progress("evaluate", total, "episodes", tracker=tracker) as progress:
        for task in tasks:
            program = task_program(inputs, task.name)
            episodes: dict[str, list[Episode]] = {}
            for row, wave, found in _played(config, players, task, program, rows, waves, work):
                episodes.setdefault(row.name, []).extend(found)
                progress.advance(games)
                if wave == waves - 1:
                    episodes[row.name] = episodes[row.name][: settings.episodes]
                    made = row_of(task, row, episodes[row.name], settings)
                    figures.track_agent(tracker, progress.done, made)
            own = [row_of(task, row, episodes[row.name], settings) for row in rows]
            results += own
            title = f"## {task.name}\n\n{task.words}\n\n" if len(tasks) > 1 else ""
            levels = {row.name: row.levels for row in rows}
            against = comparisons(task, episodes, levels, settings.confidence)
            compared += against
            spread = trainings(task, episodes, levels, of_training, settings.confidence)
            spreads += spread
            told_of = lines_of(against) + lines_of_trainings(spread, settings.confidence) + _paper(task)
            tables.append(title + table(own, settings.confidence) + told_of)
            lines += [
                {"task": task.name, "agent": agent, **{name: getattr(one, name) for name in _TOLD}}
                for agent, played in episodes.items()
                for one in played
            ]
            figures.track_task(tracker, progress.done, own, episodes)
            work.write_arrays(f"{task.name}/{kept.FILE}", **kept.arrays(episodes))
            bytes_of += (work.path / task.name / kept.FILE).stat().st_size
            steps += sum(episode.steps for played in episodes.values() for episode in played)
            for replay in write_shown(config, inputs, work, task, main, episodes[main]):
                if replay.warning:
                    log.warning("evaluate: the replay '%s': %s", replay.label, replay.warning)
    work.write_text(EPISODES, "".join(json.dumps(line) + "\n" for line in lines))
    work.write_text(TABLE, "\n".join(tables))
    told = {
        task.name: {
            "words": task.words,
            "success": list(task.success),
            "published": list(task.published),
            "paper": dict(task.paper),
        }
        for task in tasks
    }
    salt = None if players.salt is None else salt_name(players.salt)
    facts = {"tasks": told, "salt": salt, "confidence": settings.confidence}
    work.write_json(RESULTS, facts | {"rows": results, "comparisons": compared, "trainings": spreads})
    return {
        "rows": results,
        "summary": summary([row for row in results if row["task"] == tasks[0].name], settings.confidence),
        "bytes_per_step": round(bytes_of / max(1, steps), 3),
    }


def _played(
    config: Config,
    players: "Players",
    task: Task,
    program: str,
    rows: Sequence[Entry],
    waves: int,
    work: Work,
) -> Iterator[tuple[Entry, int, list[Episode]]]:
    """The waves of all rows of a task. What was played before the run was stopped is read from the disk."""
    for levels in dict.fromkeys(row.levels for row in rows):
        steps = steps_of(task, config)
        seeds = players.hidden_seeds(levels, waves)
        with open_pool(
            config, "evaluate", players.games, steps, levels, seeds=seeds, leave=task.leaves
        ) as pool:
            for row in (row for row in rows if row.levels == levels):
                began = time.perf_counter()
                for wave in range(waves):
                    # A stopped run goes on with the next wave, so the random draws depend only on the wave.
                    name = f".scratch/{task.name}/{row.name}-{wave}.json"
                    if not (work.path / name).exists():
                        found = players.wave(pool, row, task, program, wave)
                        work.write_text(name, json.dumps([episode.as_json() for episode in found]))
                    yield row, wave, wave_of(work.path / name)
                log.info("evaluate: %s: %s: %.1f s", task.name, row.name, time.perf_counter() - began)


def wave_of(path: Path) -> list[Episode]:
    """The episodes in a file of a wave. Raises UserError if they are none, or those of another version."""
    remedy = f"remove {shlex.quote(str(path))}, and they are played again"
    saved = read_json(path)
    with refusing(path, "episodes", remedy):
        return [Episode(**episode) for episode in saved]


def salt_of(config: Config) -> str | None:
    """The secret in `evaluate.salt_file`. Raises UserError if it cannot be read or is too short."""
    file = config.evaluate.salt_file
    if file is None:
        return None
    try:
        salt = read_text(Path(file)).strip()
        salt_name(salt)
    except UserError as error:
        raise UserError(f"evaluate.salt_file: {error}") from error
    except ValueError as error:
        how = "python -c 'import secrets; print(secrets.token_hex())'"
        raise UserError(f"evaluate.salt_file: {file}: {error}; make one with: {how}") from error
    return salt


class Players:
    """Plays waves of episodes in pools of `games` games. The network is compiled once for all of them."""

    def __init__(self, config: Config, policies: Mapping[str, Params], games: int) -> None:
        """policies: by agent; agents without one of their own play with that of `trained`."""
        self._config, self.games = config, games
        self.salt = salt_of(config)
        self._network = build(config.train.network, len(config.skills))
        self._params = dict(policies)
        self._acting = batches(self._network, games)
        self._skills = skills_of(config)

    def hidden_seeds(self, levels: int | None, waves: int) -> list[list[EpisodeSeeds]] | None:
        """Seeds by game and wave if a salt hides them."""
        if self.salt is None:
            return None
        seed, salt = self._config.run.seed, self.salt
        return [
            [episode_seeds("evaluate", seed, game, wave, levels, salt) for wave in range(waves)]
            for game in range(self.games)
        ]

    def wave(self, pool: GamePool, entry: Entry, task: Task, program: str, wave: int) -> list[Episode]:
        """The episodes of a wave. If a worker died it is played again, so that failures leave no trace."""
        seed = self._config.run.seed
        for _ in range(TRIES):
            policy = self.policy(entry.agent, pool, wave)
            source = program_of(entry.agent, program)
            with ProgramHost(source, self._skills, pool.games, seed + wave, task.program) as host:
                try:
                    return to_end(
                        play_wave(pool, policy, host, task, seed, wave, entry.levels, salt=self.salt)
                    )
                except LostGamesError:
                    log.warning("evaluate: %s: playing %d lost games again", entry.name, pool.games)
        raise UserError(
            f"evaluate: workers died in each of {TRIES} attempts at {pool.games} games; "
            "memory may be too small: lower nethack.games or nethack.workers"
        )

    def policy(self, agent: str, pool: GamePool, wave: int) -> Policy:
        """An agent's policy for the games of a pool, in a wave."""
        seed = self._config.run.seed
        if agent == "random":
            return random_policy(pool, self._network.actions, seed + wave)
        if agent == "wandering":
            return wandering_policy(pool, seed + wave)
        if agent == "explorer":
            return explorer_policy(pool, self._skills, seed)
        if agent == "demonstrator":
            return demonstrator_policy(pool, self._skills, self._config.train.network.actions, seed)
        if agent == "untrained" and agent not in self._params:
            made = jax.jit(initial_params, static_argnums=0)  # twice as fast as without jit
            self._params[agent] = made(self._network, seed)
        key = jax.random.fold_in(jax.random.key(seed + 3), wave)
        params = self._params[agent if agent in self._params else "trained"]
        return network_policy(pool, self._network, params, key, self._acting)


def row_of(
    task: Task, entry: Entry, episodes: Sequence[Episode], settings: EvaluateSettings
) -> dict[str, Any]:
    """A row of the results. What the task does not judge or measure is null."""
    confidence = settings.confidence
    depths = [episode.deepest for episode in episodes]
    deepest = bootstrap_mean(depths, confidence)
    steps = [episode.steps for episode in episodes]
    causes = Counter(episode.cause for episode in episodes if episode.cause)
    prayers = sum(episode.prayers for episode in episodes)
    return {
        "task": task.name,
        "agent": entry.name,
        "levels": entry.levels,
        "episodes": len(episodes),
        "max_steps": settings.max_steps or task.steps,
        **_share("success", [one.success for one in episodes] if task.can_succeed else None, confidence),
        **_share(
            "published", [bool(one.published) for one in episodes] if task.published else None, confidence
        ),
        **_mean("measured", [one.measured for one in episodes], confidence),
        **_mean("published_measured", [one.published_measured for one in episodes], confidence),
        "normalised": _normalised(task, episodes),
        "progression_mean": round(
            float(np.mean([progression(one.deepest, one.xp_level) for one in episodes])), 5
        ),
        "progress_mean": round(float(np.mean([one.progress for one in episodes])), 4),
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


def _paper(task: Task) -> str:
    """The paper's results in a sentence; "" without any."""
    form = ".1%" if task.can_succeed else ".2f"
    given = ", ".join(f"{agent} {value:{form}}".replace("%", " %") for agent, value in task.paper.items())
    test = "the published test" if task.can_succeed else "the published measure"
    return f"\nIn the paper, by {test}: {given}.\n" if given else ""


def _normalised(task: Task, episodes: Sequence[Episode]) -> float | None:
    """The result by the published test: 0 is the paper's best baseline, 1 its agent; null without them."""
    reference, baseline = task.paper.get(PAPER_AGENT), task.paper.get(PAPER_BASELINE)
    if reference is None or baseline is None:
        return None
    optimum = 1.0 if task.published else None
    found = [one.published if task.published else one.published_measured for one in episodes]
    value = float(np.mean(np.array(found, float)))
    return round(normalised(value, baseline, reference, optimum, 0.5 / len(found)), 3)


def _share(name: str, achieved: Sequence[bool] | None, confidence: float) -> dict[str, Any]:
    """The share of episodes with its Wilson interval; null without a test."""
    keys = (name, f"{name}_low", f"{name}_high")
    if achieved is None:
        return dict.fromkeys(keys)
    low, high = wilson(sum(achieved), len(achieved), confidence)
    values = (sum(achieved) / len(achieved), low, high)
    return {key: round(value, 4) for key, value in zip(keys, values, strict=True)}


def _mean(name: str, values: Sequence[int | None], confidence: float) -> dict[str, Any]:
    """The mean over the episodes with its bootstrap interval; null where nothing is measured."""
    keys = (name, f"{name}_low", f"{name}_high")
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return dict.fromkeys(keys)
    low, high = bootstrap_mean(known, confidence)
    return {key: round(value, 4) for key, value in zip(keys, (float(known.mean()), low, high), strict=True)}
