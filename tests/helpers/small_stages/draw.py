"""Stage `draw`: numbers, in chunks that survive a kill."""

import os
import time
from typing import Any

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker
from small_stages import CHUNKS

LOGGED = (Logged("draw/chunks", "chunks", "Chunks that are drawn."),)


def reads(config: Config) -> dict[str, str]:
    return {}


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Each chunk takes SECONDS_A_CHUNK (set by tests that kill) and is kept in the scratch folder."""
    computed = 0
    for chunk in range(CHUNKS):
        name = f".scratch/{chunk}.npz"
        if not (work.path / name).exists():
            time.sleep(float(os.environ.get("SECONDS_A_CHUNK", "0")))
            generator = np.random.default_rng([config.run.seed, chunk])
            work.write_arrays(name, numbers=generator.integers(0, 1000, size=config.collect.explorer_steps))
            computed += 1
        tracker.row(chunk + 1, {"draw/chunks": chunk + 1})
    chunks = [np.load(work.path / f".scratch/{chunk}.npz")["numbers"] for chunk in range(CHUNKS)]
    work.write_arrays("numbers.npz", numbers=np.concatenate(chunks))
    return {"computed": computed}
