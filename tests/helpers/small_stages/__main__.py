"""`python small_stages VERB CONFIG [KEY=VALUE]...`: the real command line, with these stages."""

import sys
from functools import partial
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import small_stages  # noqa: E402
from maestromotif.cli.main import main  # noqa: E402
from maestromotif.pipeline import runner  # noqa: E402

runner.run_all = partial(runner.run_all, stages=small_stages.STAGES)
main()
