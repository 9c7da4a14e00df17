"""How good a judge's answers are: figures with 95 % intervals, from arrays alone; no model is called.

A figure is a dictionary with "n", a "share" or a "mean", and its interval "low" to "high": Wilson's for a
share, a bootstrap's for a mean. Where n is 0 the others are None. Intervals take pairs for independent; pairs
that share captions are less than that, so intervals of the collected pairs are somewhat too narrow. Those of
the gold set, whose pairs share few captions, are about right.
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
_BOOTSTRAP_MOST = 2_000  # of more values the mean's distribution is normal for all that matters here
_Z = NormalDist().inv_cdf(0.975)
Figure = dict[str, float | int | None]


@dataclass(frozen=True)
class Answers:
    """What a judge says of P pairs of one skill.

    margin: float64 [P], log-odds of the first being the better, the mean of both orders or wordings; NaN
    where an answer was nonsense. odds: float64 [P, 2], log-odds of the one named first in either order; None
    for scores of single captions, which know no order. kinds: of each pair the kinds of its two observations
    (maestromotif.quality.oracle.kind); empty if figures by kind are not wanted. alike: bool [P], whether
    two wordings say the same; None where there is one, or where `odds` tells it of two orders.
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
        """Whether there is anything that could disagree."""
        return self.odds is not None or self.alike is not None

    def consistent(self, tie_margin: float) -> np.ndarray:
        """Whether both orders or wordings say the same, bool [P]; a single score does so by its nature."""
        if self.odds is not None:
            return consistent(self.odds, tie_margin)
        return self.answered if self.alike is None else self.alike


# ------------------------------------------------------------------------------------------- figures


def share(hits: np.ndarray) -> Figure:
    """The share of true ones among bool [n]."""
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
    """What the order of the two captions does; None for pointwise scores.

    same: the share of pairs of which both orders prefer the same one. first: how often the one named first is
    preferred, one half if the place does not matter. bias: by how many log-odds the first place is favoured.
    """
    if answers.odds is None:
        return None
    odds = answers.odds[answers.answered]
    # Both answers to a pair go together, so that the interval counts pairs and not answers.
    return {
        "same": share(answers.consistent(tie_margin)[answers.answered]),
        "first": mean((np.sign(odds) + 1).mean(1) / 2),
        "bias": mean(odds.mean(1)),
    }


def repeat(margin: np.ndarray, again: np.ndarray, tie_margin: float) -> Figure:
    """The share of equal labels in two passes, margins float64 [P] each, where both gave an answer."""
    both = np.isfinite(margin) & np.isfinite(again)
    return share(labels_of(margin[both], tie_margin) == labels_of(again[both], tie_margin))


def agreement(margin: np.ndarray, target: np.ndarray, tie_margin: float) -> dict[str, Figure]:
    """Margins against labels that are held to be right, float64 [P]: 1, 0, or one half for a tie.

    decided: of pairs of which one is the better, how often the margin's sign says which. ties: of ties, how
    often the margin is below `tie_margin`. labels: how often label and target are equal, ties included. Pairs
    without an answer are in none of them.
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
    """What raising the least margin does, on answered pairs that are no ties of the target.

    At each of `steps` thresholds, which are quantiles of |margin| from 0 on: the threshold, the fraction that
    is kept, and the agreement of what is kept. A judge that knows when it is unsure has a rising curve.
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
    """Which pairs teach a reward model, bool [P]: answered, alike in both orders, with a margin of `least`.

    consistent: bool [P], or None for pointwise scores, which are alike by their nature. Ties, pairs with a
    margin below `tie_margin`, are labels of their own and need no margin; the default knows none.
    """
    size = np.abs(margin)
    kept: np.ndarray = np.isfinite(margin) & ((size >= least) | (size < tie_margin))
    return kept if consistent is None else kept & consistent


def by_kind(kinds: Sequence[tuple[str, str]], of: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """`of` the pairs (bool [P]) that have an observation of a kind, for each kind."""
    first, second = (np.array([pair[side] for pair in kinds], object) for side in (0, 1))
    names = sorted({name for pair in kinds for name in pair})
    return {name: of(np.asarray((first == name) | (second == name), bool)) for name in names}


def ask_again(margin: np.ndarray, difference: np.ndarray, tie_margin: float = 0.0) -> np.ndarray:
    """Which labels are not reproduced by a reward model that learned from other captions, bool [P].

    difference: float64 [P], by how much that model rewards the first more than the second; NaN where there is
    no such model. A label is doubted where it prefers the other caption, or sees no difference. Ties and
    pairs without an answer are not among them.

    The idea, to check labels by models that were not trained on them, is that of C. Northcutt, L. Jiang and
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

    nonsense: how many questions were answered with anything else than a choice, and how many were asked.
    oracle: float64 [P], the scripted oracle's labels, None for a skill that it does not know. again: float64
    [P], margins of a second pass, None if there was none.
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
    """Agreement with gold pairs of one skill, part by part, and by the kind of pair.

    `answers` are those to `pairs`, in this order; `left_out` counts pairs that could not be asked
    (maestromotif.quality.gold.decidable). "curated" is the agreement of what `curate` keeps, "kept" how
    much that is; the more it keeps out, the less its agreement says about the whole.
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
    ("questions answered with nonsense", ("nonsense",)),
    ("pairs without a sensible answer", ("unanswered",)),
    ("ties", ("ties",)),
    ("same answer in both orders or wordings", ("same",)),
    ("prefers what is named first", ("order", "first")),
    ("favour for the first place, log-odds", ("order", "bias")),
    ("same label when asked again", ("repeat",)),
    (f"agrees with the {ORACLE}", (ORACLE,)),
    (f"... of what is kept, with the {ORACLE}", (f"{ORACLE}, kept",)),
    ("kept", ("kept",)),
    ("agrees with the gold set, tune", ("gold", "tune", "decided")),
    ("agrees with the gold set, report", ("gold", "report", "decided")),
    ("... of what is kept, report", ("gold", "report", "curated")),
    ("kept of the gold set, report", ("gold", "report", "kept")),
    ("ties of the gold set found, report", ("gold", "report", "ties")),
    *((f"gold set, report: {kind}", ("gold", "report", "kinds", kind)) for kind in KINDS if kind != "tie"),
)


def markdown(skills: dict[str, dict[str, Any]]) -> str:
    """A table with a column a skill, and one of the kinds of event with a row a skill and kind.

    skills: `figures` of each, with `gold_figures` under "gold" and obeyed clauses under "counterfactuals"
    (maestromotif.quality.clauses.figures), where there are such. Rows of which no skill knows
    anything are left out.
    """
    lines = ["| |" + "".join(f" {name} |" for name in skills), "|---|" + "---|" * len(skills)]
    for told, path in _ROWS:
        cells = [words(_at(found, path)) for found in skills.values()]
        if any(cells):
            lines.append(f"| {told} |" + "".join(f" {cell or '–'} |" for cell in cells))
    clauses = [
        (name, clause, figure)
        for name, found in skills.items()
        for clause, figure in found.get("counterfactuals", {}).items()
    ]
    if clauses:
        lines += ["", "| skill | one fact changed | as the text says |", "|---|---|---|"]
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
    """A figure with its interval and number, as in "87 % (79–92, n 100)"; "" for none."""
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
