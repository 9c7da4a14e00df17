"""Print what finished runs of one config say, a column for each run: success, deaths, pay, actions.

    maestromotif run configs/quickstart.yaml run.seed=0 run.name=seed0
    python benchmarks/quickstart.py runs/seed0 runs/seed1 runs/seed2

A table in Markdown, then one line of JSON: the trained agent's success in each run.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pay import shares

from maestromotif.evaluate.evaluate import EPISODES, RESULTS
from maestromotif.train.account import PAID
from maestromotif.train.metrics import CURVE

CAUSES, ACTIONS, EVENTS = 4, 3, 2  # how many of each are listed


class Run:
    """The artefacts of a finished run, as JSON."""

    def __init__(self, folder: Path) -> None:
        def lines(path: Path) -> list[dict[str, Any]]:
            return [json.loads(line) for line in path.read_text().splitlines()]

        self.name = folder.name
        results = json.loads((folder / "evaluate" / RESULTS).read_text())
        first = results["rows"][0]["task"]
        self.rows = {row["agent"]: row for row in results["rows"] if row["task"] == first}
        self.trained = self.rows["trained"]
        self.episodes = [one for one in lines(folder / "evaluate" / EPISODES) if one["task"] == first]
        self.paid = json.loads((folder / "train" / PAID).read_text())
        self.curve = lines(folder / "train" / CURVE)

    def success(self, agent: str) -> str:
        if agent not in self.rows:
            return "not played"
        if self.rows[agent]["success"] is None:
            return "no test"  # of a task that is measured, or that only ends with the steps
        low, high = (100 * self.rows[agent][f"success_{side}"] for side in ("low", "high"))
        return f"{100 * self.rows[agent]['success']:.1f} % [{low:.1f}, {high:.1f}]"

    def deepest(self, agent: str) -> str:
        if agent not in self.rows:
            return "not played"
        own = self.rows[agent]
        return f"{own['deepest_mean']:.2f} [{own['deepest_low']:.2f}, {own['deepest_high']:.2f}]"

    def causes(self) -> str:
        return ", ".join(f"{cause} {count}" for cause, count in [*self.trained["causes"].items()][:CAUSES])

    def without_success(self, agent: str) -> str:
        """Median environment steps of the agent's episodes without success."""
        steps = [one["steps"] for one in self.episodes if one["agent"] == agent and not one["success"]]
        return f"{statistics.median(steps):.0f}" if steps else "none"

    def prayers(self, skill: str) -> str:
        """Prayers in 1,000 of the skill's steps, over the last quarter of the curve."""
        rows = self.curve[-math.ceil(len(self.curve) / 4) :]
        return f"{statistics.mean(row.get(f'events/{skill}/prayed_per_1k_steps', 0) for row in rows):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    runs = [Run(folder) for folder in parser.parse_args().runs]

    def line(title: str, cells: Iterable[object]) -> None:
        print(f"| {title} | {' | '.join(map(str, cells))} |")

    line("", (run.name for run in runs))
    print("|---" * (len(runs) + 1) + "|")
    agents = list(dict.fromkeys(agent for run in runs for agent in run.rows))
    for agent in agents:
        line(f"success, {agent}", [run.success(agent) for run in runs])
    for agent in agents:
        line(f"mean deepest level, {agent}", [run.deepest(agent) for run in runs])
    line("deaths", [f"{run.trained['deaths']} of {run.trained['episodes']}" for run in runs])
    line("most frequent causes of death", [run.causes() for run in runs])
    line("prayers in 1,000 steps", [run.trained["prayers_per_1000"] for run in runs])
    line("median steps without success", [run.without_success("trained") for run in runs])
    line("... mostly walking", [run.without_success("wandering") for run in runs])
    ends = [run.paid["episodes"] for run in runs]
    line("training episodes that end in death", [f"{100 * one['death_share']:.0f} %" for one in ends])
    line("median steps of a training episode", [f"{one['median_steps']:.0f}" for one in ends])
    for skill in runs[0].paid["skills"]:
        line(f"{skill}: paid for", [shares(run.paid, skill, "events", EVENTS) for run in runs])
        line(f"{skill}: actions", [shares(run.paid, skill, "actions", ACTIONS) for run in runs])
        line(f"{skill}: prayers in 1,000 steps, last quarter", [run.prayers(skill) for run in runs])
    print(json.dumps({run.name: run.trained["success"] for run in runs}))


if __name__ == "__main__":
    main()
