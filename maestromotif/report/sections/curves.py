"""Which plots the learning curve becomes, and in which order: what matters most comes first.

A quantity is one plot. Its lines are the skills, or else the values of another field in the metric's name
(levels, causes of death). Titles, units and notes come from the table of metrics. Only the order of the
groups is written here.
"""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maestromotif.report.colours import PALETTE, colour
from maestromotif.skill import Skill
from maestromotif.train.metrics import METRICS
from maestromotif.train.window import Metric

Curve = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Group:
    """Plots under one heading. `patterns` match the names of metrics, as file names are matched."""

    title: str
    patterns: tuple[str, ...]
    folded: bool = False


GROUPS = (
    Group("Depth and reward", ("depth/*", "skill/*/reward_per_1k_steps", "skill/*/reward_per_call")),
    Group("Episodes and deaths", ("episode/*", "deaths/*", "episodes", "deaths")),
    Group("Wanted and forbidden events", ("skill/*/wanted*", "skill/*/forbidden*", "skill/*/progress*")),
    Group(
        "Time, calls, actions and pay of each skill",
        ("skill/*/time*", "skill/*/*duration*", "skill/*/*call*", "skill/*/ended*", "actions/*",
         "skill/*/paid*", "skill/*/lost*"),
    ),
    Group("Other events", ("events/*", "changes/*")),
    Group("Learner", ("*",), folded=True),
)  # fmt: skip
EVENTS = GROUPS[4]


@dataclass(frozen=True)
class Line:
    name: str
    key: str  # of the curve
    css: str


@dataclass(frozen=True)
class Quantity:
    """One plot: keys of the curve that share an axis."""

    title: str
    unit: str
    doc: str
    group: Group
    what: str  # the event or change, if there is one
    lines: list[Line]


@dataclass(frozen=True)
class Key:
    """A key of the curve, read by the table of metrics."""

    key: str
    metric: Metric | None  # None if the table does not know it
    fields: dict[str, str]  # field of the metric's name -> what stands for it here

    @property
    def name(self) -> str:
        """The metric's, with its fields, or else the key itself."""
        return self.metric.name if self.metric else self.key

    @property
    def skill(self) -> str | None:
        return self.fields.get("skill")

    @property
    def others(self) -> list[str]:
        """The values of all fields but the skill."""
        return [value for part, value in self.fields.items() if part != "skill"]

    @property
    def whole(self) -> bool:
        """Whether it is a share of a skill's steps, beside others: actions, for example."""
        return bool(self.skill and self.others and self.metric and self.metric.unit == "share")


def read_key(key: str, skills: Sequence[str]) -> Key:
    """Finds the metric whose name, with fields filled in, is `key`."""
    for metric in METRICS:
        parts = re.split(r"\{(\w+)\}", metric.name)
        pattern = "".join(
            re.escape(part)
            if index % 2 == 0
            else f"(?P<skill>{'|'.join(map(re.escape, skills))})"
            if part == "skill"
            else f"(?P<{part}>.+)"
            for index, part in enumerate(parts)
        )
        if found := re.fullmatch(pattern, key):
            return Key(key, metric, found.groupdict())
    own = next((name for name in skills if name in key.split("/")), None)
    return Key(key, None, {"skill": own} if own else {})


def quantities(curve: Curve, skills: Sequence[str]) -> list[Quantity]:
    """All plots of the curve, in the order of the groups and of the table of metrics."""
    found: dict[tuple[str, ...], list[Key]] = {}
    for key in dict.fromkeys(key for row in curve for key in row if key != "env_step"):
        read = read_key(key, skills)
        found.setdefault(_identity(read), []).append(read)
    place = {metric.name: index for index, metric in enumerate(METRICS)}

    def order(item: tuple[Key, Quantity]) -> tuple[int, int, int]:
        read, one = item
        first = next(
            index for index, pattern in enumerate(one.group.patterns) if _matches(read.name, pattern)
        )
        return GROUPS.index(one.group), first, place.get(read.name, len(place))

    made = [(reads[0], _quantity(reads, curve, skills)) for reads in found.values()]
    return [one for _, one in sorted(made, key=order)]


def by_weight(events: Sequence[Quantity], curve: Curve, skills: Sequence[Skill]) -> list[Quantity]:
    """Events that a skill wants, forbids or counts as progress first, then by how often they happen."""
    named = {event for one in skills for event in (*one.wanted, *one.forbidden, *one.progress)}

    def often(quantity: Quantity) -> float:
        return sum(row.get(line.key, 0.0) for row in curve for line in quantity.lines)

    return sorted(events, key=lambda one: (one.what not in named, -often(one), one.what))


def values_of(key: str, curve: Curve, group: Group) -> list[float | None]:
    """The key's value in each row. A rate of events that a row leaves out is 0: it did not happen."""
    return [row.get(key, 0.0 if group is EVENTS else None) for row in curve]


def is_quiet(quantity: Quantity, curve: Curve) -> bool:
    """Whether all values are 0."""
    return not any(row.get(line.key) for row in curve for line in quantity.lines)


def words(name: str) -> str:
    """A name of the code as words: 'angered_god' -> 'angered god'."""
    return name.replace("_", " ")


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def _identity(read: Key) -> tuple[str, ...]:
    """What keys of one plot have in common."""
    if read.skill is None:  # the values of other fields are lines
        return (read.name,)
    if read.whole:  # and here too, in a plot for each skill
        return (read.name, read.skill)
    name = read.name if read.metric else read.name.replace(read.skill, "")
    return (name, *read.others)  # the skills are lines


def _quantity(reads: Sequence[Key], curve: Curve, skills: Sequence[str]) -> Quantity:
    first = reads[0]
    group = next(
        group for group in GROUPS if any(_matches(first.name, pattern) for pattern in group.patterns)
    )
    by_skill = first.skill is not None and not first.whole
    if by_skill:
        lines = [Line(one.skill or "", one.key, colour(skills.index(one.skill or ""))) for one in reads]
        lines.sort(key=lambda one: skills.index(one.name))
    elif first.others:
        named = [(words(" ".join(one.others)), one.key) for one in reads]
        lines = [Line(name, key, colour(index)) for index, (name, key) in enumerate(_largest(named, curve))]
    else:
        lines = [Line(first.name, first.key, "trained")]
    if first.metric is None:
        title = words(first.key.removeprefix("skill/")).replace("/", ": ")
        return Quantity(title, words(first.key.split("/")[-1]), "", group, "", lines)
    filled = {part: words(value) if by_skill else "…" for part, value in first.fields.items()}
    title = first.metric.title.format_map(filled | {"skill": "the skill"})
    if not by_skill and first.others and (short := title.removeprefix("…: ").removesuffix(": …")) != title:
        title = f"{short}, by {' and '.join(part for part in first.fields if part != 'skill')}"
    title = f"{first.skill}: {title}" if first.whole else title[:1].upper() + title[1:]
    what = " ".join(first.others) if by_skill else ""
    doc = first.metric.doc
    if len(lines) < len(reads):
        doc += f" Drawn are the {len(lines)} largest of {len(reads)}."
    return Quantity(title, first.metric.unit, doc, group, what, lines)


def _largest(named: Sequence[tuple[str, str]], curve: Curve) -> list[tuple[str, str]]:
    """As many lines as there are colours: by number if their names are numbers, else the largest first."""
    if all(name.isdigit() for name, _ in named):
        return sorted(named, key=lambda one: int(one[0]))[:PALETTE]
    size = {key: sum(row.get(key, 0.0) for row in curve) for _, key in named}
    return sorted(named, key=lambda one: (-size[one[1]], one[0]))[:PALETTE]
