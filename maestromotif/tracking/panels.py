"""What the dashboard shows: sections and panels, filled with the figures that the stages of a run log.

`SECTIONS` says which figures belong together. The names, units and x axes come from the stages' own lists, so
a panel cannot show what no stage logs under that name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Literal, NamedTuple

from maestromotif.tracking.logged import ENV_STEP, PROGRESS, Logged, axis_of

WALL_TIME = "WallTime"  # x axis of a panel with figures of several stages: Weights & Biases' own

# lines: over the x axis. shares: lines stacked to a whole. bars, table, pages: what was logged last.
Form = Literal["lines", "shares", "bars", "table", "pages"]
# The unit of what is no figure, by the form of the panels that show it.
_UNITS: dict[str, str] = {"table": "table", "pages": "page"}


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard.

    title: with {skill} or {task}, the section has one panel for each of them; with {figure}, one for each
    figure of all of them. figures: patterns of names, in which * stands for anything; {skill} and {task} are
    the panel's, or each in turn in a panel for all of them.
    rest: it shows only those of them that no other panel shows, and is left out if there are none.
    """

    title: str
    figures: tuple[str, ...]
    form: Form = "lines"
    rest: bool = False


SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Health": (
        Panel("Speed", ("speed/steps_per_second",)),
        Panel("Where the learner's time goes", ("speed/learner*",), "shares"),
        Panel("Where the actors' time goes", ("speed/actors_*",), "shares"),
        Panel("Time left", ("train/seconds_left",)),
        Panel("How far an update moves the policy", ("loss/kl",)),
        Panel("Steps that the update clips", ("loss/clipped",)),
        Panel("Entropy of the policy", ("loss/entropy",)),
        Panel("Losses", ("loss/policy_loss", "loss/value_loss")),
        Panel("Norm of the gradient", ("loss/gradient_norm",)),
        Panel("Learning rate", ("loss/learning_rate",)),
        Panel("Policy lag", ("speed/policy_lag",)),
        Panel("Episodes and deaths", ("episodes", "deaths")),
        Panel("Steps in an episode", ("episode/length_mean",)),
        Panel("Causes of death", ("deaths/*", "episode/death_share")),
        Panel("{figure}", ("loss/*", "speed/*", "episode*"), rest=True),
        Panel("Speed of all stages", ("*/per_second",)),
        Panel("Progress of all stages", ("*/done",)),
        Panel("Time left in all stages", ("*/seconds_left",)),
    ),
    "Skills": (
        # Reward up with its events flat: the policy has found another way to be paid.
        Panel(
            "{skill}: reward beside the events it is for",
            ("skill/{skill}/reward_per_1k_steps", "skill/{skill}/wanted_*", "skill/{skill}/forbidden_*"),
        ),
        Panel("Share of all steps", ("skill/{skill}/time_share",), "shares"),
        Panel("Steps in a call", ("skill/{skill}/mean_duration",)),
        Panel("Reward in a call", ("skill/{skill}/reward_per_call",)),
        Panel("{skill}: why its calls end", ("skill/{skill}/ended_*",), "shares"),
        Panel("{skill}: actions", ("actions/{skill}/*",), "shares"),
        Panel("Value loss", ("skill/{skill}/value_loss",)),
        Panel("Explained variance", ("skill/{skill}/explained_variance",)),
        Panel("Entropy of the policy", ("skill/{skill}/entropy",)),
        Panel("How far an update moves the policy", ("skill/{skill}/kl",)),
        Panel("Scale of the returns", ("skill/{skill}/return_scale",)),
        Panel("{skill}: events", ("events/{skill}/*",)),
        Panel("{skill}: changes", ("changes/{skill}/*",)),
        Panel("{figure}", ("skill/*", "paid/*", "bc/*"), rest=True),
        Panel(
            "{skill}: what it is for, in the demonstrator's games", ("demonstrate/skill/{skill}/*",), "bars"
        ),
        Panel("{figure}", ("demonstrate/*",), "bars", rest=True),
    ),
    "Generalisation": (
        Panel("Success on hidden seeds, in seen and in new dungeons", ("watch/*/success*",)),
        Panel("Deepest level, mean", ("depth/deepest_mean", "watch/*/deepest_mean")),
        Panel("Episodes of training that reach a level", ("depth/at_least_*",)),
        Panel("Episodes on hidden seeds that reach a level", ("watch/*/at_least_*",)),
        Panel("{figure}", ("watch/*",), rest=True),
        Panel("{task}: agents in the evaluation", ("eval/{task}/results",), "table"),
        Panel("Evaluation: success", ("eval/*success*",), "bars"),
        Panel("{figure}", ("eval/*",), "bars", rest=True),
        Panel("{figure}", ("eval/*", "watch/*"), "table", rest=True),
    ),
    "Rewards": (
        Panel("Accuracy on held-out pairs", ("rm/{skill}/val_acc*",), "bars"),
        Panel("{skill}: best and worst paid observations", ("rm/{skill}/observations",), "table"),
        Panel("{figure}", ("rm/*", "ann/*", "cur/*", "quality/*", "gate/*"), "bars", rest=True),
        Panel("{figure}", ("cost/*", "distil/*", "soup/*"), rest=True),
        Panel("{figure}", ("rm/*", "ann/*", "cur/*", "quality/*", "gate/*", "paid/*"), "table", rest=True),
    ),
    "Programs": (
        Panel("Scores", ("gen/*score*",)),
        Panel("Rounds and errors", ("gen/*round*", "gen/*error*")),
        Panel("Calls of the skills on trial states", ("programs/*",)),
        Panel("{figure}", ("gen/*", "compose/*"), rest=True),
        Panel("{figure}", ("gen/*", "programs/*", "compose/*"), "table", rest=True),
    ),
    "Replays": (
        Panel("{skill}: an episode during training", ("replay/{skill}",), "pages"),
        Panel("The report, with episodes of the evaluation", ("report",), "pages"),
        Panel("{figure}", ("*",), "pages", rest=True),
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


# The skills and the tasks of a run, by the field of a name that stands for one of them: {skill}, {task}.
Fields = Mapping[str, Sequence[str]]


class _Known(NamedTuple):
    """A figure of a stage for one skill; `of_all` is its name for all skills."""

    stage: str
    of_all: str
    figure: Logged

    @property
    def name(self) -> str:
        return self.figure.name


def filled(fields: Fields, logged: Mapping[str, Iterable[Logged]]) -> dict[str, list[Filled]]:
    """The panels of each section, in order. logged: by each stage that the run has."""
    known = list(_known(fields, logged))
    wanted = {
        section: list(chain.from_iterable(_of_fields(panel, fields) for panel in panels))
        for section, panels in SECTIONS.items()
    }
    shown = {
        one.name
        for panel in chain.from_iterable(wanted.values())
        for one in _matching(panel, known)
        if not panel.rest
    }
    sections: dict[str, list[Filled]] = {}
    for section, panels in wanted.items():
        sections[section] = []
        for panel in panels:
            found = [one for one in _matching(panel, known) if not (panel.rest and one.name in shown)]
            shown |= {one.name for one in found}
            if "{figure}" in panel.title:
                sections[section] += _of_figures(panel, found)
            elif found or not panel.rest:
                sections[section].append(_fill(panel, found))
    return sections


def _known(fields: Fields, logged: Mapping[str, Iterable[Logged]]) -> Iterator[_Known]:
    """Each figure for each skill and task; other fields in a name stay."""
    for stage, own in logged.items():
        for figure in (*own, *PROGRESS):
            name = figure.name.replace("{stage}", stage)
            for one in _each(name, fields):
                yield _Known(stage, re.sub(r"\{\w+\}", "*", name), replace(figure, name=one))


def _each(text: str, fields: Fields) -> list[str]:
    """The text with each skill and each task in the place of its field."""
    texts = [text]
    for field, names in fields.items():
        if f"{{{field}}}" in text:
            texts = [one.replace(f"{{{field}}}", name) for one in texts for name in names]
    return texts


def _of_fields(panel: Panel, fields: Fields) -> Iterator[Panel]:
    """The panel for each skill or task that its title names, or the one for all of them."""
    field = next((field for field in fields if f"{{{field}}}" in panel.title), None)
    if field is not None:
        for name in fields[field]:
            one = {field: [name]}
            named = tuple(pattern for figure in panel.figures for pattern in _each(figure, one))
            yield replace(panel, title=_each(panel.title, one)[0], figures=named)
    else:
        each = (pattern for figure in panel.figures for pattern in _each(figure, fields))
        yield replace(panel, figures=tuple(dict.fromkeys(each)))


def _of_figures(panel: Panel, found: Iterable[_Known]) -> Iterator[Filled]:
    """A panel for each figure; a table or page of each skill has its own."""
    groups: dict[str, list[_Known]] = {}
    for one in found:
        groups.setdefault(one.name if panel.form in _UNITS else one.of_all, []).append(one)
    for title, group in groups.items():
        yield _fill(replace(panel, title=title), group)


def _matching(panel: Panel, known: Iterable[_Known]) -> list[_Known]:
    """In the order of the panel's patterns."""
    unit = _UNITS.get(panel.form)
    fitting = [
        one for one in known if (one.figure.unit == unit if unit else one.figure.unit not in _UNITS.values())
    ]
    return [one for pattern in panel.figures for one in fitting if fnmatchcase(one.name, pattern)]


def _fill(panel: Panel, found: Sequence[_Known]) -> Filled:
    names = tuple(dict.fromkeys(one.name for one in found))
    pattern = None
    if not found:  # of a stage that does not list them yet
        names = panel.figures
        if any("*" in one for one in names):
            pattern = "|".join(re.escape(one).replace(r"\*", ".*") for one in names)
    elif any("{" in name for name in names):
        pattern = "|".join("[^/]+".join(map(re.escape, re.split(r"\{\w+\}", name))) for name in names)
    units = list(dict.fromkeys(one.figure.unit for one in found))
    axes = {axis_of(one.stage) for one in found} or {ENV_STEP}
    return Filled(
        panel.title,
        panel.form,
        () if pattern else names,
        f"^({pattern})$" if pattern else None,
        "; ".join(units) if len(units) <= 2 and panel.form not in _UNITS else "",
        axes.pop() if len(axes) == 1 else WALL_TIME,
    )
