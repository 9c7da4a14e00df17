"""Quality of a distilled model: accuracy and calibration on pairs, and disagreement in its ensemble."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maestromotif.rewards.pairs import Judged

BOOTSTRAPS = 1000
BINS = 10


def accuracy(
    scores: np.ndarray, judged: Judged, skill: int, chosen: np.ndarray, random: np.random.Generator
) -> dict[str, Any]:
    """Share of the pairs within the captions `chosen` (bool [N]) that are ordered as labelled, without ties.

    The 95 % interval is a bootstrap over captions, because pairs that share a caption are not independent.
    The accuracy is None if there are only ties or no pairs.
    """
    pairs, label, tie = judged.pairs[skill], judged.labels[skill], judged.ties[skill]
    within = judged.within(skill, chosen)
    used = within & ~tie
    figures: dict[str, Any] = {"accuracy": None, "low": None, "high": None, "pairs": int(used.sum())}
    figures |= {"ties_left_out": int((within & tie).sum()), "captions": int(chosen.sum())}
    if not used.any():
        return figures
    right = (scores[pairs[used, 0]] > scores[pairs[used, 1]]) == (label[used] > 0.5)
    low, high = np.quantile(over_captions(pairs[used], right[None], random)[:, 0], [0.025, 0.975])
    return figures | {
        "accuracy": round(float(right.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def over_captions(pairs: np.ndarray, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Means of values [V, P] over bootstrap samples of the captions of pairs int [P, 2]; float64 [B, V].

    The weight of a pair is the product of its captions' numbers of draws. Samples without pairs are left out.
    """
    captions, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(-1, 2).T
    samples = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(random.integers(len(captions), size=len(captions)), minlength=len(captions))
        weight = times[first] * times[second]
        if total := weight.sum():
            samples.append((values @ weight) / total)
    return np.array(samples).reshape(-1, len(values))


def calibration(scores: np.ndarray, judged: Judged, skill: int, chosen: np.ndarray) -> dict[str, Any]:
    """The expected calibration error: how far a preference of 80 % is from being right in 80 % of cases.

        ECE = sum_b n_b / n |accuracy_b - confidence_b|

    (Naeini et al., AAAI 2015) over BINS bins of equally many pairs, sorted by confidence: the probability
    sigmoid(|R_i - R_j|) of the preferred caption. Ties are left out, as in the accuracy.
    """
    used = judged.within(skill, chosen) & ~judged.ties[skill]
    pairs, label = judged.pairs[skill][used], judged.labels[skill][used]
    difference = scores[pairs[:, 0]].astype(np.float64) - scores[pairs[:, 1]]
    confidence = 1 / (1 + np.exp(-np.abs(difference)))
    right = (difference > 0) == (label > 0.5)
    order = np.argsort(confidence, kind="stable")
    bins = [
        {
            "confidence": round(float(confidence[rows].mean()), 4),
            "accuracy": round(float(right[rows].mean()), 4),
            "pairs": len(rows),
        }
        for rows in np.array_split(order, BINS)
        if len(rows)
    ]
    error = sum(abs(one["accuracy"] - one["confidence"]) * one["pairs"] for one in bins) / max(1, len(order))
    return {"ece": round(error, 4) if bins else None, "bins": bins}


def disagreement(
    z: np.ndarray, scores: Sequence[np.ndarray], judged: Judged, skill: int, chosen: np.ndarray
) -> dict[str, float] | None:
    """How much J models of a skill differ in normalised rewards and in the order of pairs; None for one.

    z float [J, I]: normalised rewards of all items; scores: R of the judged captions by each model.
    """
    if len(z) < 2:
        return None
    pairs = judged.pairs[skill][judged.within(skill, chosen) & ~judged.ties[skill]]
    votes = np.mean([own[pairs[:, 0]] > own[pairs[:, 1]] for own in scores], axis=0)
    return {
        "mean_deviation": round(float(z.std(0).mean()), 4),
        "largest_deviation": round(float(z.std(0).max()), 4),
        "pairs_not_unanimous": round(float(((votes > 0) & (votes < 1)).mean()), 4) if len(pairs) else 0.0,
    }
