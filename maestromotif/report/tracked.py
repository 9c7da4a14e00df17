"""The figures of the report as a tracked run: the learning curve, label quality, reward models, results.

Whatever goes wrong here costs a warning and never the report.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact
from maestromotif.replay import page as replay
from maestromotif.report import evidence
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.writing import listed
from maestromotif.tracking.wandb import Run, html, start, table

log = logging.getLogger("maestromotif")


def log_run(config: Config, inputs: Mapping[str, Artefact], report_path: Path) -> None:
    """Logs the artefacts and the report to one wandb run, unless `tracking.wandb` is `disabled`."""
    if config.tracking.wandb == "disabled":
        return
    try:
        found = evidence.read(config, inputs)
        with start(config, Path(config.run.root) / config.run.name) as run:
            log_evidence(run, config, found)
            run.log({"env_step": last_step(found), "report": html(report_path.read_text(encoding="utf-8"))})
    except Exception as error:  # a tracking service must not cost anybody a finished run
        log.warning(
            "wandb: not logged, but the report is complete (%s: %s); tracking.wandb=disabled turns it off",
            type(error).__name__,
            error,
        )


def log_evidence(run: Run, config: Config, found: Evidence) -> None:
    """The learning curve row by row; at its end label quality, reward models, pay, results and the replay."""
    for row in found.curve:
        run.log(dict(row))
    final: dict[str, Any] = {"env_step": last_step(found)}
    for labels in found.labels:
        final |= _labels(labels)
    for card in found.rewards:
        final |= _reward(card)
    final |= _paid(found.paid)
    final |= _results(config, found)
    page = replay.page(found.replay)
    final["eval/replay"] = html(page)
    run.log(final)


def last_step(found: Evidence) -> int:
    """Environment step at which training ended, 0 without a curve."""
    return int(found.curve[-1]["env_step"]) if found.curve else 0


def _labels(labels: evidence.Labels) -> dict[str, Any]:
    key = f"ann/{labels.skill}"
    questions = labels.quality.get("questions") or 1
    figures = {
        f"{key}/pairs": labels.pairs,
        f"{key}/tie_rate": labels.ties / max(1, labels.pairs),
        f"{key}/parse_fail_rate": labels.quality.get("nonsense", 0) / questions,
        f"{key}/swap_consistency": labels.quality.get("consistent"),
        f"{key}/position_bias": labels.quality.get("position_bias"),
    }
    known = {name: value for name, value in figures.items() if value is not None}
    return known | {f"{key}/captions": table(["caption", labels.measure], labels.captions)}


def _reward(card: evidence.RewardCard) -> dict[str, Any]:
    key = f"rm/{card.skill}"
    figures: dict[str, Any] = {f"{key}/mean": card.mean, f"{key}/std": card.std}
    if card.accuracy is not None:
        figures[f"{key}/val_acc"] = card.accuracy
    if card.interval is not None:
        figures |= {f"{key}/val_acc_low": card.interval.low, f"{key}/val_acc_high": card.interval.high}
    rows = [["top", *one] for one in card.top] + [["bottom", *one] for one in card.bottom]
    return figures | {
        f"{key}/observations": table(["end", "caption", "reward"], rows),
        f"{key}/quantiles": table(["quantile", "reward"], card.quantiles),
    }


def _paid(account: Mapping[str, Any]) -> dict[str, Any]:
    figures = {
        f"paid/{name}/{figure}": own[figure]
        for name, own in account["skills"].items()
        for figure in ("gained", "lost", "unwanted_share")
    }
    figures |= {f"paid/{name}": account["episodes"][name] for name in ("death_share", "median_steps")}
    return {name: value for name, value in figures.items() if value is not None}


def _results(config: Config, found: Evidence) -> dict[str, Any]:
    """The trained agent under the task's name, all agents under their own, and the table."""
    figures: dict[str, Any] = {}
    for row in found.results:
        for name, value in row.items():
            if isinstance(value, int | float):
                figures[f"eval/{row['agent']}/{name}"] = value
        if row["agent"] == "trained":
            figures[f"eval/success/{config.task.name}"] = row["success"]
            figures["eval/depth/mean"] = row["deepest_mean"]
            if row.get("steps_mean") is not None:
                figures["eval/episode_len"] = row["steps_mean"]
    deepest = [max(one.deepest) for one in found.episodes if one.agent == "trained" and one.deepest]
    if deepest:
        figures["eval/depth/max"] = deepest[0]
    columns: list[str | int] = list(found.results[0])
    told = [row | {"causes": listed(row["causes"])} for row in found.results]
    rows = [[row.get(str(name)) for name in columns] for row in told]
    return figures | {"eval/results": table(columns, rows)}
