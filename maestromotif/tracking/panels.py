"""What the dashboard shows: sections and panels, filled with the figures that the stages of a run log.

`SECTIONS` says which figures belong together. The names, units and x axes come from the stages' own lists, so
a panel cannot show what no stage logs under that name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Literal

from maestromotif.tracking.figures import ENV_STEP, PROGRESS, Figure, axis_of

WALL_TIME = "WallTime"  # x axis of a panel with figures of several stages: Weights & Biases' own

# lines: over the x axis. shares: lines stacked to a whole. table: a table's newest version. pages: HTML.
Form = Literal["lines", "shares", "table", "pages"]


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard.

    title: with {skill}, the section has one panel for each skill. figures: patterns of names, in which *
    stands for anything; {skill} is the panel's skill, or each skill in turn in a panel for all of them.
    rest: it shows only those of them that no other panel shows, and is left out if there are none.
    """

    title: str
    figures: tuple[str, ...]
    form: Form = "lines"
    rest: bool = False


SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Health": (
        Panel("Speed", ("speed/steps_per_second",)),
        Panel("Where the time goes", ("speed/*_share",), "shares"),
        Panel("Time left", ("speed/seconds_left", "train/seconds_left")),
        Panel("How far an update moves the policy", ("loss/kl",)),
        Panel("Steps that the update clips", ("loss/clipped",)),
        Panel("Entropy of the policy", ("loss/entropy",)),
        Panel("Losses", ("loss/policy_loss", "loss/value_loss")),
        Panel("Norm of the gradient", ("*grad_norm*", "*gradient_norm*")),
        Panel("Learning rate", ("*learning_rate*",)),
        Panel("Episodes and deaths", ("episodes", "deaths")),
        Panel("Steps in an episode", ("episode/length*",)),
        Panel("Causes of death", ("death/*", "deaths/*")),
        Panel("Updates: the rest", ("loss/*", "speed/*", "learner/*"), rest=True),
        Panel("Episodes: the rest", ("episode*", "env_step"), rest=True),
        Panel("Progress of all stages", ("*/per_second",)),
        Panel("Progress of all stages: the rest", ("*/done", "*/seconds_left"), rest=True),
    ),
    "Skills": (
        # Reward up with its events flat: the policy has found a way to be paid for something else.
        Panel(
            "{skill}: reward beside the events it is for",
            ("skill/{skill}/reward_per_1k_steps", "skill/{skill}/wanted*", "skill/{skill}/forbidden*"),
        ),
        Panel("Share of all steps", ("skill/{skill}/time_share",), "shares"),
        Panel("Steps in a call", ("skill/{skill}/mean_duration",)),
        Panel("Reward in a call", ("skill/{skill}/reward_per_call",)),
        Panel("{skill}: why its calls end", ("skill/{skill}/ended*",), "shares"),
        Panel("{skill}: actions", ("action*/{skill}/*",), "shares"),
        Panel("Value loss", ("skill/{skill}/value_loss",)),
        Panel("Explained variance", ("skill/{skill}/explained_variance",)),
        Panel("{skill}: events", ("events/{skill}/*",)),
        Panel("{skill}: changes", ("changes/{skill}/*",)),
        Panel("{skill}: the rest", ("skill/{skill}/*",), rest=True),
    ),
    "Generalisation": (
        Panel("Success on hidden seeds: seen and new dungeons", ("watch/*/success*",)),
        Panel("Deepest level, mean", ("depth/deepest_mean", "watch/*/deepest_mean")),
        Panel("Episodes that reach a depth, in training", ("depth/at_least_*",)),
        Panel("Episodes that reach a depth, on hidden seeds", ("watch/*/at_least_*",)),
        Panel("Evaluation during training: the rest", ("watch/*",), rest=True),
        Panel("Agents in the evaluation", ("eval/results",), "table"),
        Panel("Evaluation: success", ("eval/*success*",)),
        Panel("Evaluation: the rest", ("eval/*", "evaluate/*"), rest=True),
    ),
    "Rewards": (
        Panel("Accuracy on held-out pairs", ("rm/{skill}/val_acc*",)),
        Panel("{skill}: best and worst observations", ("rm/{skill}/observations",), "table"),
        Panel("{skill}: reward model, the rest", ("rm/{skill}/*",), rest=True),
        Panel("{skill}: labels", ("ann/{skill}/*",), rest=True),
        Panel("{skill}: judged captions", ("ann/{skill}/captions",), "table"),
        Panel("{skill}: what training paid for", ("paid/{skill}/*",), rest=True),
        Panel(
            "Judging and fitting as they go",
            (
                "annotate/*",
                "quality/*",
                "curate/*",
                "distil/*",
                "soup/*",
                "gate/*",
                "rm/*",
                "ann/*",
                "paid/*",
            ),
            rest=True,
        ),
    ),
    "Programs": (
        Panel("Scores", ("gen/*score*",)),
        Panel("Rounds and errors", ("gen/*round*", "gen/*error*")),
        Panel("Composition: the rest", ("gen/*", "compose/*"), rest=True),
    ),
    "Replays": (
        Panel("{skill}: an episode of training", ("replay/{skill}",), "pages"),
        Panel("Episode of the evaluation", ("eval/replay",), "pages"),
        Panel("Report", ("report",), "pages"),
        Panel("Collection: what was played", ("collect/*",), rest=True),
    ),
}


