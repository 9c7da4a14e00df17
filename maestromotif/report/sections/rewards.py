"""The reward models: how they were learned, averaged, and what they had to tell before training."""

import math
from typing import Any

import numpy as np
from markupsafe import Markup

from maestromotif.config.schema import Config
from maestromotif.report import evidence, plots
from maestromotif.report.colours import colour, colour_of
from maestromotif.report.evidence import Evidence
from maestromotif.report.plots import Axis, Estimate, Level, Series
from maestromotif.report.sections.writing import bars, interval, number, percent, sentence, thousands
from maestromotif.rewards.soup import SAYS

SHOWN = 6  # captions at each end of a ranking


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "rewards": [_reward(config, found, one) for one in found.rewards],
        "rewards_from": config.reward.path,
        "rewards_online": config.reward.online_steps,
        "accuracy": _accuracy(config, found),
        "accuracy_note": sentence(found.rewards[0].note) if found.rewards else "",
        "quantiles": _quantiles(config, found),
        "threshold_note": _threshold_note(config, found),
        "soups": _soups(config, found),
        "gate": _gate(config, found),
    }


def _reward(config: Config, found: Evidence, one: evidence.RewardCard) -> dict[str, Any]:
    values = [value for _, value in (*one.top, *one.bottom)]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return {
        "skill": one.skill,
        "css": colour_of(one.skill, config.skills),
        "cells": [
            "–" if one.accuracy is None else percent(one.accuracy),
            "–" if one.interval is None else interval(one.interval, percent),
            "–" if one.accuracy_train is None else percent(one.accuracy_train),
            thousands(one.held_out),
            number(one.mean),
            number(one.std),
            _cell(_threshold(config, found, one)),
        ],
        "top": bars(one.top[:SHOWN], low, high),
        "bottom": bars(one.bottom[:SHOWN], low, high),
    }


def _threshold(config: Config, found: Evidence, one: evidence.RewardCard) -> float | None:
    """Normalised reward that a step must exceed to be paid, as training says it; None if it never is.

    For artefacts that do not say it, the rule of `rewards.model.RewardModels.thresholds`.
    """
    if found.thresholds:
        return found.thresholds.get(one.skill)
    wanted = config.reward.quantile_of.get(one.skill, config.reward.quantile)
    of_quantile = float(np.interp(wanted, [x for x, _ in one.quantiles], [y for _, y in one.quantiles]))
    least = config.reward.least_threshold
    return of_quantile if least is None else max(of_quantile, least)


def _accuracy(config: Config, found: Evidence) -> Markup:
    rows = [
        Estimate(
            name=one.skill,
            value=one.accuracy,
            low=one.interval.low,
            high=one.interval.high,
            colour=colour_of(one.skill, config.skills),
            note=f"on {one.held_out} pairs",
        )
        for one in found.rewards
        if one.accuracy is not None and one.interval is not None
    ]
    lowest = min((row.low for row in rows), default=0.5)
    axis = Axis(
        "share of held-out pairs ordered as labelled",
        "share",
        (min(0.4, math.floor(10 * lowest) / 10), 1.02),
    )
    figure = plots.intervals(rows, axis, baseline=(0.5, "guessing"))
    return plots.html(figure, "held-out accuracy of each reward model, with intervals")


def _quantiles(config: Config, found: Evidence) -> Markup:
    """Rewards by quantile, and each skill's threshold from where its line crosses it."""
    series, levels = [], []
    for index, one in enumerate(found.rewards):
        shares, rewards = [x for x, _ in one.quantiles], [y for _, y in one.quantiles]
        series.append(Series(one.skill, shares, rewards, colour(index)))
        threshold = _threshold(config, found, one)
        if threshold is not None:
            start = float(np.interp(threshold, rewards, shares))
            levels.append(Level(one.skill, start, threshold, colour(index)))
    x = Axis("share of observations with a lower reward", "share")
    y = Axis("normalised reward z, standard deviations above the mean")
    return plots.html(
        plots.lines(series, x, y, levels=levels), "normalised reward by quantile, with thresholds"
    )


def _threshold_note(config: Config, found: Evidence) -> str:
    """Every threshold with its sign, and where it comes from."""
    said = []
    for one in found.rewards:
        threshold = _threshold(config, found, one)
        quantile = config.reward.quantile_of.get(one.skill, config.reward.quantile)
        origin = f"quantile {quantile:g}"
        if threshold is not None and threshold == config.reward.least_threshold:
            origin = f"the least threshold; its quantile {quantile:g} is lower"
        value = "none, the model is constant" if threshold is None else _signed(threshold)
        said.append(f"{one.skill} {value} ({origin})")
    least = config.reward.least_threshold
    bound = "no least threshold" if least is None else f"least threshold {_signed(least)}"
    return f"Thresholds in standard deviations, {bound}: {'; '.join(said)}." if said else ""


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _cell(threshold: float | None) -> str:
    return "–" if threshold is None else _signed(threshold)


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")


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
                "css": colour_of(skill, config.skills),
                "pairs": thousands(row["methods"]["soup"]["pairs"]),
                "cells": [_estimate(row["methods"][name]) for name in names],
                "recipe": ", ".join(f"{weight:g} {name}" for name, weight in row["recipe"].items()),
                "kinds": [
                    (kind, number(part.get("pairs")), [_percent(part.get(name)) for name in names])
                    for kind, part in row["by_kind"].items()
                ],
            }
            for skill, row in skills.items()
        ],
    }


def _estimate(figure: dict[str, Any]) -> str:
    if None in (figure["accuracy"], figure["low"], figure["high"]):
        return "–"
    return f"{percent(figure['accuracy'])} ({interval((figure['low'], figure['high']), percent)})"


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
                "css": colour_of(row["skill"], config.skills),
                "event": row["event"],
                "side": row["side"] if row["judged"] else f"{row['side']}, not judged",
                "cells": [
                    thousands(row["steps"]),
                    thousands(row["distinct"]),
                    number(row["auc"]),
                    "–"
                    if None in (row["low"], row["high"])
                    else interval((row["low"], row["high"]), "{:.2f}".format),
                    "–" if row["paid"] is None else percent(row["paid"]),
                    number(row["mean_z"]),
                ],
            }
            for row in found.gate["rows"]
        ],
    }
