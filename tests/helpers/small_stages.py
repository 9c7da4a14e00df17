"""A pipeline of three quick stages that do real work in small, for tests of the frame.

draw (numbers, in chunks that survive a kill) -> total (of the numbers) -> page (about both)
"""

import json
import os
import sys
import time
from typing import Any

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.pipeline import runner
from maestromotif.pipeline.stages import Stage, file_contents
from maestromotif.pipeline.store import Artefact, Work

CHUNKS = 12


def draw(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """Each chunk takes SECONDS_A_CHUNK (set by tests that kill) and is kept in the scratch folder."""
    computed = 0
    for chunk in range(CHUNKS):
        name = f".scratch/{chunk}.npz"
        if not (work.path / name).exists():
            time.sleep(float(os.environ.get("SECONDS_A_CHUNK", "0")))
            generator = np.random.default_rng([config.run.seed, chunk])
            work.write_arrays(name, numbers=generator.integers(0, 1000, size=config.collect.explorer_steps))
            computed += 1
    chunks = [np.load(work.path / f".scratch/{chunk}.npz")["numbers"] for chunk in range(CHUNKS)]
    work.write_arrays("numbers.npz", numbers=np.concatenate(chunks))
    return {"computed": computed}


def total(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    if config.distil.epochs == 666:
        raise RuntimeError("this number is not liked")
    numbers = np.load(inputs["draw"].path / "numbers.npz")["numbers"]
    work.write_json("details/total.json", {"total": numbers.sum() * config.distil.epochs})
    return {"count": len(numbers)}


def page(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    found = json.loads((inputs["total"].path / "details/total.json").read_text())
    work.write_text("page.html", f"<p>{config.task.words}: {found['total']}</p>")
    return {}


STAGES = (
    Stage("draw", "small_stages:draw", (), ("run", "collect", "nethack"), lambda config: {}),
    Stage(
        "total",
        "small_stages:total",
        ("draw",),
        ("distil",),
        lambda config: file_contents("task.program", config.task.program),
    ),
    Stage("page", "small_stages:page", ("draw", "total"), ("task.words", "tracking"), lambda config: {}),
)

CONFIG = """
skills: [descender]
collect: {explorer_steps: 50}
task:
  name: sum
  words: the sum
  program: program.py
  success: ["depth >= 2"]
"""

if __name__ == "__main__":
    # `python small_stages.py run CONFIG [KEY=VALUE]...`: the real command line, with these stages
    from functools import partial

    from maestromotif.cli.main import main

    runner.run_all = partial(runner.run_all, stages=STAGES)
    sys.modules["small_stages"] = sys.modules["__main__"]
    main()