@dataclass(frozen=True)
class Filled:
    """A panel with its figures.

    names: of the figures. pattern: a regular expression of names, if not all names are known before the run;
    then `names` is empty. unit: on the y axis. axis: the figure on the x axis, or `WALL_TIME`.
    """

    title: str
    form: Form
    names: tuple[str, ...]
    pattern: str | None
    unit: str
    axis: str


def filled(skills: Sequence[str], figures: Mapping[str, Iterable[Figure]]) -> dict[str, list[Filled]]:
    """The panels of each section, in order. figures: of each stage that the run has."""
    known = list(_known(skills, figures))
    wanted = {
        section: list(chain.from_iterable(_of_skills(panel, skills) for panel in panels))
        for section, panels in SECTIONS.items()
    }
    named = {
        figure.name
        for panel in chain.from_iterable(wanted.values())
        for _, figure in _matching(panel, known)
        if not panel.rest
    }
    sections: dict[str, list[Filled]] = {}
    for section, panels in wanted.items():
        sections[section] = []
        for panel in panels:
            found = [one for one in _matching(panel, known) if not (panel.rest and one[1].name in named)]
            named |= {figure.name for _, figure in found}
            if found or not panel.rest:
                sections[section].append(_fill(panel, found))
    return sections


def _known(skills: Sequence[str], figures: Mapping[str, Iterable[Figure]]) -> Iterator[tuple[str, Figure]]:
    """Stage and figure, once for each skill; other fields in a name stay."""
    for stage, own in figures.items():
        for figure in (*own, *PROGRESS):
            name = figure.name.replace("{stage}", stage)
            for skill in skills if "{skill}" in name else [""]:
                yield stage, replace(figure, name=name.replace("{skill}", skill))


def _of_skills(panel: Panel, skills: Sequence[str]) -> Iterator[Panel]:
    """The panel for each skill, or the one for all skills."""
    if "{skill}" in panel.title:
        for skill in skills:
            named = tuple(pattern.replace("{skill}", skill) for pattern in panel.figures)
            yield replace(panel, title=panel.title.replace("{skill}", skill), figures=named)
    else:
        each = [[one.replace("{skill}", skill) for skill in skills] for one in panel.figures]
        yield replace(panel, figures=tuple(dict.fromkeys(chain.from_iterable(each))))


def _matching(panel: Panel, known: Iterable[tuple[str, Figure]]) -> list[tuple[str, Figure]]:
    return [one for one in known if any(fnmatchcase(one[1].name, pattern) for pattern in panel.figures)]


def _fill(panel: Panel, found: Sequence[tuple[str, Figure]]) -> Filled:
    names = tuple(dict.fromkeys(figure.name for _, figure in found))
    pattern = None
    if not found:  # of a stage that does not list them yet
        names = panel.figures
        if any("*" in one for one in names):
            pattern = "|".join(re.escape(one).replace(r"\*", ".*") for one in names)
    elif any("{" in name for name in names):
        pattern = "|".join("[^/]+".join(map(re.escape, re.split(r"\{\w+\}", name))) for name in names)
    units = list(dict.fromkeys(figure.unit for _, figure in found))
    axes = {axis_of(stage) for stage, _ in found} or {ENV_STEP}
    return Filled(
        panel.title,
        panel.form,
        () if pattern else names,
        f"^({pattern})$" if pattern else None,
        "; ".join(units) if len(units) <= 2 else "",
        axes.pop() if len(axes) == 1 else WALL_TIME,
    )
