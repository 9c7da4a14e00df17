"""What training paid for: the account of the stage `train`, with its warnings."""

from typing import Any

from maestromotif.config.schema import Config
from maestromotif.report.colours import colour
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.writing import percent, thousands

EVENTS = 12  # most rows of a table of events


def values(config: Config, found: Evidence) -> dict[str, Any]:
    """Fields of the template."""
    if found.paid is None:
        return {"paid_warnings": [], "paid_skills": [], "paid_episodes": None}
    account = found.paid
    episodes = account["episodes"]
    return {
        "paid_warnings": [one["text"] for one in account["warnings"]],
        "paid_skills": [
            _skill(name, colour(index), account["skills"][name])
            for index, name in enumerate(config.skills)
            if name in account["skills"]
        ],
        "paid_episodes": {
            "episodes": thousands(episodes["episodes"]),
            "deaths": _percent(episodes["death_share"]),
            "median": "–" if episodes["median_steps"] is None else thousands(episodes["median_steps"]),
            "causes": [(row["cause"], thousands(row["count"])) for row in episodes["causes"]],
        },
    }


def _skill(name: str, css: str, own: dict[str, Any]) -> dict[str, Any]:
    others = own["other_captions"]
    captions = [(row["caption"], _cells(row)) for row in own["captions"]]
    if others["captions"]:
        captions.append((f"{thousands(others['captions'])} other captions", _cells(others)))
    return {
        "name": name,
        "css": css,
        "steps": thousands(own["steps"]),
        "gained": _signed(own["gained"]),
        "lost": _signed(-own["lost"]),
        "unwanted": _percent(own["unwanted_share"]),
        "events": [(row["event"], row["side"], _cells(row)) for row in own["events"][:EVENTS]],
        "captions": captions,
        "actions": [(row["action"], _percent(row["share"])) for row in own["actions"]],
    }


def _cells(row: dict[str, Any]) -> list[str]:
    """Share, gains, losses, steps, mean reward of a step."""
    return [
        _percent(row["share"]),
        _signed(row["gained"]),
        _signed(-row["lost"]),
        thousands(row["steps"]),
        _signed(row["mean"]),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _signed(value: float) -> str:
    """Gains with +, losses with a minus sign."""
    form = "+,.0f" if abs(value) >= 100 else "+.3g"
    return "0" if value == 0 else format(value, form).replace("-", "−")
