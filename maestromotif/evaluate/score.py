"""Scores a program over skills: the trained policy carries out a task under it, in games of the evaluation.

With a salt (`evaluate.salt_file`) the games are others, which nobody can list without it (`nethack.seeds`).
So a program can be written with all published games at hand, and be scored on games that its author does not
know.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from maestromotif import __version__
from maestromotif.agent.episodes import Episode
from maestromotif.agent.network import Params
from maestromotif.config.schema import Config
from maestromotif.evaluate.evaluate import Entry, Players, row_of
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.nethack.seeds import salt_name
from maestromotif.programs import check, contract
from maestromotif.skill import skills_of
from maestromotif.tasks.task import Task, steps_of

# What a score is -> its keys in a row of the results.
_KEYS = {
    "success": ("success", "success_low", "success_high"),
    "measured": ("measured", "measured_low", "measured_high"),
    "deepest": ("deepest_mean", "deepest_low", "deepest_high"),
}
METRICS = {
    "success": "the share of episodes that achieve the task, with Wilson's interval",
    "measured": "the mean of what the task measures at the end of an episode, with a bootstrap interval",
    "deepest": "the mean deepest level of an episode, with a bootstrap interval",
}
_FURTHER = ("progress_mean", "deepest_mean", "steps_mean", "steps_median", "deaths", "causes", "published")


def metric_of(task: Task) -> str:
    """What counts in a task, a key of `METRICS`: success, else what it measures, else the deepest level."""
    return "success" if task.can_succeed else "measured" if task.measure is not None else "deepest"


def score(config: Config, params: Params, task: Task, program: Path, episodes: int) -> dict[str, Any]:
    """The score of a program as plain JSON; more is better.

    params: of the policy, for the config's network. episodes: at least 1. The keys: `task`; `metric` (of
    `METRICS`), `value`, `low`, `high` and `confidence`; `episodes`, `max_steps`, `seed`, the `salt`'s name;
    `program`, its SHA-256 and the package's `version`; and further figures of the row that the stage
    `evaluate` would write.

    Raises UserError if the program cannot be read, fails a check or fails while it plays, and if the salt
    cannot be read or is too short.
    """
    source, skills, seed = contract.read(program), skills_of(config), config.run.seed
    check.program(source, str(program), skills)
    check.behaviour(source, str(program), skills, seed)
    games = min(config.nethack.games, episodes)
    waves = -(-episodes // games)
    players, entry = Players(config, {"trained": params}, games), Entry("trained", "trained", None)
    steps = steps_of(task, config)
    seeds = players.hidden_seeds(None, waves)
    task = replace(task, program=str(program))
    played: list[Episode] = []
    with open_pool(config, "evaluate", games, steps, seeds=seeds, leave=task.leaves) as pool:
        for wave in range(waves):
            played += players.wave(pool, entry, task, source, wave)
    row = row_of(task, entry, played[:episodes], config.evaluate)
    metric = metric_of(task)
    return {
        "task": task.name,
        "metric": metric,
        **dict(zip(("value", "low", "high"), (row[key] for key in _KEYS[metric]), strict=True)),
        "confidence": config.evaluate.confidence,
        "episodes": row["episodes"],
        "max_steps": steps,
        "seed": seed,
        "salt": None if players.salt is None else salt_name(players.salt),
        "program": program.name,
        "program_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "version": __version__,
        **{key: row[key] for key in _FURTHER},
    }
