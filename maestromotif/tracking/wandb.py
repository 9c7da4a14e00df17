"""A run of Weights & Biases: online with an API key, offline without one.

An offline run is in `runs/<name>/wandb`; `wandb sync` uploads it, `wandb leet` shows it. The x axis of every
plot is `env_step`, because wandb's own step restarts at 0 when a run is resumed offline.
"""

import contextlib
import logging
import netrc
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import wandb
from wandb import Run

from maestromotif.config.schema import Config
from maestromotif.errors import Finding

__all__ = ["Run", "check", "html", "start", "table"]

log = logging.getLogger("maestromotif")

INIT_SECONDS = 30  # timeout for a server that does not answer


def start(config: Config, run_folder: Path) -> Run:
    """A wandb run with its files in `<run_folder>/wandb`; the same name and seed give the same run id.

    With `auto` the run is offline if there is no key or no server. The run is a context manager that finishes
    it on exit. Raises what `wandb.init` raises.
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


def table(columns: Sequence[str | int], rows: Sequence[Sequence[Any]]) -> wandb.Table:
    """A table to log; each of `rows` is a row."""
    return wandb.Table(columns=list(columns), data=[list(row) for row in rows])


def html(page: str) -> wandb.Html:
    """A complete HTML page to log, unchanged."""
    return wandb.Html(page, inject=False, data_is_not_path=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """While wandb starts: sends no error reports and does not ask for a key on the terminal.

    wandb asks on any terminal that is not "dumb", and a run must not block on a question.
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
    """Looks for a key in the environment, then in ~/.netrc, as wandb does."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    found = bool(os.environ.get("WANDB_API_KEY"))
    with contextlib.suppress(OSError, netrc.NetrcParseError):  # no such file, or one that wandb cannot read
        found = found or netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    if found:
        yield Finding("ok", f"API key for {host} found")
    else:
        login = shlex.join([str(Path(sys.executable).parent / "wandb"), "login"])
        yield Finding("absent", f"no API key for {host}: Weights & Biases runs are offline", login)
