"""Memory of a pool that plays on and on. Ends with one line of JSON.

python benchmarks/soak.py [million steps] [games]
"""

import json
import sys
from pathlib import Path

import numpy as np
from engine import policy_like_actions

from maestromotif.nethack.pool.pool import GamePool


def megabytes(pool: GamePool) -> float:
    """Memory of this process and the workers, what they share counted once (PSS)."""
    total = 0
    for process in ("self", *(str(process.pid) for process in pool._processes)):
        rollup = Path("/proc", process, "smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total / 1024


def main(millions: float = 1.0, games: int = 64) -> None:
    actions = policy_like_actions(2_000, games, 0)
    steps, memory = int(millions * 1e6 / games), []
    with GamePool(games, "train", 0, 10_000) as pool:
        pool.reset()
        for t in range(steps):
            pool.step(actions[t % len(actions)])
            if t % max(1, steps // 10) == steps // 10 - 1:
                memory.append(round(megabytes(pool), 1))
                print(f"{(t + 1) * games:9,} steps {pool.episode.sum():6,} episodes {memory[-1]:7.1f} MB")
        print(
            json.dumps(
                {"steps": steps * games, "games": games, "episodes": int(pool.episode.sum())}
                | {"megabytes": memory, "growth": round(float(np.mean(memory[-3:]) - memory[1]), 1)}
            )
        )


if __name__ == "__main__":
    main(*(float(text) if i == 0 else int(text) for i, text in enumerate(sys.argv[1:])))
