"""The curves of the training."""

from typing import Any

from maestromotif.config.schema import Config
from maestromotif.report import plots
from maestromotif.report.colours import colour
from maestromotif.report.evidence import Evidence
from maestromotif.report.plots import Axis, Series
from maestromotif.report.sections.curves import (
    EVENTS,
    GROUPS,
    Quantity,
    by_weight,
    is_quiet,
    quantities,
    read_key,
    values_of,
    words,
)
from maestromotif.report.sections.writing import prose, thousands
from maestromotif.skill import Skill, skills_of

STEPS = Axis("environment steps", "steps")
OPEN = 9  # plots of events that are not folded away
WANTED = "Wanted and forbidden events"


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "env_steps": thousands(found.curve[-1]["env_step"]) if found.curve else "0",
        "window": _window(found),
        "curve_groups": _groups(config, found),
    }


def _window(found: Evidence) -> int:
    """Rows of the curve over which bold lines are means: about a twentieth of it, an odd number."""
    return len(found.curve) // 20 | 1


def _groups(config: Config, found: Evidence) -> list[dict[str, Any]]:
    """Title, plots, folded plots, and what stayed 0, in the order of the groups."""
    skills = skills_of(config)
    known = quantities(found.curve, config.skills)
    groups = []
    for group in GROUPS:
        own = [one for one in known if one.group is group]
        quiet = [one for one in own if is_quiet(one, found.curve)]
        loud = [one for one in own if one not in quiet]
        if group is EVENTS:
            loud = by_weight(loud, found.curve, skills)
        pairs = _wanted(skills, found) if group.title == WANTED else []
        drawn = pairs + [_plot(one, found) for one in loud]
        at_once = 0 if group.folded else OPEN if group is EVENTS else len(drawn)
        if drawn or quiet:
            groups.append(
                {
                    "title": group.title,
                    "plots": drawn[:at_once],
                    "folded": drawn[at_once:],
                    "quiet": [one.title if group is not EVENTS else words(one.what) for one in quiet],
                }
            )
    return groups


def _plot(quantity: Quantity, found: Evidence) -> dict[str, Any]:
    steps = [row["env_step"] for row in found.curve]
    series = [
        Series(line.name, steps, values_of(line.key, found.curve, quantity.group), line.css)
        for line in quantity.lines
    ]
    figure = plots.lines(series, STEPS, Axis(quantity.unit, quantity.unit), window=_window(found))
    return {
        "title": quantity.title,
        "figure": plots.html(figure, f"{quantity.title}, over environment steps"),
        "note": prose(quantity.doc),
    }


def _wanted(skills: list[Skill], found: Evidence) -> list[dict[str, Any]]:
    """For each skill its reward above the events that it wants and those that it forbids."""
    names = [skill.name for skill in skills]
    steps = [row["env_step"] for row in found.curve]
    read = [read_key(key, names) for key in dict.fromkeys(key for row in found.curve for key in row)]
    drawn = []
    for index, skill in enumerate(skills):
        reward = f"skill/{skill.name}/reward_per_1k_steps"
        keys = {
            value: one.key
            for one in read
            for part, value in one.fields.items()
            if part != "skill" and one.fields.get("skill") == skill.name
        }
        below = [
            Series(
                f"{words(event)} ({side})",
                steps,
                values_of(keys.get(event, ""), found.curve, EVENTS),
                colour(index + 1 + place + (len(skill.wanted) if side == "forbidden" else 0)),
                dash,
            )
            for side, events, dash in (
                ("wanted", skill.wanted, "solid"),
                ("forbidden", skill.forbidden, "dot"),
            )
            for place, event in enumerate(events)
        ]
        above = [Series("reward", steps, values_of(reward, found.curve, GROUPS[0]), colour(index))]
        units = (Axis("reward / 1,000 steps"), Axis("events / 1,000 steps"))
        if not skill.wanted:
            continue
        figure = plots.paired(above, below, STEPS, units, window=_window(found))
        if figure:
            title = f"{skill.name}: reward, and the events that it wants and forbids"
            drawn.append(
                {
                    "title": title,
                    "figure": plots.html(figure, f"{title}, over environment steps"),
                    "note": "If only the reward rises, it pays for something else than the wanted events.",
                }
            )
    return drawn
