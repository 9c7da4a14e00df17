"""The curves of the training."""

from typing import Any

from maestromotif.config.schema import Config
from maestromotif.report import svg
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.writing import thousands
from maestromotif.train.metrics import METRICS, NAMED

# Titles of plots by the name of what is plotted: a key of the curve without the skill's name in it.
CURVE_TITLES = {
    metric.name.replace("{skill}/", "").format(**dict.fromkeys(NAMED, what)): metric.title.format(
        **dict.fromkeys(NAMED, what.replace("_", " ").capitalize())
    )
    for metric in METRICS
    for what in next((names for field, names in NAMED.items() if f"{{{field}}}" in metric.name), ("",))
}
SHARES = ("share", "at_least", "rate")  # words in keys whose values lie between 0 and 1


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "env_steps": thousands(found.curve[-1]["env_step"]) if found.curve else "0",
        "window": _window(found),
        "curves": _curves(config, found),
        "diagnostics": _diagnostics(config, found),
    }


def _window(found: Evidence) -> int:
    """Rows of the curve over which bold lines are means: about a twentieth of it, an odd number."""
    return len(found.curve) // 20 | 1


def _curves(config: Config, found: Evidence) -> list[dict[str, Any]]:
    """Everything that is known by skill, one plot a quantity, then what is known of depth."""
    by_quantity: dict[str, dict[str, str]] = {}
    for key in _keys(found):
        for name in config.skills:
            if name in key.split("/"):
                quantity = "/".join(part for part in key.split("/") if part != name)
                by_quantity.setdefault(quantity, {})[name] = key
    plots = [
        _curve(
            found,
            quantity,
            [
                (name, keys[name], svg.colour(index))
                for index, name in enumerate(config.skills)
                if name in keys
            ],
        )
        for quantity, keys in by_quantity.items()
    ]
    return plots + [
        _curve(found, key, [(key, key, "trained")]) for key in _keys(found) if key.startswith("depth/")
    ]


def _diagnostics(config: Config, found: Evidence) -> list[dict[str, Any]]:
    """All other numbers of the curve."""
    return [
        _curve(found, key, [(key, key, "random")])
        for key in _keys(found)
        if not key.startswith("depth/") and not set(config.skills) & set(key.split("/"))
    ]


def _keys(found: Evidence) -> list[str]:
    return [key for key in dict.fromkeys(key for row in found.curve for key in row) if key != "env_step"]


def _curve(found: Evidence, quantity: str, lines: list[tuple[str, str, str]]) -> dict[str, Any]:
    """`lines`: (name, key, colour class)."""
    series = []
    for name, key, css in lines:
        rows = [row for row in found.curve if key in row]
        series.append(svg.Series(name, [row["env_step"] for row in rows], [row[key] for row in rows], css))
    share = any(word in quantity for word in SHARES) and all(0 <= y <= 1 for one in series for y in one.y)
    return {
        "title": CURVE_TITLES.get(
            quantity, quantity.removeprefix("skill/").replace("_", " ").replace("/", ": ")
        ),
        "figure": svg.lines(
            series,
            "environment steps",
            "share" if share else quantity.split("/")[-1].replace("_", " "),
            y_range=(0.0, 1.0) if share else None,
            as_percent=share,
            window=_window(found),
        ),
        "swatches": [(name, css) for name, _, css in lines] if len(lines) > 1 else [],
    }
