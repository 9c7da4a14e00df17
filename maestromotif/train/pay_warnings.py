"""Warnings about a reward that pays for something else than its skill's text asks for.

Pure functions over `paid.json` and the learning curve.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maestromotif.skill import Skill

MOST_UNWANTED = 1 / 3  # of a skill's gains and losses
MOST_CHARGED = 0.05  # likewise, losses alone
FEWEST_STEPS = 30  # that were paid for nothing that the text asks for; fewer are no ground for a warning
MOST_DEATHS = 1 / 2  # of the episodes
FEWEST_ROWS = 8  # of the curve, to compare its first quarter with its last

Row = Mapping[str, int | float]


def warnings(paid: Mapping[str, Any], curve: Sequence[Row], skills: Sequence[Skill]) -> list[dict[str, str]]:
    """What looks wrong: `about` (the same for the same problem), and `text`, a sentence for the user.

    paid: the content of `paid.json`; curve: the rows of the learning curve.
    """
    found = []
    for skill in skills:
        own = paid["skills"][skill.name]
        if (own["unwanted_steps"] or 0) >= FEWEST_STEPS:
            found += [(f"unwanted/{skill.name}", text) for text in _unwanted(skill.name, own)]
            found += [(f"charged/{skill.name}", text) for text in _charged(skill.name, own)]
        found += [(f"rise/{skill.name}", text) for text in _rise(skill, curve)]
    found += [("deaths", text) for text in _deaths(paid["episodes"], curve)]
    return [{"about": about, "text": text} for about, text in found]


def _unwanted(name: str, own: Mapping[str, Any]) -> list[str]:
    """(a) Too much of the reward comes from what the skill's text does not want."""
    share = own["unwanted_share"]
    if share is None or share <= MOST_UNWANTED:
        return []
    row = max(
        own["events"],
        key=lambda row: (
            (row["gained"] if row["side"] not in ("wanted", "progress") else 0.0)
            + (row["lost"] if row["side"] != "forbidden" else 0.0)
        ),
    )
    return [
        f"{name}: {share:.0%} of its reward comes from steps that its text does not ask for, most from "
        f"'{row['event']}': gains of {_sum(row['gained'])} and losses of {_sum(row['lost'])} in "
        f"{row['steps']:,} steps, {row['mean']:+.3g} a step. Its most frequent actions: {_actions(own)}. "
        "If the text calls this progress, list the event under `progress` in the skill's file; else change "
        "the text or reward.quantile."
    ]


def _charged(name: str, own: Mapping[str, Any]) -> list[str]:
    """(d) Steps are charged that the text does not forbid."""
    share = own["charged_share"]
    if share is None or share <= MOST_CHARGED:
        return []
    row = max(own["events"], key=lambda row: row["lost"] if row["side"] != "forbidden" else 0.0)
    return [
        f"{name}: it was charged for steps that its text does not forbid, most for '{row['event']}': "
        f"{_sum(row['lost'])} in {row['steps']:,} steps. An agent that is charged for living gains by dying. "
        f"Its most frequent actions: {_actions(own)}. Keep reward.least_threshold at 0 or above."
    ]


def _actions(own: Mapping[str, Any]) -> str:
    return ", ".join(f"{one['action']} {one['share']:.0%}" for one in own["actions"][:3])


def _rise(skill: Skill, curve: Sequence[Row]) -> list[str]:
    """(b) The reward rises while the wanted events do not."""
    rate = f"skill/{skill.name}/reward_per_1k_steps"
    acted = f"skill/{skill.name}/time_share"
    rows = [row for row in curve if rate in row and row.get(acted, 1) > 0]
    if not skill.wanted or len(rows) < FEWEST_ROWS:
        return []
    reward = [row[rate] for row in rows]
    wanted = [row.get(f"skill/{skill.name}/wanted_per_1k_steps", 0.0) for row in rows]
    if not _rises(reward):
        return []
    (before, after), (first, last) = _ends(wanted), _ends(reward)
    if np.mean(after) > np.mean(before):
        return []
    return [
        f"{skill.name}: its reward rose from {np.mean(first):.3g} to {np.mean(last):.3g} in 1,000 steps, but "
        f"its wanted events ({', '.join(skill.wanted)}) did not: {np.mean(before):.3g} before, "
        f"{np.mean(after):.3g} now. It learned to be paid for something else."
    ]


def _deaths(episodes: Mapping[str, Any], curve: Sequence[Row]) -> list[str]:
    """(c) Most episodes of the curve's last quarter end in death."""
    rows = curve[-math.ceil(len(curve) / 4) :]
    ended, deaths = (sum(row.get(name, 0) for row in rows) for name in ("episodes", "deaths"))
    if not ended or deaths / ended <= MOST_DEATHS:
        return []
    cause = f", most often '{episodes['causes'][0]['cause']}'" if episodes["causes"] else ""
    median = episodes["median_steps"]
    return [
        f"{deaths / ended:.0%} of the last {ended:,.0f} episodes ended in death{cause}; the median "
        f"episode of the whole training has {median:,.0f} steps."
    ]


def _sum(value: float) -> str:
    """2367.4 -> '2,367', 0.0523 -> '0.0523'."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ends(values: Sequence[int | float]) -> tuple[Sequence[int | float], Sequence[int | float]]:
    """The first and the last quarter."""
    quarter = math.ceil(len(values) / 4)
    return values[:quarter], values[-quarter:]


def _rises(values: Sequence[int | float]) -> bool:
    """Whether the last quarter's mean is above the first's by more than two standard errors."""
    first, last = _ends(values)
    error = math.sqrt(np.var(first) / len(first) + np.var(last) / len(last))
    return bool(np.mean(last) - np.mean(first) > 2 * error)
