"""The stage `report`: one self-contained page about a run, for somebody who wants to believe it or not.

Everything in it comes from the artefacts and the config, so that the same artefacts give the same bytes. It
loads nothing: the plots' and the replays' libraries are inlined, and a content security policy forbids the
rest.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import maestromotif
from maestromotif.compose import compose
from maestromotif.config.schema import Config
from maestromotif.evaluate.summary import summary
from maestromotif.pipeline.keys import NOT_IN_KEYS
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.replay import page as replay
from maestromotif.report import evidence
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections import asked, evaluated, judged, labels, paid, programs, rewards, trained
from maestromotif.report.sections.writing import percent
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

LOGGED = (
    Logged("report", "page", "The report."),
    Logged("replays", "page", "The evaluated episodes that the report shows."),
)

PAGE = "report.html"  # and the template that it is made from
HERE = Path(__file__).parent


def reads(config: Config) -> dict[str, str]:
    """The skill files and the programs, which the page shows."""
    return compose.reads(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Writes `report.html`, logs training's warnings again, then gives the page to the tracker.

    Raises UserError if an artefact lacks something.
    """
    found = evidence.read(config, inputs)
    text = page(config, found)
    work.write_text(PAGE, text)
    for one in found.paid["warnings"] if found.paid else []:
        log.warning("report: %s", one["text"])
    tracker.page(0, "report", text, f"Report of {config.run.name}")
    tracker.page(0, "replays", replay.page(*found.replays), f"Episodes of {config.run.name}")
    return {
        "agents": {row["agent"]: row["success"] for row in found.results},
        "summary": summary(found.results, config.evaluate.confidence),
    }


def page(config: Config, found: Evidence, live: Mapping[str, Any] | None = None) -> str:
    """The report as HTML.

    live: of a run that goes on: `stages`, the state of each, and `watched`, plots of the evaluations during
    training. Such a page asks its server for its newest state; any other page asks for nothing.
    """
    return template(PAGE).render(
        config=config,
        version=maestromotif.__version__,
        style=style(),
        live=live,
        plotting=[*([_asset("live.js")] if live else []), *plotting()],
        percent=percent,
        confidence=percent(config.evaluate.confidence),
        contents=_contents(found),
        **asked.values(config, found),
        **labels.values(config, found),
        **judged.values(config, found),
        **rewards.values(config, found),
        **trained.values(config, found),
        **paid.values(config, found),
        **programs.values(found),
        **evaluated.values(config, found),
        replays=replay.fragment(found.replays) if found.replays else "",
        digests=found.digests,
        config_text=_config_text(config),
    )


def template(name: str) -> jinja2.Template:
    """A template that escapes every value but Markup. Values that are missing are errors."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def style() -> Markup:
    """The CSS of every page with plots."""
    return replay.style() + Markup("\n") + _asset("report.css")


def plotting() -> list[Markup]:
    """Plotly and the script that draws the page's plots with it."""
    return [_asset("plotly-basic.min.js"), _asset("plots.js")]


def _asset(name: str) -> Markup:
    return Markup((HERE / "assets" / name).read_text(encoding="utf-8"))


def _contents(found: Evidence) -> list[tuple[str, str]]:
    sections = [("path", "Path"), ("asked", "Asked")]
    sections += [("collect", "Collect")] if found.collected else []
    sections += [("annotate", "Annotate")] if found.labels else []
    sections += [("quality", "Quality")] if found.quality is not None else []
    sections += [("curate", "Curate")] if found.curation else []
    sections += [("distil", "Distil")] if found.rewards else []
    sections += [("soup", "Soup")] if found.soup else []
    sections += [("gate", "Gate")] if found.gate else []
    sections += [("train", "Train")] if found.curve else []
    sections += [("paid", "Paid for")] if found.paid else []
    sections += [("compose", "Compose")] if found.programs else []
    sections += [("evaluate", "Evaluate")] if found.results else []
    sections += [("replay-section", "Replays")] if found.replays else []
    sections += [("limits", "Limits")] if found.results else []
    return [*sections, ("provenance", "Provenance")]


def _config_text(config: Config) -> str:
    """The config as YAML, without what only says where things lie and how fast they go on this machine."""
    values = config.model_dump(mode="json")
    for key in NOT_IN_KEYS - {"run.name"}:
        section, _, field = key.partition(".")
        (values[section] if field else values).pop(field or section)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
