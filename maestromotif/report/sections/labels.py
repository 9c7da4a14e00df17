"""What was collected, and what the language model made of it."""

from typing import Any

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.quality import oracle
from maestromotif.quality.figures import words
from maestromotif.report import evidence, plots
from maestromotif.report.colours import colour
from maestromotif.report.evidence import Evidence
from maestromotif.report.plots import Axis, Series
from maestromotif.report.sections.evaluated import depths
from maestromotif.report.sections.writing import bars, listed, number, percent, thousands

METHODS = {
    "pointwise": "scoring each one alone and ordering pairs from the scores",
    "graded": "grading each one alone and ordering pairs from the grades",
    "reworded": "judging each one alone in two wordings and ordering pairs from both",
    "pairwise": "comparing pairs in both orders",
    "reasoned": "comparing pairs in both orders, with reasons written down first",
}
SHOWN = 6  # captions at each end of a ranking


def values(config: Config, found: Evidence) -> dict[str, Any]:
    columns = _quality_columns(found)
    return {
        "collected": _collected(found.collected),
        "labels": [_label(config, one, columns) for one in found.labels],
        "judged": max((len(one.captions) for one in found.labels), default=0),
        "method": METHODS[config.annotate.method],
        "quality_columns": ["pairs", "ties", *(name.replace("_", " ") for name in columns)],
        "model": found.model,
        "curation": _curation(config, found),
    }


def _collected(collected: evidence.Collected | None) -> dict[str, Any] | None:
    if collected is None:
        return None
    return {
        "steps": thousands(collected.steps),
        "empty": thousands(collected.empty),
        "distinct": thousands(collected.distinct),
        "depths": depths([(play.source, play.deepest) for play in collected.plays]),
        "recorded": any(play.source == "recordings" for play in collected.plays),
        "plays": [
            {
                "source": play.source,
                "steps": thousands(play.steps),
                "episodes": len(play.deepest),
                "mean": f"{np.mean(play.deepest):.2f}",
                "most": max(play.deepest),
                "ends": listed(play.ends),
            }
            for play in collected.plays
        ],
        "changed": ", ".join(f"{name} {thousands(count)}" for name, count in collected.changed.items()),
        "frequent": [(text, thousands(count)) for text, count in collected.frequent],
    }


def _quality_columns(found: Evidence) -> list[str]:
    """Names of the plain numbers of the quality files, beside pairs and ties, in their order there."""
    return list(
        dict.fromkeys(
            name
            for one in found.labels
            for name, value in one.quality.items()
            if isinstance(value, int | float) and name not in ("pairs", "ties")
        )
    )


def _label(config: Config, one: evidence.Labels, columns: list[str]) -> dict[str, Any]:
    scores = [score for _, score in one.captions]
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)
    count, edges = np.histogram(scores, bins=20, range=(low, high if high > low else low + 1))
    css = colour(config.skills.index(one.skill))
    return {
        "skill": one.skill,
        "css": css,
        "measure": one.measure,
        "quality": [
            thousands(one.pairs),
            f"{thousands(one.ties)} ({percent(one.ties / max(1, one.pairs))})",
            *(number(one.quality.get(name)) for name in columns),
        ],
        "count": len(scores),
        "events": bars([(f"{event} ({count})", score) for event, score, count in one.events], low, high),
        "top": bars(one.captions[:SHOWN], low, high),
        "bottom": bars(one.captions[SHOWN:][-SHOWN:], low, high),
        "histogram": plots.html(
            plots.histogram(count.tolist(), edges.tolist(), css, Axis(one.measure), Axis("captions")),
            f"{one.skill}: how many captions have which score",
        ),
    }


def _curation(config: Config, found: Evidence) -> dict[str, Any] | None:
    """Tables of what was kept, by skill and by kind of event, and the curves of the margin."""
    if found.curation is None:
        return None
    skills = found.curation["skills"]
    colours = {name: colour(index) for index, name in enumerate(config.skills)}
    curves: dict[str, list[Series]] = {}
    for of in ("reproduced", "oracle"):
        curves[of] = []
        for name, row in skills.items():
            # Of few labels none may be left that could be compared.
            told = [point for point in row["curve"] if point[of] and point[of]["share"] is not None]
            if told:
                kept, shares = [point["kept"] for point in told], [point[of]["share"] for point in told]
                curves[of].append(Series(name, kept, shares, colours[name]))
    return {
        "again": found.curation["again"],
        "oracle": oracle.NAME,
        "fates": list(next(iter(skills.values()))["fates"]),
        "rows": [
            {
                "skill": name,
                "css": colours[name],
                "cells": [
                    thousands(row["labelled"]),
                    *(thousands(count) for count in row["fates"].values()),
                    *(
                        words(row[of]) or "–"
                        for of in ("kept", "checked", "reproduced", "labelled_oracle", "kept_oracle")
                    ),
                ],
                "kinds": [
                    (kind, words(part["kept"]), words(part["labelled_oracle"]), words(part["kept_oracle"]))
                    for kind, part in row["by_kind"].items()
                ],
            }
            for name, row in skills.items()
        ],
        "curves": {
            of: plots.html(
                plots.lines(
                    series,
                    Axis("share kept, by raising the least margin", "share"),
                    Axis("share that agrees", "share"),
                ),
                f"share of labels that agree ({of}), by share kept",
            )
            for of, series in curves.items()
            if series
        },
    }
