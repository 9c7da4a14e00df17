"""The table of the stages from words to behaviour, for the command line, the runner and the tests.

A stage is a module with two functions. It is imported when it is first needed:

    reads(config) -> dict[str, str]               other files that it reads -> SHA-256; raises UserError
    run(config, inputs, work, tracker) -> facts   writes the artefact into `work`; facts for its manifest

if `run` refuses anything that the config and its files already tell, with a third:

    foresee(config)                               raises that UserError, before the first stage begins

and, if it logs anything besides its progress, with LOGGED, the list of what it logs.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maestromotif.tracking.logged import Logged


@dataclass(frozen=True)
class Stage:
    """One step of a run. Its output depends only on the fields below, what `reads` returns, and its code."""

    name: str
    help: str  # one sentence for the command line
    module: str
    inputs: tuple[str, ...]  # stages whose artefacts it reads
    settings: tuple[str, ...]  # dotted keys of sections or fields; "" is the whole config
    optional: bool = False  # runs only if `run.further` names it
    makes_rewards: bool = False  # skipped if the config gives reward models or training learns them
    makes_policy: bool = False  # skipped if the config names a trained policy
    tracked_as: str = ""  # kind of the artefact for the tracker; "": not given to it

    def run(self) -> Callable[..., dict[str, Any]]:
        """The module's function `run`."""
        function: Callable[..., dict[str, Any]] = importlib.import_module(self.module).run
        return function

    def logged(self) -> tuple[Logged, ...]:
        """What the module logs."""
        return tuple(getattr(importlib.import_module(self.module), "LOGGED", ()))

    def foresee(self) -> Callable[[Any], None]:
        """The module's function `foresee`; one that does nothing if it has none."""
        module = importlib.import_module(self.module)
        function: Callable[[Any], None] = getattr(module, "foresee", lambda config: None)
        return function

    def reads(self) -> Callable[..., dict[str, str]]:
        """The module's function `reads`."""
        function: Callable[..., dict[str, str]] = importlib.import_module(self.module).reads
        return function


STAGES = (
    Stage(
        "compose",  # first: it takes seconds, and what is wrong with a program must not wait for a training
        "Check the programs that carry out the tasks with the skills.",
        "maestromotif.compose.compose",
        inputs=(),
        settings=("run", "skills", "compose", "tasks"),
        tracked_as="program",
    ),
    Stage(
        "collect",
        "Play NetHack and record the observations.",
        "maestromotif.collect.collect",
        inputs=(),
        settings=("run", "nethack.games", "nethack.character", "nethack.options", "collect"),
        makes_rewards=True,
    ),
    Stage(
        "annotate",
        "Let a language model judge the observations by the text of each skill.",
        "maestromotif.annotate.annotate",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate"),
        makes_rewards=True,
    ),
    Stage(
        "quality",
        "Measure the quality of the judgements: gold set, oracle, clauses.",
        "maestromotif.quality.quality",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate", "curate.keep_margin"),
        optional=True,
        makes_rewards=True,
    ),
    Stage(
        "curate",
        "Keep consistent judgements and ask some of the others again.",
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
        tracked_as="reward-models",
    ),
    Stage(
        "soup",
        "Average reward models that share a start, and compare with the best one and the ensemble.",
        "maestromotif.rewards.soup",
        inputs=("collect", "annotate", "curate", "distil"),
        settings=("run", "skills", "annotate", "distil", "soup"),
        optional=True,
        makes_rewards=True,
        tracked_as="reward-models",
    ),
    Stage(
        "gate",  # not an input of later stages, so new thresholds do not repeat the training
        "Check before training that the reward models reward what the skills want.",
        "maestromotif.rewards.gate",
        inputs=("collect", "distil"),
        settings=("run", "skills", "annotate.changes", "reward", "gate"),
        makes_rewards=True,
    ),
    Stage(
        "demonstrate",
        "Let a scripted demonstrator play the skills, and record what it plays.",
        "maestromotif.demonstrate.demonstrate",
        inputs=(),
        settings=(
            "run",
            "skills",
            "nethack",
            "train.arenas",
            "train.balance",
            "train.network.actions",
            "demonstrate",
        ),
        optional=True,
        tracked_as="demonstrations",
    ),
    Stage(
        "clone",
        "Learn a policy from demonstrations.",
        "maestromotif.clone.clone",
        inputs=("demonstrate",),
        settings=("run", "skills", "nethack", "train.network", "clone"),
        optional=True,
        tracked_as="policy",
    ),
    Stage(
        "train",
        "Train one policy for all skills by reinforcement learning.",
        "maestromotif.train.train",
        inputs=("distil", "clone"),
        settings=(
            "run",
            "skills",
            "nethack",
            "annotate.changes",
            "annotate.telling",
            "reward",
            "train",
        ),
        makes_policy=True,
        tracked_as="policy",
    ),
    Stage(
        "evaluate",
        "Play the tasks in games that training never saw.",
        "maestromotif.evaluate.evaluate",
        inputs=("distil", "clone", "train", "compose"),  # distil: the replay shows the rewards
        settings=(
            "run",
            "skills",
            "nethack",
            "annotate.changes",
            "reward",
            "train.network",
            "tasks",
            "evaluate",
        ),
        tracked_as="evaluation",
    ),
    Stage(
        "report",
        "Write the report, one HTML page.",
        "maestromotif.report.report",
        inputs=(
            "compose",
            "collect",
            "annotate",
            "quality",
            "curate",
            "distil",
            "soup",
            "gate",
            "demonstrate",
            "clone",
            "train",
            "evaluate",
        ),
        settings=("",),
    ),
)
