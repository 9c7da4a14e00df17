"""The figures of the report as a run of Weights & Biases: online with a key, or else offline by itself.

An offline run lies in `runs/<name>/wandb`; `wandb sync` uploads it later, `wandb leet` shows it. The x axis
of everything is `env_step`, because wandb's own step begins at 0 again when a run is resumed offline.
Whatever goes wrong here costs a warning and never the report.
"""

import contextlib
import logging
import netrc
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import wandb

from maestromotif.config.schema import Config
from maestromotif.errors import Finding
from maestromotif.pipeline.store import Artefact
from maestromotif.report import evidence, replay
from maestromotif.report.evidence import Evidence

log = logging.getLogger("maestromotif")

INIT_SECONDS = 30  # until a server that does not answer counts as unreachable


def log_run(config: Config, inputs: Mapping[str, Artefact], report_path: Path) -> None:
    """Logs the artefacts and the report to one wandb run, unless `tracking.wandb` is `disabled`."""
    if config.tracking.wandb == "disabled":
        return
    try:
        found = evidence.read(config, inputs)
        run = start(config, Path(config.run.root) / config.run.name)
        try:
            log_evidence(run, config, found)
            html = report_path.read_text(encoding="utf-8")
            run.log(
                {
                    "env_step": last_step(found),
                    "report": wandb.Html(html, inject=False, data_is_not_path=True),
                }
            )
        finally:
            run.finish()
    except Exception as error:  # a tracking service must not cost anybody a finished run
        log.warning(
            "wandb: not logged, but the report is whole (%s: %s); tracking.wandb=disabled leaves wandb out",
            type(error).__name__,
            error,
        )


def start(config: Config, run_folder: Path) -> wandb.Run:
    """A wandb run with its files in `<run_folder>/wandb`; the same name and seed give the same run id.

    With `auto` it goes offline by itself where there is no key or no server. Raises what `wandb.init` raises.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    mode = config.tracking.wandb
    options: dict[str, Any] = {
        "project": config.tracking.project,
        "name": config.run.name,
        "id": f"{config.run.name}-{config.run.seed}",
        "resume": "allow",
        "dir": str(run_folder),
        "config": config.model_dump(mode="json"),
        "settings": wandb.Settings(
            silent=True, console="off", disable_git=True, x_disable_stats=True, init_timeout=INIT_SECONDS
        ),
    }
    with _quiet():
        if mode != "auto":
            run = wandb.init(mode=mode, **options)
        else:
            try:
                run = wandb.init(**options)
            except (wandb.errors.UsageError, wandb.errors.CommError) as error:
                reason = str(error).strip().split("\n")[0]
                log.info("wandb: going offline (%s)", reason)
                run = wandb.init(mode="offline", **options)
    run.define_metric("env_step")
    run.define_metric("*", step_metric="env_step")
    if run.offline:
        log.info(
            "wandb: offline run in %s; `wandb leet %s` shows it", run_folder / "wandb", Path(run.dir).parent
        )
    return run


def log_evidence(run: wandb.Run, config: Config, found: Evidence) -> None:
    """The learning curve row by row; at its end label quality, reward models, results and the replay."""
    for row in found.curve:
        run.log(dict(row))
    final: dict[str, Any] = {"env_step": last_step(found)}
    for labels in found.labels:
        final |= _labels(labels)
    for card in found.rewards:
        final |= _reward(card)
    final |= _results(config, found)
    page = replay.page(found.replay)
    final["eval/replay"] = wandb.Html(page, inject=False, data_is_not_path=True)
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
    table = wandb.Table(columns=["caption", labels.measure], data=[list(row) for row in labels.captions])
    return {name: value for name, value in figures.items() if value is not None} | {f"{key}/captions": table}


def _reward(card: evidence.RewardCard) -> dict[str, Any]:
    key = f"rm/{card.skill}"
    figures: dict[str, Any] = {f"{key}/mean": card.mean, f"{key}/std": card.std}
    if card.accuracy is not None:
        figures[f"{key}/val_acc"] = card.accuracy
    if card.interval is not None:
        figures |= {f"{key}/val_acc_low": card.interval.low, f"{key}/val_acc_high": card.interval.high}
    rows = [["top", *one] for one in card.top] + [["bottom", *one] for one in card.bottom]
    return figures | {
        f"{key}/observations": wandb.Table(columns=["end", "caption", "reward"], data=rows),
        f"{key}/quantiles": wandb.Table(
            columns=["quantile", "reward"], data=[list(row) for row in card.quantiles]
        ),
    }


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
    rows = [[row.get(str(name)) for name in columns] for row in found.results]
    return figures | {"eval/results": wandb.Table(columns=columns, data=rows)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """While wandb starts: no error reports to its makers, and no question for a key on the terminal.

    wandb asks on any terminal that is not "dumb"; a run that worked for minutes must not wait for an answer.
    """
    wanted = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "TERM": "dumb"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def check() -> Iterator[Finding]:
    """Looks where wandb looks: the environment, then ~/.netrc."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    found = bool(os.environ.get("WANDB_API_KEY"))
    with contextlib.suppress(
        OSError, netrc.NetrcParseError
    ):  # no such file, or one that wandb cannot read either
        found = found or netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    if found:
        yield Finding("ok", f"a key for {host}")
    else:
        login = shlex.join([str(Path(sys.executable).parent / "wandb"), "login"])
        yield Finding("absent", f"no key for {host}: Weights & Biases runs stay offline, in files", login)
