"""What an evaluation adds to the bare pool's time per step: the program over skills, the judge, the record.

    python benchmarks/evaluating.py --games 64 --steps 300

The same random actions are played by the pool alone and as a wave of an evaluation, in turns (A B A B). A
network is left out: it belongs to the agent, not to the evaluation. Prints a line per round, then one line of
JSON: `bare_ms` and `evaluated_ms`, milliseconds per step of all games, and `added`, the share that the
evaluation adds.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np

from maestromotif.agent.episodes import play_wave
from maestromotif.collect.collect import random_actions
from maestromotif.config.load import load
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.tasks.task import tasks_of

CONFIG = Path("policies/trained/six_skills")


def bare(pool: GamePool, actions: np.ndarray) -> float:
    """Seconds that the pool alone takes for actions int32 [T, games]."""
    pool.reset(0)
    began = time.perf_counter()
    for row in actions:
        pool.step(row)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", default="delphi")
    arguments = parser.parse_args()
    config = load(CONFIG, [f"tasks=[{arguments.task}]"])
    task, skills, seed = tasks_of(config)[0], skills_of(config), config.run.seed
    program = Path(task.program).read_text(encoding="utf-8")
    rng = np.random.default_rng(0)
    actions = np.stack([random_actions(1, arguments.games, rng)[0] for _ in range(arguments.steps)])
    found: dict[str, list[float]] = {"bare": [], "evaluated": []}
    with open_pool(config, "evaluate", arguments.games, task.steps, leave=task.leaves) as pool:
        for number in range(arguments.rounds):
            found["bare"].append(bare(pool, actions))
            with ProgramHost(program, skills, pool.games, seed, task.program) as host:
                wave = play_wave(
                    pool, lambda first, skill, playing, step: actions[step], host, task, seed, 0, None
                )
                next(wave)
                began = time.perf_counter()
                for _ in range(arguments.steps - 1):
                    next(wave)
                seconds = time.perf_counter() - began
                found["evaluated"].append(seconds * arguments.steps / (arguments.steps - 1))
                wave.close()
            print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in found.items()))
    least = {name: 1000 * median(seconds) / arguments.steps for name, seconds in found.items()}
    added = least["evaluated"] / least["bare"] - 1
    print(
        json.dumps(
            {
                "bare_ms": round(least["bare"], 3),
                "evaluated_ms": round(least["evaluated"], 3),
                "added": round(added, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
