"""What a figure is: its name, unit and meaning. Each stage lists its own as LOGGED, and logs no others.

The documentation, the x axes and the summaries in Weights & Biases are made from these lists.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Summary = Literal["last", "max", "min", "mean"]

ENV_STEP = "env_step"  # x axis of the stage `train` and of everything that is measured during training


@dataclass(frozen=True)
class Logged:
    """A logged figure, table or page.

    name: a path such as "skill/{skill}/reward"; a field in braces stands for one part of the path.
    summary: which of a run's values the dashboard shows as the run's value.
    """

    name: str
    unit: str
    doc: str
    summary: Summary = "last"

    def matches(self, name: str) -> bool:
        return _pattern(self.name).fullmatch(name) is not None


# Logged by every stage with a long loop, from its progress.
PROGRESS = (
    Logged("{stage}/done", "items", "Steps, questions, epochs or episodes that the stage has done so far."),
    Logged("{stage}/per_second", "items / s", "How many of them a second, since this process began."),
    Logged("{stage}/seconds_left", "s", "Time left at this rate.", summary="last"),
)


def axis_of(stage: str) -> str:
    """The name of the x axis of a stage's figures."""
    return ENV_STEP if stage == "train" else f"{stage}/step"


def logged_of(name: str, figures: Iterable[Logged]) -> Logged | None:
    """The figure with this name; None if it is not in the list."""
    return next((figure for figure in figures if figure.matches(name)), None)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", name)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))
