"""The reward models: how they were learned, averaged, and what they had to tell before training."""

import math
from typing import Any

import numpy as np
from markupsafe import Markup

from maestromotif.config.schema import Config
from maestromotif.report import evidence, svg
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.writing import bars, interval, number, sentence, thousands
from maestromotif.rewards.soup import SAYS

SHOWN = 6  # captions at each end of a ranking


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "rewards": [_reward(config, one) for one in found.rewards],
        "rewards_from": config.reward.path,
        "rewards_online": config.reward.online_steps,
        "accuracy": _accuracy(config, found),
        "accuracy_note": sentence(found.rewards[0].note) if found.rewards else "",
        "quantiles": _quantiles(config, found),
        "threshold_note": _threshold_note(config),
        "soups": _soups(config, found),
        "gate": _gate(config, found),
    }


def _reward(config: Config, one: evidence.RewardCard) -> dict[str, Any]:
    values = [value for _, value in (*one.top, *one.bottom)]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return {
        "skill": one.skill,
        "css": svg.colour(config.skills.index(one.skill)),
        "cells": [
            "–" if one.accuracy is None else svg.percent(one.accuracy),
            "–" if one.interval is None else interval(one.interval, svg.percent),
            "–" if one.accuracy_train is None else svg.percent(one.accuracy_train),
            thousands(one.held_out),
            number(one.mean),
            number(one.std),
            number(_threshold(config, one)),
        ],
        "top": bars(one.top[:SHOWN], low, high),
        "bottom": bars(one.bottom[:SHOWN], low, high),
    }


def _threshold(config: Config, one: evidence.RewardCard) -> float:
    """Normalised reward below which a step of this skill earns nothing."""
    wanted = config.reward.quantile_of.get(one.skill, config.reward.quantile)
    return float(np.interp(wanted, [x for x, _ in one.quantiles], [y for _, y in one.quantiles]))


def _accuracy(config: Config, found: Evidence) -> Markup:
    rows = [
        svg.Estimate(
            name=one.skill,
            value=one.accuracy,
            low=one.interval.low,
            high=one.interval.high,
            colour=svg.colour(config.skills.index(one.skill)),
            note=f"on {one.held_out} pairs",
        )
        for one in found.rewards
        if one.accuracy is not None and one.interval is not None
    ]
    lowest = min((row.low for row in rows), default=0.5)
    return svg.intervals(
        rows,
        "share of held-out pairs ordered as labelled",
        (min(0.4, math.floor(10 * lowest) / 10), 1.0),
        as_percent=True,
        baseline=(0.5, "guessing"),
    )


def _quantiles(config: Config, found: Evidence) -> Markup:
    series = [
        svg.Series(one.skill, [x for x, _ in one.quantiles], [y for _, y in one.quantiles], svg.colour(index))
        for index, one in enumerate(found.rewards)
    ]
    return svg.lines(
        series,
        "share of observations with a lower reward",
        "normalised reward z",
        mark=(config.reward.quantile, f"threshold {config.reward.quantile:g}"),
    )


def _threshold_note(config: Config) -> str:
    own = ", ".join(f"{name} {quantile:g}" for name, quantile in config.reward.quantile_of.items())
    return f"Thresholds of their own: {own}." if own else ""


def _soups(config: Config, found: Evidence) -> dict[str, Any] | None:
    """Held-out accuracy of each way to make one model of several."""
    if found.soup is None:
        return None
    skills = found.soup["skills"]
    names = list(next(iter(skills.values()))["methods"])
    return {
        "names": names,
        "says": [(name, SAYS[name]) for name in names],
        "rows": [
            {
                "skill": skill,
                "css": svg.colour(config.skills.index(skill)),
                "pairs": thousands(row["methods"]["soup"]["pairs"]),
                "cells": [_estimate(row["methods"][name]) for name in names],
                "recipe": ", ".join(f"{weight:g} {name}" for name, weight in row["recipe"].items()),
                "kinds": [
                    (kind, part["pairs"], [svg.percent(part[name]) for name in names])
                    for kind, part in row["by_kind"].items()
                ],
            }
            for skill, row in skills.items()
        ],
    }


def _estimate(figure: dict[str, Any]) -> str:
    if figure["accuracy"] is None:
        return "–"
    return f"{svg.percent(figure['accuracy'])} ({interval((figure['low'], figure['high']), svg.percent)})"


def _gate(config: Config, found: Evidence) -> dict[str, Any] | None:
    """The gate's table, and what is wrong."""
    if found.gate is None:
        return None
    return {
        "problems": found.gate["problems"],
        "not_gated": found.gate["not_gated"],
        "rows": [
            {
                "skill": row["skill"],
                "css": svg.colour(config.skills.index(row["skill"])),
                "event": row["event"],
                "side": row["side"] if row["judged"] else f"{row['side']}, not judged",
                "cells": [
                    thousands(row["steps"]),
                    thousands(row["distinct"]),
                    number(row["auc"]),
                    "–" if row["low"] is None else interval((row["low"], row["high"]), "{:.2f}".format),
                    "–" if row["paid"] is None else svg.percent(row["paid"]),
                    number(row["mean_z"]),
                ],
            }
            for row in found.gate["rows"]
        ],
    }
