"""How good a judge's answers are: figures with 95 % intervals, from arrays alone; no model is called.

A figure is a dictionary with "n", a "share" or a "mean", and its interval "low" to "high": Wilson's for a
share, a bootstrap's for a mean. If n is 0, the others are None. Intervals assume independent pairs. Pairs
that share captions are not independent, so intervals of the collected pairs are somewhat too narrow. Pairs of
the gold set share few captions, so their intervals are about right.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from maestromotif.annotate.labels import consistent, labels_of
from maestromotif.intervals import bootstrap_mean, wilson
from maestromotif.quality.gold import KINDS, PARTS, Pair
from maestromotif.quality.oracle import NAME as ORACLE

STEPS = 10  # points of a margin curve
_BOOTSTRAP_MOST = 2_000  # with more values the normal approximation is good enough
_Z = NormalDist().inv_cdf(0.975)
Figure = dict[str, float | int | None]


@dataclass(frozen=True)
class Answers:
    """A judge's answers about P pairs of one skill.

    margin: float64 [P], log-odds that the first is better, the mean over both orders or wordings; NaN where
    an answer was nonsense. odds: float64 [P, 2], log-odds of the caption named first, per order; None for
    scores of single captions, which have no order. kinds: for each pair, the kinds of its two observations
    (maestromotif.quality.oracle.kind); empty if figures by kind are not wanted. alike: bool [P], whether two
    wordings agree; None if there is only one wording or if `odds` holds two orders.
    """

    margin: np.ndarray
    odds: np.ndarray | None = None
    kinds: Sequence[tuple[str, str]] = ()
    alike: np.ndarray | None = None

    @property
    def answered(self) -> np.ndarray:
        answered: np.ndarray = np.isfinite(self.margin)
        return answered

    @property
    def twice(self) -> bool:
        """Whether there are two answers per pair, which could disagree."""
        return self.odds is not None or self.alike is not None

    def consistent(self, tie_margin: float) -> np.ndarray:
        """Whether both orders or wordings agree, bool [P]; a single score always agrees with itself."""
        if self.odds is not None:
            return consistent(self.odds, tie_margin)
        return self.answered if self.alike is None else self.alike


# ------------------------------------------------------------------------------------------- figures


def share(hits: np.ndarray) -> Figure:
    """The share of true values in bool [n]."""
    return share_of(int(np.count_nonzero(hits)), len(hits))


def share_of(count: int, n: int) -> Figure:
    """The share `count` of `n`."""
    if n == 0:
        return {"share": None, "low": None, "high": None, "n": 0}
    low, high = wilson(count, n)
    return {"share": round(count / n, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def mean(values: np.ndarray) -> Figure:
    """The mean of float [n]."""
    n = len(values)
    if n == 0:
        return {"mean": None, "low": None, "high": None, "n": 0}
    centre = float(np.mean(values))
    if n <= _BOOTSTRAP_MOST:
        low, high = bootstrap_mean(values)
    else:
        half = _Z * float(np.std(values, ddof=1)) / math.sqrt(n)
        low, high = centre - half, centre + half
    return {"mean": round(centre, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def order(answers: Answers, tie_margin: float) -> dict[str, Figure] | None:
    """Effect of the order of the two captions; None for pointwise scores.

    same: the share of pairs for which both orders agree. first: how often the caption named first is
    preferred; one half without position bias. bias: mean log-odds in favour of the first position.
    """
    if answers.odds is None:
        return None
    odds = answers.odds[answers.answered]
    # The two answers to a pair are averaged, so that the interval counts pairs and not answers.
    return {
        "same": share(answers.consistent(tie_margin)[answers.answered]),
        "first": mean((np.sign(odds) + 1).mean(1) / 2),
        "bias": mean(odds.mean(1)),
    }


def repeat(margin: np.ndarray, again: np.ndarray, tie_margin: float) -> Figure:
    """The share of equal labels in two passes (margins float64 [P]) where both gave an answer."""
    both = np.isfinite(margin) & np.isfinite(again)
    return share(labels_of(margin[both], tie_margin) == labels_of(again[both], tie_margin))


def agreement(margin: np.ndarray, target: np.ndarray, tie_margin: float) -> dict[str, Figure]:
    """Compares margins with target labels, float64 [P]: 1, 0, or one half for a tie.

    decided: among pairs that are not ties, how often the margin's sign is right. ties: among ties, how often
    the margin is below `tie_margin`. labels: how often label and target are equal, ties included. Pairs
    without an answer are excluded.
    """
    answered = np.isfinite(margin)
    margin, target = margin[answered], target[answered]
    tie = target == 0.5
    return {
        "decided": share(np.sign(margin[~tie]) == np.sign(target[~tie] - 0.5)),
        "ties": share(labels_of(margin[tie], tie_margin) == 0.5),
        "labels": share(labels_of(margin, tie_margin) == target),
    }


def curve(margin: np.ndarray, target: np.ndarray, steps: int = STEPS) -> list[dict[str, Any]]:
    """Effect of raising the least margin, on answered pairs that are not ties of the target.

    For each of `steps` thresholds, which are the quantiles 0, 1/steps, ... of |margin|: the threshold, the
    fraction of pairs kept, and their agreement. If a judge knows when it is unsure, the curve rises.
    """
    usable = np.isfinite(margin) & (target != 0.5)
    size, right = np.abs(margin[usable]), np.sign(margin[usable]) == np.sign(target[usable] - 0.5)
    if len(size) == 0:
        return []
    points = []
    for threshold in np.quantile(size, np.arange(steps) / steps):
        kept = size >= threshold
        points.append(
            {
                "threshold": round(float(threshold), 4),
                "kept": round(float(kept.mean()), 4),
                "agreement": share(right[kept]),
            }
        )
    return points


# ------------------------------------------------------------------------------------------ curation


def curate(
    margin: np.ndarray, consistent: np.ndarray | None, least: float, tie_margin: float = 0.0
) -> np.ndarray:
    """Which pairs a reward model learns from, bool [P]: answered, consistent, with a margin of `least`.

    consistent: bool [P], or None for pointwise scores, which are always consistent. Ties, which are pairs
    with a margin below `tie_margin`, need no margin of `least`; with the default there are no ties.
    """
    size = np.abs(margin)
    kept: np.ndarray = np.isfinite(margin) & ((size >= least) | (size < tie_margin))
    return kept if consistent is None else kept & consistent


def by_kind(kinds: Sequence[tuple[str, str]], of: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """For each kind, `of` applied to the pairs (bool [P]) that have an observation of that kind."""
    first, second = (np.array([pair[side] for pair in kinds], object) for side in (0, 1))
    names = sorted({name for pair in kinds for name in pair})
    return {name: of(np.asarray((first == name) | (second == name), bool)) for name in names}


def ask_again(margin: np.ndarray, difference: np.ndarray, tie_margin: float = 0.0) -> np.ndarray:
    """Which labels a reward model that was trained on other captions does not reproduce, bool [P].

    difference: float64 [P], the model's reward of the first minus that of the second; NaN if there is no such
    model. A label is doubted if the model prefers the other caption or sees no difference. Ties and pairs
    without an answer are never doubted.

    The idea of checking labels with models that were not trained on them is from C. Northcutt, L. Jiang and
    I. Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70 (2021), 1373-1411.
    """
    decided = np.isfinite(margin) & (np.abs(margin) >= tie_margin) & (margin != 0)
    again: np.ndarray = decided & (difference * np.sign(np.nan_to_num(margin)) <= 0)  # NaN <= 0 is false
    return again


# -------------------------------------------------------------------------------------- put together


def figures(
    answers: Answers,
    *,
    tie_margin: float,
    keep_margin: float,
    oracle: np.ndarray | None = None,
    again: np.ndarray | None = None,
    nonsense: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """All figures of one skill's collected pairs, for JSON.

    nonsense: how many questions were not answered with one of the choices, and how many were asked. oracle:
    float64 [P], the scripted oracle's labels, None for a skill that it does not know. again: float64 [P],
    margins of a second pass, None if there was none.
    """
    margin, answered = answers.margin, answers.answered
    kept = curate(margin, answers.consistent(tie_margin), keep_margin, tie_margin)

    def part(of: np.ndarray) -> dict[str, Any]:
        told = of & answered
        found: dict[str, Any] = {
            "unanswered": share(~answered[of]),
            "ties": share(labels_of(margin[told], tie_margin) == 0.5),
            "same": share(answers.consistent(tie_margin)[told]) if answers.twice else None,
            "kept": share(kept[of]),
        }
        if oracle is not None:
            found[ORACLE] = agreement(margin[of], oracle[of], tie_margin)["decided"]
            found[f"{ORACLE}, kept"] = agreement(margin[of & kept], oracle[of & kept], tie_margin)["decided"]
        return found

    everything = np.ones(len(margin), bool)
    return {
        "pairs": len(margin),
        **part(everything),
        "nonsense": share_of(*nonsense) if nonsense else None,
        "order": order(answers, tie_margin),
        "repeat": None if again is None else repeat(margin, again, tie_margin),
        "curve": None if oracle is None else curve(margin, oracle),
        "by_kind": by_kind(answers.kinds, part) if answers.kinds else {},
    }


def gold_figures(
    pairs: Sequence[Pair], answers: Answers, *, tie_margin: float, keep_margin: float, left_out: int = 0
) -> dict[str, Any]:
    """Agreement with one skill's gold pairs, by part and by kind of pair.

    `answers` belong to `pairs`, in this order; `left_out` counts pairs that could not be asked
    (maestromotif.quality.gold.decidable). "curated" is the agreement on the pairs that `curate` keeps, "kept"
    their share; the fewer it keeps, the less their agreement says about all pairs.
    """
    target = np.array([pair.target for pair in pairs], np.float64)
    kept = curate(answers.margin, answers.consistent(tie_margin), keep_margin, tie_margin)

    def part(of: np.ndarray) -> dict[str, Any]:
        return {
            **agreement(answers.margin[of], target[of], tie_margin),
            "unanswered": share(~answers.answered[of]),
            "curated": agreement(answers.margin[of & kept], target[of & kept], tie_margin)["decided"],
            "kept": share(kept[of]),
        }

    found: dict[str, Any] = {"left_out": left_out}
    for name in PARTS:
        of = np.array([pair.part == name for pair in pairs], bool)
        kinds = {kind: of & np.array([pair.kind == kind for pair in pairs], bool) for kind in KINDS}
        found[name] = {
            **part(of),
            "curve": curve(answers.margin[of], target[of]),
            "kinds": {
                kind: agreement(answers.margin[rows], target[rows], tie_margin)[
                    "labels" if kind == "tie" else "decided"
                ]
                for kind, rows in kinds.items()
                if rows.any()
            },
        }
    return found


# ------------------------------------------------------------------------------------------ in words

_ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nonsense answers", ("nonsense",)),
    ("pairs without a valid answer", ("unanswered",)),
    ("ties", ("ties",)),
    ("same answer in both orders or wordings", ("same",)),
    ("prefers the caption named first", ("order", "first")),
    ("position bias, log-odds", ("order", "bias")),
    ("same label when asked again", ("repeat",)),
    (f"agrees with the {ORACLE}", (ORACLE,)),
    (f"... on kept pairs, with the {ORACLE}", (f"{ORACLE}, kept",)),
    ("pairs kept", ("kept",)),
    ("agrees with the gold set, tune", ("gold", "tune", "decided")),
    ("agrees with the gold set, report", ("gold", "report", "decided")),
    ("... on kept pairs, report", ("gold", "report", "curated")),
    ("gold pairs kept, report", ("gold", "report", "kept")),
    ("gold ties found, report", ("gold", "report", "ties")),
    *((f"gold set, report: {kind}", ("gold", "report", "kinds", kind)) for kind in KINDS if kind != "tie"),
)


def rows(skills: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """What was measured, and its figure in words for each skill; without rows that no skill has."""
    found = [(told, [words(_at(one, path)) or "–" for one in skills.values()]) for told, path in _ROWS]
    return [(told, cells) for told, cells in found if any(cell != "–" for cell in cells)]


def markdown(skills: dict[str, dict[str, Any]]) -> str:
    """A table with a column per skill, then one row per skill and clause, and per skill and kind of event.

    skills: `figures` of each skill, with `gold_figures` under "gold" and obeyed clauses under
    "counterfactuals" (maestromotif.quality.clauses.figures) where they exist. Rows without a figure of any
    skill are left out.
    """
    lines = ["| |" + "".join(f" {name} |" for name in skills), "|---|" + "---|" * len(skills)]
    for told, cells in rows(skills):
        lines.append(f"| {told} |" + "".join(f" {cell} |" for cell in cells))
    clauses = [
        (name, clause, figure)
        for name, found in skills.items()
        for clause, figure in found.get("counterfactuals", {}).items()
    ]
    if clauses:
        lines += ["", "| skill | one fact changed | judged as the text says |", "|---|---|---|"]
        lines += [f"| {name} | {clause} | {words(figure) or '–'} |" for name, clause, figure in clauses]
    kinds = [(name, kind, row) for name, found in skills.items() for kind, row in found["by_kind"].items()]
    if kinds:
        lines += [
            "",
            f"| skill | kind of event | kept | ties | same answer in both orders or wordings | {ORACLE} |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {kind} |"
            + "".join(f" {words(row.get(of)) or '–'} |" for of in ("kept", "ties", "same", ORACLE))
            for name, kind, row in kinds
        ]
    return "\n".join(lines) + "\n"


def words(figure: Figure | None) -> str:
    """A figure with its interval and n, such as "87 % (79–92, n 100)"; "" for none."""
    if not figure or not figure["n"]:
        return ""
    value = figure.get("share")
    low, high = figure["low"], figure["high"]
    assert low is not None
    assert high is not None
    if value is not None:
        return f"{100 * value:.0f} % ({100 * low:.0f}–{100 * high:.0f}, n {figure['n']})"
    return f"{figure['mean']:.2f} ({low:.2f} to {high:.2f}, n {figure['n']})"


def _at(found: dict[str, Any] | None, path: tuple[str, ...]) -> Any:
    for name in path:
        found = (found or {}).get(name)
    return found
