"""What the evaluation during training costs: training with and without it, in turns, in one run.

    python benchmarks/watching.py [--minutes 10] [--turn 30] [KEY=VALUE ...]

The quickstart trains on the rewards in the repository. In every other turn of `--turn` seconds the watcher
may play, under a budget that counts only the time of these turns; in the others it waits. Prints the steps
per second of each turn. The last line is one JSON object:

share_spent     part of the turns with evaluation for which training paused
share_of_speed, share_of_turns   what is lost, see `turns.compared`
evaluations     finished ones; seconds_each: what each took, with its replays
"""

import argparse
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from turns import compared, show

from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.machine import available_cores
from maestromotif.pipeline.store import Work
from maestromotif.train import train
from maestromotif.train.watch.budget import Budget
from maestromotif.train.watch.watcher import Watcher


class _OverError(Exception):
    """The measurement is done."""


def measure(config: Config, seconds: float, turn: float, warm_up: int) -> dict[str, Any]:
    each = config.nethack.games * config.train.rollout  # environment steps of an update
    turns: list[tuple[float, int]] = []  # seconds and updates; even ones with evaluation
    finished: list[float] = []  # seconds of each evaluation
    watchers: list[Watcher] = []

    class Turns(Watcher):
        """Plays in every other turn."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            watchers.append(self)
            self._since: float | None = None  # beginning of the turn
            self._updates = 0

        def on_time(self) -> float:
            """Seconds of the turns with evaluation."""
            past = sum(lasted for lasted, _ in turns[::2])
            open_ = self._since is not None and len(turns) % 2 == 0
            return past + (time.perf_counter() - (self._since or 0.0) if open_ else 0.0)

        def go_on(self, update: int, *arguments: Any) -> None:
            now = time.perf_counter()
            if update < warm_up:
                return
            if self._since is None:
                self._since, self._updates = now, update
                self.budget = Budget(config.tracking.evaluate_share, self.budget.seconds_of, self.on_time)
                self._first = update
            if now - self._since >= turn:
                turns.append((now - self._since, update - self._updates))
                show(len(turns), now - self._since, each * (update - self._updates))
                self._since, self._updates = now, update
                if sum(lasted for lasted, _ in turns) >= seconds and len(turns) % 2 == 0:
                    raise _OverError
            if len(turns) % 2 == 0:
                due = self._due
                super().go_on(update, *arguments)
                if self._due != due and not self._failures:
                    finished.append(self._cost)

    with (
        patch.object(train, "Watcher", Turns),
        tempfile.TemporaryDirectory() as folder,
        suppress(_OverError),
    ):
        train.run(config, {}, Work(Path(folder)))
    (watcher,) = watchers
    found = compared([(lasted, each * updates) for lasted, updates in turns])
    on = sum(lasted for lasted, _ in turns[::2])
    return found | {
        "share_spent": round(watcher.budget.spent / on, 4),
        "evaluations": len(finished),
        "seconds_each": [round(one, 1) for one in finished],
        "cores": available_cores(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--turn", type=float, default=30, help="seconds of a turn")
    parser.add_argument("--warm-up", type=int, default=10, help="updates before the first turn")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that override the config")
    arguments = parser.parse_args()
    endless = ("reward.path=rewards", "train.steps=1000000000000", "train.checkpoint_steps=1000000000000")
    config = load(arguments.config, [*endless, *arguments.overrides])
    print(json.dumps(measure(config, 60 * arguments.minutes, arguments.turn, arguments.warm_up)))


if __name__ == "__main__":
    main()
