"""What logging costs: training with and without the journal and wandb, in turns, in one run.

    python benchmarks/tracking.py [--minutes 10] [--turn 20] [KEY=VALUE ...]

The quickstart trains on the rewards in the repository, without evaluations. In every other turn its rows go
to the journal and to an offline run of wandb; in the others they are dropped. Prints the steps per second of
each turn. The last line is one JSON object:

share_of_speed, share_of_turns   what is lost, see `turns.compared`
rows            logged in the turns with logging; us_per_row: time of the training's thread for each
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from turns import compared, show

from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.machine import available_cores
from maestromotif.pipeline.store import Work
from maestromotif.tracking.tracker import Silent, Tracker
from maestromotif.tracking.tracking import Tracking
from maestromotif.train import train


class _OverError(Exception):
    """The measurement is done."""


class Turns(Silent):
    """Passes rows on in every other turn. A turn ends with the first row after its time."""

    def __init__(self, tracker: Tracker, seconds: float, turn: float, warm_up: float) -> None:
        self._tracker, self._seconds, self._turn = tracker, seconds, turn
        self._start: float | None = None
        self._warm_until = time.perf_counter() + warm_up
        self._step = 0
        self.turns: list[tuple[float, int]] = []  # seconds and steps; even ones with logging
        self.rows, self.spent = 0, 0.0

    def row(self, step: int, figures: Mapping[str, int | float]) -> None:
        now = time.perf_counter()
        if now < self._warm_until:
            return
        if self._start is None:
            self._start, self._step = now, step
        if now - self._start >= self._turn:
            self.turns.append((now - self._start, step - self._step))
            show(len(self.turns), *self.turns[-1])
            self._start, self._step = now, step
            if sum(lasted for lasted, _ in self.turns) >= self._seconds and len(self.turns) % 2 == 0:
                raise _OverError
        if len(self.turns) % 2 == 0:
            self._tracker.row(step, figures)
            self.rows += 1
            self.spent += time.perf_counter() - now


def measure(config: Config, seconds: float, turn: float, warm_up: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, suppress(_OverError):
        run = Path(folder)
        with Tracking(config, run, "benchmark.yaml") as tracking:
            turns = Turns(tracking.stage("train", "train-a", train.LOGGED), seconds, turn, warm_up)
            train.run(config, {}, Work(run / "train"), turns)
    return compared(turns.turns) | {
        "rows": turns.rows,
        "us_per_row": round(1e6 * turns.spent / max(turns.rows, 1)),
        "cores": available_cores(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--turn", type=float, default=20, help="seconds of a turn")
    parser.add_argument("--warm-up", type=float, default=30, help="seconds before the first turn")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that override the config")
    arguments = parser.parse_args()
    endless = ("reward.path=rewards", "train.steps=1000000000000", "train.checkpoint_steps=1000000000000")
    quiet = ("tracking.evaluate_steps=null", "tracking.wandb=offline")
    config = load(arguments.config, [*endless, *quiet, *arguments.overrides])
    print(json.dumps(measure(config, 60 * arguments.minutes, arguments.turn, arguments.warm_up)))


if __name__ == "__main__":
    main()
