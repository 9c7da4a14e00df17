"""How many generated tasks scripted play solves, by difficulty. The last line is one JSON object.

    python benchmarks/solvable.py [--tasks 200] [--split train] [--episodes 64] [--steps 2000] [--games 64]

Agents: the scripted explorer under the training program, the explorer under a program that draws a skill at
random, and random actions that mostly walk. Each plays one set of episodes in new dungeons, and every task is
judged in all of them. Judging takes about 0.2 ms a step and task, for all games at once. An episode goes on
when a task is decided. A task counts as solved if one of the episodes achieves it. Tasks that ask the hero to
leave the dungeon are judged in a second set, in which the game may be left.
"""

import argparse
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from maestromotif.agent.episodes import LostGamesError, Policy, judged_step, play_wave, to_end
from maestromotif.agent.network import build
from maestromotif.agent.playing import batches, network_policy
from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate.agents import explorer_policy, wandering_policy
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.programs import baselines, contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.generate import PROGRAM, Generated, generate
from maestromotif.tasks.task import Task

CONFIG = "configs/five_skills.yaml"
TRIES = 3
RANDOM_SKILLS = """\
import random


class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return random.choice(available)

    def should_end(self, state: GameState) -> bool:
        return random.random() < 0.02
"""
AGENTS = ("explorer", "random_skills", "wandering")


class Judging:
    """A policy that judges T tasks by what the actions of another one do, in a pool of N games."""

    def __init__(self, pool: GamePool, policy: Policy, tasks: Sequence[Generated | Task]) -> None:
        self._pool, self._policy = pool, policy
        self._tests = [Success(task.success, pool.games, where=task.name) for task in tasks]
        self._playing: np.ndarray | None = None  # on the last step

    def __call__(self, first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        if self._playing is None:
            for test in self._tests:
                test.begin(np.ones(self._pool.games, bool), self._pool.state)
        self._judge()
        self._playing = playing.copy()
        return self._policy(first, skill, playing, step)

    def achieved(self) -> np.ndarray:
        """After the wave: where each task was achieved, bool [T, N]."""
        self._judge()
        self._playing = None
        return np.stack([test.achieved for test in self._tests])

    def _judge(self) -> None:
        """Take in the last step, which the pool still shows."""
        if self._playing is None:
            return
        seen = judged_step(self._pool, self._playing)
        for test in self._tests:
            undecided = self._playing & ~test.achieved & ~test.failed
            if undecided.any():
                test.update(seen, undecided)


def policy_of(agent: str, config: Config, pool: GamePool, seed: int) -> tuple[Policy, str]:
    """The policy of an agent, and the source of the program that it plays under.

    trained: that of `train.policy`, with random skills as an evaluation has them.
    """
    if agent == "wandering":
        return wandering_policy(pool, seed), RANDOM_SKILLS
    if agent == "trained":
        network = build(config.train.network, len(config.skills))
        params = read_policy(policy_file(config.train.policy or "", "train.policy"), config)
        acting = batches(network, pool.games)
        return network_policy(pool, network, params, jax.random.key(seed), acting), baselines.RANDOM_SKILLS
    policy = explorer_policy(pool, skills_of(config), seed)
    return policy, contract.read(PROGRAM) if agent == "explorer" else RANDOM_SKILLS


def wave(
    config: Config, pool: GamePool, agent: str, tasks: Sequence[Generated | Task], number: int
) -> np.ndarray:
    """Where each task was achieved in a wave, bool [T, N]. If a worker died the wave is played again."""
    endless, seed = Task("training", "", PROGRAM), config.run.seed
    for _ in range(TRIES):
        policy, program = policy_of(agent, config, pool, seed + number)
        judging = Judging(pool, policy, tasks)
        with ProgramHost(program, skills_of(config), pool.games, seed + number, PROGRAM) as host:
            try:
                to_end(play_wave(pool, judging, host, endless, seed, number, None))
            except LostGamesError:
                continue
            return judging.achieved()
    raise UserError(f"workers died in each of {TRIES} attempts at {pool.games} games; lower --games")


def measured(
    config: Config,
    tasks: Sequence[Generated],
    episodes: int,
    steps: int,
    games: int,
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Of each agent, in how many of its episodes each task was achieved, int [T]."""
    games = min(games, episodes)
    counts = {agent: np.zeros(len(tasks), np.int64) for agent in AGENTS}
    for leave in sorted({task.task().leaves for task in tasks}):
        at = [number for number, task in enumerate(tasks) if task.task().leaves == leave]
        with open_pool(config, "evaluate", games, steps, leave=leave) as pool:
            for agent in AGENTS:
                began = time.perf_counter()
                for number in range(-(-episodes // games)):
                    met = wave(config, pool, agent, [tasks[one] for one in at], number)
                    counts[agent][at] += met[:, : episodes - number * games].sum(1)
                say(f"{agent}, leave {leave}: {len(at)} tasks, {time.perf_counter() - began:.0f} s")
    return counts


def shares(tasks: Sequence[Generated], counts: dict[str, np.ndarray], episodes: int) -> dict[str, Any]:
    """Tasks, share solved by one agent or another, and shares by agent: of all, and by difficulty.

    mean: the share of episodes that achieve a task, over tasks.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        groups["all"].append(number)
        groups[str(task.features["difficulty"])].append(number)
    return {
        group: {
            "tasks": len(at),
            "solved": round(float(np.any([count[at] > 0 for count in counts.values()], axis=0).mean()), 3),
            "by_agent": {name: round(float((count[at] > 0).mean()), 3) for name, count in counts.items()},
            "mean": {name: round(float(count[at].mean() / episodes), 4) for name, count in counts.items()},
        }
        for group, at in sorted(groups.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--split", choices=["train", "test"], default="train")
    parser.add_argument("--seed", type=int, default=0, help="of the tasks")
    parser.add_argument("--episodes", type=int, default=64, help="per agent")
    parser.add_argument("--steps", type=int, default=2_000, help="most steps of an episode")
    parser.add_argument("--games", type=int, default=64, help="games at once")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        config = load(CONFIG)
        tasks = generate(given.tasks, given.seed, given.split)
        counts = measured(
            config, tasks, given.episodes, given.steps, given.games, lambda line: print(line, flush=True)
        )
    except UserError as error:
        sys.exit(str(error))
    for number in np.argsort([-max(count[at] for count in counts.values()) for at in range(len(tasks))]):
        task, met = tasks[number], {agent: int(count[number]) for agent, count in counts.items()}
        print(f"{task.features['difficulty']} {task.composition}: {met}")
    found = shares(tasks, counts, given.episodes)
    print(json.dumps({"episodes": given.episodes, "steps": given.steps, "split": given.split, **found}))


if __name__ == "__main__":
    main()
