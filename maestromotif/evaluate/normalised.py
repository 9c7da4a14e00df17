"""Results of different tasks on one scale, to be shown beside the raw ones: 0: a baseline, 1: a reference."""

import math


def normalised(
    value: float,
    baseline: float,
    reference: float,
    optimum: float | None = 1.0,
    resolution: float = 0.001,
) -> float:
    """A result between a baseline, which scores 0, and a reference, such as a published one, which scores 1.

        (phi(value) - phi(baseline)) / (phi(reference) - phi(baseline)), phi(s) = -log10 |s - optimum|

    so that each nine is worth the same: from 90 to 99 % as much as from 99 to 99.9 %. It is not clipped:
    better than the reference is above 1, worse than the baseline below 0. With a reference close to the
    baseline it is volatile.

    Source: README of github.com/facebookresearch/airs-bench, commit 7ec1ff4, and arXiv 2602.06855. The
    baseline of AIRS-Bench is the worst result of any agent; here it is given, such as that of random play.

    optimum: the best possible result, 1 for a success rate; None for results without one, such as a depth:
    then phi(s) = s. resolution: distances from the optimum below it count as it, because phi is infinite
    there; for a rate of n episodes 1 / 2n, half an episode, is what they can tell apart.

    Errors: ValueError if baseline and reference are equally good, a number is not finite or resolution is not
    positive.
    """
    if not all(map(math.isfinite, (value, baseline, reference, optimum or 0.0))) or not resolution > 0:
        raise ValueError("need finite numbers and a resolution above 0")

    def phi(score: float) -> float:
        return score if optimum is None else -math.log10(max(abs(score - optimum), resolution))

    span = phi(reference) - phi(baseline)
    if span == 0:
        raise ValueError(f"the baseline {baseline} and the reference {reference} are equally good")
    return (phi(value) - phi(baseline)) / span
