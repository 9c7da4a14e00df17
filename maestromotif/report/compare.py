"""`maestromotif compare RUN RUN...`: a page that shows runs side by side, and what differs in their configs.

Runs whose configs differ only in the seed are one group: their results get a mean and a range, and their
learning curves one colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import maestromotif
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import RESULTS
from maestromotif.evaluate.summary import agent_of
from maestromotif.pipeline.keys import picked
from maestromotif.pipeline.runner import config_of
from maestromotif.pipeline.store import MANIFEST, Run, writing
from maestromotif.report import evidence, plots, report
from maestromotif.report.colours import colour, legend
from maestromotif.report.plots import Axis, Estimate, Series
from maestromotif.report.sections.curves import GROUPS, Quantity, quantities, values_of
from maestromotif.report.sections.trained import STEPS
from maestromotif.report.sections.writing import interval, listed, percent, prose, thousands
from maestromotif.train.metrics import CURVE

PAGE = "compare.html"  # the template
SHOWN = GROUPS[:4]  # all but single events and the learner's figures
COLUMNS = ("trained", "explorer", "wandering")  # agents with a column in the table


@dataclass(frozen=True)
class Compared:
    """What a comparison shows of a finished run."""

    name: str
    config: Config
    settings: dict[str, Any]  # dotted key -> value, of all that can change a result
    results: list[dict[str, Any]]  # of the first task
    curve: list[dict[str, float]]

    def row(self, agent: str) -> dict[str, Any] | None:
        """The agent's row in new dungeons, or else in those of training."""
        rows = [row for row in self.results if agent_of(row) == agent]
        return min(rows, key=lambda row: row.get("levels") is not None, default=None)


def read(folder: Path) -> Compared:
    """A run's folder. Raises UserError if training or evaluation is not finished."""
    config = config_of(folder)
    stages = ("train", "evaluate") if config.train.policy is None else ("evaluate",)
    for stage in stages:
        if not (folder / stage / MANIFEST).is_file():
            raise UserError(f"{folder}: the stage '{stage}' is not finished, so there is nothing to compare")
    run = Run(folder)
    folders = {stage: run.artefact(stage).path for stage in stages}
    return Compared(
        name=folder.name,
        config=config,
        settings={key: value for key, value in picked(config, [""]).items() if key != "run.seed"},
        results=evidence.results(folders["evaluate"] / RESULTS)[config.tasks[0]],
        curve=evidence.curve(folders["train"] / CURVE) if "train" in folders else [],
    )


def write(folders: Sequence[Path], path: Path) -> None:
    """Writes the page about these runs. Raises UserError for fewer than two, and as `read` does."""
    if len(set(folders)) < 2:
        raise UserError("compare: name at least two different runs, such as runs/seed0 runs/seed1")
    runs = [read(folder) for folder in folders]
    with writing(path) as file:
        file.write(page(runs).encode())


def page(runs: Sequence[Compared]) -> str:
    """The comparison as HTML."""
    groups = grouped(runs)
    colours = {id(run): colour(index) for index, group in enumerate(groups) for run in group}
    names = names_of(groups)
    return report.template(PAGE).render(
        version=maestromotif.__version__,
        style=report.style(),
        plotting=report.plotting(),
        runs=[_run(run, colours[id(run)]) for run in runs],
        agents=COLUMNS,
        groups=[
            _group(group, name, colours[id(group[0])]) for group, name in zip(groups, names, strict=True)
        ],
        keys=legend([(name, colours[id(group[0])]) for group, name in zip(groups, names, strict=True)]),
        differences=differences(groups),
        heads=names,
        success=_success(runs, colours),
        curves=_curves(runs, colours),
    )


def grouped(runs: Sequence[Compared]) -> list[list[Compared]]:
    """Runs whose settings are the same but for the seed, in the order of the first of each group."""
    groups: list[list[Compared]] = []
    for run in runs:
        same = next((group for group in groups if group[0].settings == run.settings), None)
        groups.append([run]) if same is None else same.append(run)
    return groups


def names_of(groups: Sequence[Sequence[Compared]]) -> list[str]:
    """A name for each group: its runs."""
    return [", ".join(run.name for run in group) for group in groups]


