"""How far the judge can be trusted: the stage `quality`, where a run has it."""

from typing import Any

from markupsafe import Markup

from maestromotif.config.schema import Config
from maestromotif.quality import figures
from maestromotif.report import plots
from maestromotif.report.colours import colour
from maestromotif.report.evidence import Evidence
from maestromotif.report.plots import Axis, Estimate


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {"quality": _quality(config, found)}


def _quality(config: Config, found: Evidence) -> dict[str, Any] | None:
    """Tables of what the stage measured, and the agreement with the gold set as a plot."""
    if found.quality is None:
        return None
    return {
        "skills": [(name, _colour(config, name)) for name in found.quality],
        "rows": figures.rows(found.quality),
        "clauses": [
            (name, _colour(config, name), clause, figures.words(figure) or "–")
            for name, one in found.quality.items()
            for clause, figure in one.get("counterfactuals", {}).items()
        ],
        "gold": _gold(config, found.quality),
    }


def _gold(config: Config, quality: dict[str, dict[str, Any]]) -> Markup | None:
    rows = []
    for name, one in quality.items():
        decided = one["gold"]["report"]["decided"] if one.get("gold") else None
        if decided and decided["share"] is not None:
            note = f"{decided['n']} pairs"
            share = Estimate(
                name, decided["share"], decided["low"], decided["high"], _colour(config, name), note
            )
            rows.append(share)
    if not rows:
        return None
    lowest = min(0.4, *(row.low for row in rows))
    axis = Axis("share of gold pairs ordered as people ordered them", "share", (lowest - 0.02, 1.02))
    return plots.html(
        plots.intervals(rows, axis, baseline=(0.5, "guessing")), "agreement with the gold set, by skill"
    )


def _colour(config: Config, name: str) -> str:
    return colour(config.skills.index(name)) if name in config.skills else "c9"
