"""Time of one call of the training program for all games, on simulated games. Ends with one line of JSON.

python benchmarks/sandbox.py [games, 64] [calls, 2000]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from maestromotif import skill
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.programs.trial_states import Dice

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", type=int, nargs="?", default=64)
    parser.add_argument("calls", type=int, nargs="?", default=2_000)
    given = parser.parse_args()
    games, calls = given.games, given.calls
    skills = skill.load_all(ROOT / "skills", ["discoverer", "descender", "ascender"])
    source = (ROOT / "policies/training.py").read_text()
    dice, running = Dice(games, seed=0), np.full(games, -1, np.int32)
    seconds = []
    with ProgramHost(source, skills, games, seed=0) as host:
        for _ in range(calls):
            start = time.perf_counter()
            running, switched, *_ = host.step(dice.state, running, dice.fresh)
            seconds.append(time.perf_counter() - start)
            dice.advance(running, switched)
        snapshot = len(host.dump())
    fields = contract.used_fields([source, *(one.program or "" for one in skills)])
    low, middle, high = (round(float(value) * 1e6) for value in np.quantile(seconds, [0.01, 0.5, 0.99]))
    print(
        json.dumps(
            {"games": games, "calls": calls, "fields": len(fields), "us_best": low, "us_median": middle}
            | {"us_p99": high, "snapshot_bytes": snapshot}
        )
    )


if __name__ == "__main__":
    main()
