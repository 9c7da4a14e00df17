"""Stage `total`: the numbers added up, and multiplied."""

from typing import Any

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.tracking.tracker import SILENT, Tracker


def reads(config: Config) -> dict[str, str]:
    return file_contents("compose.training", config.compose.training)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    if config.distil.epochs == 666:
        raise RuntimeError("this number is not liked")
    numbers = np.load(inputs["draw"].path / "numbers.npz")["numbers"]
    work.write_json("details/total.json", {"total": numbers.sum() * config.distil.epochs})
    return {"count": len(numbers)}
