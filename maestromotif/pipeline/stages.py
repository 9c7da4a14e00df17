"""The one table of the stages from words to behaviour. The command line, the runner and the tests go by it.

A stage is a module with two functions, imported when the stage is looked at and not before:

    reads(config) -> dict[str, str]      what it reads beside its inputs -> SHA-256; raises UserError
    run(config, inputs, work) -> facts   writes the artefact into `work`; the facts go into the manifest
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One step of the path. Whatever its output depends on is named here, read by `reads` or is its code."""

    name: str
    help: str  # one sentence, for the command line
    module: str
    inputs: tuple[str, ...]  # stages whose artefacts it is given
    settings: tuple[str, ...]  # dotted keys of sections or fields; "" is the whole config
    optional: bool = False  # not on the path: `run` does it if `run.further` names it
    makes_rewards: bool = False  # not needed if the config names reward models or has training learn them

    def run(self) -> Callable[..., dict[str, Any]]:
        """The module's function `run`."""
        function: Callable[..., dict[str, Any]] = importlib.import_module(self.module).run
        return function

    def reads(self) -> Callable[..., dict[str, str]]:
        """The module's function `reads`."""
        function: Callable[..., dict[str, str]] = importlib.import_module(self.module).reads
        return function


STAGES = (
    Stage(
        "collect",
        "Play NetHack and keep what is seen.",
        "maestromotif.collect.collect",
        inputs=(),
        settings=("run", "nethack.games", "nethack.character", "nethack.options", "collect"),
        makes_rewards=True,
    ),
    Stage(
        "annotate",
        "Let a language model judge what was seen by the skill texts.",
        "maestromotif.annotate.annotate",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate"),
        makes_rewards=True,
    ),
    Stage(
        "quality",
        "Say how far the judgements can be trusted: gold set, oracle, clauses.",
        "maestromotif.quality.quality",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate", "curate.keep_margin"),
        optional=True,
        makes_rewards=True,
    ),
    Stage(
        "curate",
        "Keep the judgements that agree with each other, and ask some of the others again.",
        "maestromotif.rewards.curate",
        inputs=("annotate",),
        settings=("run", "skills", "language", "annotate", "curate"),
        makes_rewards=True,
    ),
    Stage(
        "distil",
        "Learn a reward model for each skill from the judgements.",
        "maestromotif.rewards.distil",
        inputs=("collect", "annotate", "curate"),
        settings=("run", "skills", "annotate", "distil"),
        makes_rewards=True,
    ),
    Stage(
        "soup",
        "Average reward models of one ancestry, and compare with the best one and the ensemble.",
        "maestromotif.rewards.soup",
        inputs=("collect", "annotate", "curate", "distil"),
        settings=("run", "skills", "annotate", "distil", "soup"),
        optional=True,
        makes_rewards=True,
    ),
    Stage(
        "gate",  # no input of later stages: other thresholds do not repeat the training
        "Check that the reward models pay for what the skills want, before anything is trained.",
        "maestromotif.rewards.gate",
        inputs=("collect", "distil"),
        settings=("run", "skills", "annotate.changes", "reward", "gate"),
        makes_rewards=True,
    ),
    Stage(
        "train",
        "Learn all skills at once, by reinforcement learning.",
        "maestromotif.train.train",
        inputs=("distil",),
        settings=("run", "skills", "nethack", "annotate.changes", "reward", "train"),
    ),
    Stage(
        "compose",
        "Check the program that carries out the task with the skills.",
        "maestromotif.compose.compose",
        inputs=(),
        settings=("run", "skills", "compose", "task"),
    ),
    Stage(
        "evaluate",
        "Play the task on dungeons that training never saw.",
        "maestromotif.evaluate.evaluate",
        inputs=("distil", "train", "compose"),  # distil: the replay shows the rewards
        settings=(
            "run",
            "skills",
            "nethack",
            "annotate.changes",
            "reward",
            "train.network",
            "task",
            "evaluate",
        ),
    ),
    Stage(
        "report",
        "Write one HTML page about all of it.",
        "maestromotif.report.report",
        inputs=(
            "collect",
            "annotate",
            "quality",
            "curate",
            "distil",
            "soup",
            "gate",
            "train",
            "compose",
            "evaluate",
        ),
        settings=("",),
    ),
)
