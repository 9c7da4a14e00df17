"""Memory of a pool over a long run. Ends with one line of JSON.

python benchmarks/soak.py [million steps, 1.0] [games, 64]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from engine import policy_like_actions

from maestromotif.nethack.pool.pool import GamePool


def megabytes(pool: GamePool) -> float:
    """Memory of this process and the workers in MiB, with shared memory counted once (PSS)."""
    total = 0
    for process in ("self", *(str(process.pid) for process in pool._processes)):
        rollup = Path("/proc", process, "smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total / 1024


SAMPLES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("millions", type=float, nargs="?", default=1.0, help="million steps, over all games")
    parser.add_argument("games", type=int, nargs="?", default=64)
    given = parser.parse_args()
    games: int = given.games
    steps, memory = int(given.millions * 1e6 / games), []
    if steps < SAMPLES:
        parser.error(f"{steps} steps per game are too few; use at least {SAMPLES}")
    actions = policy_like_actions(2_000, games, 0)
    with GamePool(games, "train", 0, 10_000) as pool:
        pool.reset()
        for t in range(steps):
            pool.step(actions[t % len(actions)])
            if t % (steps // SAMPLES) == steps // SAMPLES - 1:
                memory.append(round(megabytes(pool), 1))
                print(f"{(t + 1) * games:9,} steps {pool.episode.sum():6,} episodes {memory[-1]:7.1f} MB")
        print(
            json.dumps(
                {"steps": steps * games, "games": games, "episodes": int(pool.episode.sum())}
                | {"megabytes": memory, "growth": round(float(np.mean(memory[-3:]) - memory[1]), 1)}
            )
        )


if __name__ == "__main__":
    main()
