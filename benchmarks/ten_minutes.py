"""Ten minutes of training on this machine's cores, and the one number that no later change may lower.

    python benchmarks/ten_minutes.py [--minutes 10] [--seed 0] [KEY=VALUE ...]

It trains `configs/descender.yaml`: one skill, distilled rewards, a new dungeon every episode, no task that
ends an episode. A short training measures the speed first and gives the number of steps for the time, so a
result can be repeated with `train.steps`; how long the training really took is among the figures. Then the
trained agent, the scripted explorer and random walking play 128 episodes of 1,000 steps in dungeons that
training never saw. At last `configs/quickstart.yaml` is trained on the rewards of the repository, for its own
number of steps or for a share of them if --minutes is less than 10.

The last line is one JSON object: `mean_deepest_new` with its interval, `explorer`, `random_walk` (mean
deepest levels), `success_quickstart`, and the steps and seconds.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maestromotif.cli.output import log_to_stderr
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import RESULTS
from maestromotif.pipeline.runner import open_run, run_all
from maestromotif.pipeline.store import Artefact

log = logging.getLogger("maestromotif")

DESCENDER, QUICKSTART = "configs/descender.yaml", "configs/quickstart.yaml"
MINUTES = 10.0  # the time of the one number
CALIBRATION = 20.0  # seconds of training from which the speed is taken, at about 5,000 steps a second


def finished(config: Config, until: str) -> dict[str, Artefact]:
    """Runs the stages of a config; returns their artefacts by name."""
    return {one.manifest["stage"]: one for one in run_all(config, open_run(config), until=until)}


def steps_in(seconds: float, given: Sequence[str], root: str) -> int:
    """Environment steps that the descender's training manages in this time, its start included."""
    steps = round(5_000 * min(CALIBRATION, seconds / 4))
    sizes = [f"train.steps={steps}", "run.name=calibration", f"run.root={root}", *given]
    config = load(DESCENDER, sizes)
    began = time.monotonic()
    trained = run_all(config, open_run(config), until="train", stale="repeat")[-1].manifest["facts"]
    taken, speed = time.monotonic() - began, float(trained["speed"]["steps_per_second"])
    start = max(0.0, taken - steps / speed)
    log.info("ten_minutes: %.0f steps a second after %.0f s of starting", speed, start)
    return max(1, round(speed * (seconds - start)))


def rows_of(evaluated: Artefact) -> dict[str, dict[str, Any]]:
    rows = json.loads((evaluated.path / RESULTS).read_text())["rows"]
    return {row["agent"]: row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="wall-clock of the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="instead of the steps that fit into the minutes")
    parser.add_argument("--root", default="runs/ten_minutes", help="folder of the runs")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of both trainings")
    given = parser.parse_intermixed_args()
    log_to_stderr()
    try:
        print(json.dumps(measured(given)))
    except UserError as error:
        sys.exit(str(error))


def measured(given: argparse.Namespace) -> dict[str, Any]:
    own = ["tracking.wandb=disabled", f"run.seed={given.seed}", *given.overrides]
    root = f"{given.root}/seed{given.seed}"
    steps = given.steps or steps_in(60 * given.minutes, own, f"{root}/{time.strftime('%H%M%S')}")
    descender = finished(load(DESCENDER, [f"train.steps={steps}", f"run.root={root}", *own]), "evaluate")
    share = min(1.0, given.minutes / MINUTES)
    quick = load(QUICKSTART, ["reward.path=rewards", f"run.root={root}", *own])
    fewer = f"train.steps={max(1, round(share * quick.train.steps))}"
    quickstart = finished(
        load(QUICKSTART, ["reward.path=rewards", f"run.root={root}", *own, fewer]), "evaluate"
    )

    for name, one in (("descender", descender), ("quickstart", quickstart)):
        print(f"{name}\n\n{Path(one['evaluate'].path, 'results.md').read_text()}")
    deep, task = rows_of(descender["evaluate"]), rows_of(quickstart["evaluate"])
    trained, facts = deep["trained"], descender["train"].manifest
    return {
        "mean_deepest_new": trained["deepest_mean"],
        "mean_deepest_new_low": trained["deepest_low"],
        "mean_deepest_new_high": trained["deepest_high"],
        "reach_level_2": trained["at_least_2"],
        "explorer": deep["explorer"]["deepest_mean"],
        "random_walk": deep["wandering"]["deepest_mean"],
        "untrained": deep["untrained"]["deepest_mean"],
        "success_quickstart": task["trained"]["success"],
        "success_quickstart_low": task["trained"]["success_low"],
        "success_quickstart_high": task["trained"]["success_high"],
        "steps": facts["facts"]["steps"],
        "seconds": facts["seconds"],
        "steps_quickstart": quickstart["train"].manifest["facts"]["steps"],
        "seconds_quickstart": quickstart["train"].manifest["seconds"],
        "seed": given.seed,
    }


if __name__ == "__main__":
    main()
