"""Which plots the learning curve becomes, and in which order: what matters most comes first.

A quantity is one plot. Its lines are the skills, or the values of another field in the metric's name (causes
of death), or the numbers at its end (levels 2, 5 and 10). Titles, units and notes come from the table of
metrics, and nothing here knows a single metric but the order of their groups.
"""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maestromotif.report.colours import colour
from maestromotif.skill import Skill
from maestromotif.train.metrics import METRICS, Metric

Curve = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Group:
    """Plots under one heading. `patterns` match the names of metrics, as file names are matched."""

    title: str
    patterns: tuple[str, ...]
    folded: bool = False


GROUPS = (
    Group("Depth and reward", ("depth/*", "skill/*/reward_per_1k_steps", "skill/*/reward_per_call")),
    Group("Episodes and deaths", ("episode*", "death*")),
    Group("Wanted and forbidden events", ("*wanted*", "*forbidden*")),
    Group(
        "Time, calls and pay of each skill",
        (
            "skill/*/time_share",
            "skill/*duration*",
            "skill/*call*",
            "skill/*end*",
            "skill/*paid*",
            "skill/*lost*",
        ),
    ),
    Group("Other events", ("events/*", "changes/*")),
    Group("Learner", ("*",), folded=True),
)
EVENTS = GROUPS[4]


@dataclass(frozen=True)
class Line:
    name: str
    key: str  # of the curve
    css: str


@dataclass
class Quantity:
    """One plot: keys of the curve that share an axis."""

    title: str
    unit: str
    doc: str
    group: Group
    what: str = ""  # the event or change, if there is one
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Key:
    """A key of the curve, read by the table of metrics."""

    key: str
    metric: Metric | None  # None if the table does not know it
    fields: dict[str, str]  # field of the metric's name -> what stands for it here


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
    found: dict[tuple[str, ...], Quantity] = {}
    for key in dict.fromkeys(key for row in curve for key in row if key != "env_step"):
        read = read_key(key, skills)
        name = read.metric.name if read.metric else key
        own = read.fields.get("skill")
        others = {part: value for part, value in read.fields.items() if part != "skill"}
        numbered = re.fullmatch(r"(.*_)(\d+)", name)
        if own is not None:  # a line a skill, a plot for each value of another field
            identity: tuple[str, ...] = (name if read.metric else name.replace(own, ""), *others.values())
            line = Line(own, key, colour(skills.index(own)))
        elif others:
            identity, line = (name,), Line(" ".join(map(words, others.values())), key, "")
        elif numbered:
            identity, line = (f"{numbered[1]}*",), Line(numbered[2], key, "")
        else:
            identity, line = (name,), Line(name, key, "trained")
        if identity not in found or (read.metric and not found[identity].doc):
            lines = found[identity].lines if identity in found else []
            found[identity] = _quantity(read, name, "" if own is None else " ".join(others.values()), lines)
        found[identity].lines.append(line)
    for quantity in found.values():
        if all(one.name.isdigit() for one in quantity.lines):
            quantity.lines.sort(key=lambda one: int(one.name))
            if len(quantity.lines) > 1:
                number = rf"\b({'|'.join(one.name for one in quantity.lines)})\b"
                quantity.title = re.sub(number, "…", quantity.title)
                quantity.doc = re.sub(number, "…", quantity.doc)
        quantity.lines = [
            Line(one.name, one.key, one.css or colour(index)) for index, one in enumerate(quantity.lines)
        ]
        quantity.lines.sort(key=lambda one: skills.index(one.name) if one.name in skills else 0)
    place = {metric.name: index for index, metric in enumerate(METRICS)}

    def order(item: tuple[tuple[str, ...], Quantity]) -> tuple[int, int, int]:
        (name, *_), one = item
        first = next(index for index, pattern in enumerate(one.group.patterns) if _matches(name, pattern))
        return GROUPS.index(one.group), first, place.get(name, len(place))

    return [one for _, one in sorted(found.items(), key=order)]


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


def _quantity(read: Key, name: str, what: str, lines: list[Line]) -> Quantity:
    group = next(group for group in GROUPS if any(_matches(name, pattern) for pattern in group.patterns))
    if read.metric is None:
        title = words(read.key.removeprefix("skill/")).replace("/", ": ")
        return Quantity(title, words(read.key.split("/")[-1]), "", group, what, lines)
    filled = {part: words(value) for part, value in read.fields.items()} | {"skill": "the skill"}
    title = read.metric.title.format_map(filled)
    return Quantity(title[:1].upper() + title[1:], read.metric.unit, read.metric.doc, group, what, lines)
