"""Stage `page`: a page about the total."""

import json
from typing import Any

from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.tracking.tracker import SILENT, Tracker


def reads(config: Config) -> dict[str, str]:
    return {}


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    found = json.loads((inputs["total"].path / "details/total.json").read_text())
    work.write_text("page.html", f"<p>{config.tasks[0]}: {found['total']}</p>")
    return {}
