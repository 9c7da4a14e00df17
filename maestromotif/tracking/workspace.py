"""The dashboard as a saved workspace of Weights & Biases. Saving it again updates the same view.

A workspace is a view of a project. Its internal name is made from the names of the project and of the config,
so a second save finds the first one, wherever it runs.
"""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import wandb
from wandb_workspaces import workspaces
from wandb_workspaces.reports.v2 import interface as reports
from wandb_workspaces.workspaces import internal

from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.tracking.logged import ENV_STEP, Logged
from maestromotif.tracking.panels import Filled, filled
from maestromotif.tracking.wandb import check, group_of, quiet

COLUMNS = 3  # panels in a row
SECONDS = 10  # timeout for a server that does not answer

Lists = Mapping[str, Iterable[Logged]]  # of what each stage logs


def workspace(config: Config, config_file: str, logged: Lists, entity: str = "") -> workspaces.Workspace:
    """The dashboard of the runs of a config, as it is saved: those that differ only in seed and name.

    config_file: as the user typed it, with its overrides. entity: the user or team that owns the project.
    """
    name, group = Path(shlex.split(config_file)[0]).stem, group_of(config, config_file)
    made = workspaces.Workspace(
        entity=entity,
        project=config.tracking.project,
        name=f"MaestroMotif: {name}",
        sections=[
            workspaces.Section(
                name=section,
                panels=[_panel(section, one) for one in own],
                is_open=True,
                layout_settings=workspaces.SectionLayoutSettings(
                    columns=COLUMNS, rows=-(-len(own) // COLUMNS)
                ),
            )
            for section, own in filled({"skill": config.skills, "task": config.tasks}, logged).items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis=ENV_STEP),
        runset_settings=workspaces.RunsetSettings(
            filters=workspaces.And(workspaces.Metric("Group") == group), groupby=[workspaces.Metric("Group")]
        ),
    )
    made._internal_name = f"nw-{_id(config.tracking.project, name)}-v"
    made._internal_runset_id = _id("runs", name)
    return made


def text(config: Config, config_file: str, logged: Lists) -> str:
    """The dashboard as JSON, with one panel a line: the same for the same arguments."""
    view = workspace(config, config_file, logged)._to_model()
    spec = view.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    sections = spec["section"]["panelBankConfig"]["sections"]
    lines = {}
    for number, panel in enumerate(panel for section in sections for panel in section["panels"]):
        lines[f'"panel {number}"'] = json.dumps(panel, sort_keys=True)
    numbers = iter(lines)
    for section in sections:
        section["panels"] = [next(numbers).strip('"') for _ in section["panels"]]
    written = json.dumps({"name": view.display_name, "view": view.name, "spec": spec}, indent=1)
    for key, line in lines.items():
        written = written.replace(key, line)
    return written + "\n"


def save(config: Config, config_file: str, logged: Lists) -> str:
    """Save the dashboard, or update it; returns its address.

    Raises UserError without a key, with a wrong key, and without a server.
    """
    with quiet():
        api = _connect()
        entity = config.tracking.entity or os.environ.get("WANDB_ENTITY") or api.default_entity
        if not entity:
            raise UserError("dashboard: the API key belongs to no user or team; set tracking.entity")
        made = workspace(config, config_file, logged, entity)
        try:
            made._internal_id = _saved(api, made)
            made.save()
        except (wandb.errors.Error, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"dashboard: {_place()} refused the workspace for {entity}/{made.project}: {error}; "
                "check that you may write to this project (tracking.entity, tracking.project)"
            ) from error
        return str(made.url)


def _panel(section: str, one: Filled) -> Any:
    panel: Any
    if one.form == "pages":
        panel = reports.MediaBrowser(title=one.title, media_keys=list(one.names), num_columns=1)
    elif one.form == "table":
        panel = reports.WeavePanelSummaryTable(table_name=one.names[0])
    elif one.form == "bars" and one.pattern is None:
        panel = reports.BarPlot(title=one.title, metrics=list(one.names), title_x=one.unit or None)
    else:
        panel = reports.LinePlot(
            title=one.title,
            x=one.axis,
            y=list(one.names),
            metric_regex=one.pattern,
            title_y=one.unit or None,
            plot_type="stacked-area" if one.form == "shares" else None,
        )
    panel._id = _id(section, one.title)
    return panel


def _id(*parts: str) -> str:
    """11 small letters and digits: what Weights & Biases calls a view, a panel and a set of runs."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:11]


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def _place() -> str:
    """The server to show: without a user and a password."""
    parts = urlsplit(_server())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _connect() -> wandb.Api:
    """Raises UserError. wandb alone would try for a minute, and not say that the network is down."""
    instead = "or write the workspace as JSON with --print"
    if any(finding.state == "ok" for finding in check()):
        try:
            httpx.get(_server(), timeout=SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UserError(
                f"dashboard: {_place()} cannot be reached ({error}); check the network and WANDB_BASE_URL, "
                f"{instead}"
            ) from error
    try:
        return wandb.Api(timeout=SECONDS)
    except wandb.errors.UsageError as error:
        raise UserError(
            f"dashboard: no API key for {_place()}; log in with `wandb login`, set WANDB_API_KEY, {instead}"
        ) from error
    except (wandb.errors.Error, ValueError) as error:
        raise UserError(
            f"dashboard: {_place()} does not accept the API key ({_reason(error)}); log in again with "
            "`wandb login --relogin`, or set WANDB_API_KEY to a valid key"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rpartition(": ")[2]


def _saved(api: wandb.Api, made: workspaces.Workspace) -> str:
    """The id of the saved view; "" if there is none. Makes the project if there is none."""
    name = internal._internal_name_to_url_query_str(made._internal_name)
    try:
        return str(internal.get_view_dict(made.entity, made.project, name)["id"])
    except ValueError as error:  # no such view, or no such project
        if "not found in project" not in str(error):
            api.create_project(made.project, made.entity)
        return ""