def differences(groups: Sequence[Sequence[Compared]]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all groups, with each group's value."""
    settings = [group[0].settings for group in groups]
    keys = dict.fromkeys(key for one in settings for key in one)
    found = [(key, [_written(one, key) for one in settings]) for key in keys]
    return [(key, values) for key, values in found if len(set(values)) > 1]


def _written(settings: dict[str, Any], key: str) -> str:
    if key not in settings:
        return "–"
    value = "null" if settings[key] is None else settings[key]
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _run(run: Compared, css: str) -> dict[str, Any]:
    main = run.row("trained") or run.results[0]
    return {
        "name": run.name,
        "css": css,
        "seed": run.config.run.seed,
        "steps": thousands(run.curve[-1]["env_step"]) if run.curve else "0",
        "episodes": thousands(main["episodes"]),
        "where": "new" if main.get("levels") is None else f"the {main['levels']} of training",
        "success": [_share(run.row(agent)) for agent in COLUMNS],
        "deepest": f"{main['deepest_mean']:.2f}",
        "deaths": f"{thousands(main['deaths'])} of {thousands(main['episodes'])}",
        "causes": listed({name.removeprefix("killed by "): n for name, n in main["causes"].items()}) or "–",
    }


def _share(row: dict[str, Any] | None) -> tuple[str, str]:
    """Success and its interval."""
    if row is None or row["success"] is None:
        return "–", ""
    return percent(row["success"]), interval((row["success_low"], row["success_high"]), percent)


def _group(group: Sequence[Compared], name: str, css: str) -> dict[str, Any]:
    """Mean and range over the seeds of a group."""
    rows = [row for run in group if (row := run.row("trained"))]
    successes = [row["success"] for row in rows if row["success"] is not None]
    depths = [row["deepest_mean"] for row in rows]
    several = len(rows) > 1
    return {
        "name": name,
        "css": css,
        "seeds": ", ".join(str(run.config.run.seed) for run in group),
        "success": percent(float(np.mean(successes))) if successes else "–",
        "success_range": interval((min(successes), max(successes)), percent) if len(successes) > 1 else "–",
        "deepest": f"{np.mean(depths):.2f}" if rows else "–",
        "deepest_range": interval((min(depths), max(depths)), "{:.2f}".format) if several else "–",
    }


def _success(runs: Sequence[Compared], colours: dict[int, str]) -> Any:
    rows = [
        Estimate(run.name, row["success"], row["success_low"], row["success_high"], colours[id(run)])
        for run in runs
        if (row := run.row("trained")) and row["success"] is not None
    ]
    figure = plots.intervals(rows, Axis("share of episodes", "share", (-0.02, 1.02)))
    return plots.html(figure, "success of the trained agent of each run, with intervals")


def _curves(runs: Sequence[Compared], colours: dict[int, str]) -> list[dict[str, Any]]:
    """One plot for each figure of the learning curve that matters, with a line a run."""
    skills = list(dict.fromkeys(name for run in runs for name in run.config.skills))
    known: dict[str, tuple[Quantity, str]] = {}  # key -> the quantity it belongs to, and the line's name
    for run in runs:
        for quantity in quantities(run.curve, skills):
            if quantity.group in SHOWN:
                known |= {line.key: (quantity, line.name) for line in quantity.lines if line.key not in known}
    window = max((len(run.curve) for run in runs), default=0) // 20 | 1
    drawn = []
    for key, (quantity, what) in known.items():
        series = [
            Series(
                run.name,
                [row["env_step"] for row in run.curve],
                values_of(key, run.curve, quantity.group),
                colours[id(run)],
                ("solid", "dash", "dot")[index % 3] if _beside(runs, run, colours) else "solid",
            )
            for index, run in enumerate(runs)
            if any(key in row for row in run.curve)
        ]
        figure = plots.lines(series, STEPS, Axis(quantity.unit, quantity.unit), window=window)
        title = f"{quantity.title}: {what}" if len(quantity.lines) > 1 else quantity.title
        drawn.append(
            {
                "title": title,
                "figure": plots.html(figure, f"{title}, over environment steps"),
                "note": prose(quantity.doc),
            }
        )
    return drawn


def _beside(runs: Sequence[Compared], run: Compared, colours: dict[int, str]) -> bool:
    """Whether another run has the same colour."""
    return sum(colours[id(other)] == colours[id(run)] for other in runs) > 1
