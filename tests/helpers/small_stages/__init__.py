"""A pipeline of three quick stages that do real work in small, for tests of the frame.

draw (numbers, in chunks that survive a kill) -> total (of the numbers) -> page (about both)

The folder is a command line too, the real one with these stages: `python small_stages run CONFIG`.
"""

from pathlib import Path

from maestromotif.pipeline.stages import Stage

FOLDER = Path(__file__).parent
CHUNKS = 12

STAGES = (
    Stage("draw", "Draw numbers.", "small_stages.draw", (), ("run", "collect", "nethack")),
    Stage("total", "Add them up.", "small_stages.total", ("draw",), ("distil",)),
    Stage("page", "Write a page.", "small_stages.page", ("draw", "total"), ("tasks", "evaluate")),
)

CONFIG = """
skills: [descender]
collect: {explorer_steps: 50}
tasks: [the_sum]
compose: {training: program.py}
tracking: {wandb: disabled}
"""
