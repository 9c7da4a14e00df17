"""Confidence intervals of a success rate, a mean and a rate, chosen for small numbers of episodes.

A success rate gets Wilson's score interval, which keeps its coverage near 0 and 1 and for few episodes,
where the textbook `p +- z * sqrt(p(1-p)/n)` collapses to a point. The difference of two success rates gets
Newcombe's interval, which is made of Wilson's. A mean gets a bootstrap interval, which
assumes nothing about the shape of the distribution (deepest levels are small whole numbers with a long tail).
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Resamples are drawn in blocks of about this many values, so that memory stays at about 32 MB for any input.
_BLOCK = 4_000_000


class Interval(NamedTuple):
    """A closed interval [low, high]."""

    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for the probability of success of independent trials.

    With p = successes / trials and z the standard normal quantile at (1 + confidence) / 2:

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927), 209-212; recommended for small n by Brown, Cai and DasGupta, "Interval estimation
    for a binomial proportion", Statistical Science 16 (2001), 101-133.

    Errors: ValueError unless 0 <= successes <= trials, trials >= 1 and 0 < confidence < 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"need 0 <= successes <= trials and trials >= 1, got {successes} of {trials}")
    z = NormalDist().inv_cdf((1 + _checked(confidence)) / 2)
    p = successes / trials
    shrink = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    # At p = 0 and p = 1 the bound equals p exactly; rounding must not push it past.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low, high)


def newcombe(
    first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95, correlation: float = 0.0
) -> Interval:
    """Newcombe's score interval for the difference of two success rates, first minus second.

    first, second: successes and trials of each. With p and Wilson's bounds l, u of each rate and phi the
    correlation:

        low  = p1 - p2 - sqrt((p1 - l1)^2 - 2 phi (p1 - l1)(u2 - p2) + (u2 - p2)^2)
        high = p1 - p2 + sqrt((u1 - p1)^2 - 2 phi (u1 - p1)(p2 - l2) + (p2 - l2)^2)

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), 873-890, method 10; for correlation, see `newcombe_paired`.

    Errors: as `wilson`.
    """
    (p1, (l1, u1)), (p2, (l2, u2)) = (
        (successes / max(trials, 1), wilson(successes, trials, confidence))
        for successes, trials in (first, second)
    )

    def joined(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b))

    return Interval(p1 - p2 - joined(p1 - l1, u2 - p2), p1 - p2 + joined(u1 - p1, p2 - l2))


def newcombe_paired(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Newcombe's interval for the difference of two success rates in the same episodes, first minus second.

    both, only_first, only_second, neither: number of episodes in which they succeed. The correlation is

        phi = e / sqrt((a + b)(c + d)(a + c)(b + d))

    with a, b, c, d for the four counts, e = ad - bc or, if that is positive, max(ad - bc - n / 2, 0); 0 where
    it is undefined. Source: R. G. Newcombe, "Improved
    confidence intervals for the difference between binomial proportions based on paired data", Statistics in
    Medicine 17 (1998), 2635-2650, method 10; among those recommended by Fagerland, Lydersen and Laake,
    Statistics in Medicine 33 (2014), 2850-2875.

    Errors: ValueError if a count is negative or all are 0, or confidence is not in (0, 1).
    """
    n = both + only_first + only_second + neither
    if min(both, only_first, only_second, neither) < 0:
        raise ValueError("need counts that are at least 0")
    first, second = both + only_first, both + only_second
    shared = float(both * neither - only_first * only_second)
    if shared > 0:
        shared = max(shared - n / 2, 0.0)
    scale = math.sqrt(first * (n - first) * second * (n - second))
    return newcombe((first, n), (second, n), confidence, shared / scale if scale else 0.0)


def bootstrap_mean(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Bootstrap percentile interval for the mean of `values` [n], any real dtype.

    Draws `resamples` samples of size n with replacement and takes the (1 -+ confidence) / 2 quantiles of
    their means; the same seed gives the same bounds. Source: B. Efron and R. J. Tibshirani, "An Introduction
    to the Bootstrap" (1993), section 13.3. One value, or n equal ones, give an interval of width zero: the
    bootstrap knows only the spread of the sample.

    Errors: ValueError if `values` is empty, not one-dimensional or not finite, or confidence is not in
    (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"need a non-empty vector of finite numbers, got shape {sample.shape}")
    tail = (1 - _checked(confidence)) / 2
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK // sample.size)
    means = np.concatenate(
        [
            sample[random.integers(sample.size, size=(min(block, resamples - start), sample.size))].mean(
                axis=1
            )
            for start in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bootstrap_ratio(
    counts: ArrayLike, sizes: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Bootstrap percentile interval for sum(counts) / sum(sizes), both [n]: a rate over unequal episodes.

    Draws whole episodes, pairs of a count and a size, with replacement (as `bootstrap_mean`). Samples whose
    sizes are all 0 are left out.

    Errors: ValueError if the arrays differ in length, are empty or not finite, a size is negative or all are
    0, or confidence is not in (0, 1).
    """
    pairs = np.stack(np.broadcast_arrays(np.asarray(counts, np.float64), np.asarray(sizes, np.float64)))
    if pairs.ndim != 2 or pairs.size == 0 or np.shape(counts) != np.shape(sizes):
        raise ValueError(f"need vectors of one length, got {np.shape(counts)} and {np.shape(sizes)}")
    if not np.isfinite(pairs).all() or (pairs[1] < 0).any() or not pairs[1].any():
        raise ValueError("need finite numbers and sizes that are at least 0, not all of them 0")
    tail = (1 - _checked(confidence)) / 2
    random, n = np.random.default_rng(seed), pairs.shape[1]
    block = max(1, _BLOCK // n)
    ratios = []
    for start in range(0, resamples, block):
        drawn = random.integers(n, size=(min(block, resamples - start), n))
        count, size = (row[drawn].sum(1) for row in pairs)
        ratios.append(count[size > 0] / size[size > 0])
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return Interval(float(low), float(high))


def intervals_overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two closed intervals share a point.

    Disjoint 95 % intervals are stronger evidence of a difference than a test at the 5 % level; overlapping
    ones do not show that there is none (Schenker and Gentleman, The American Statistician 55 (2001),
    182-186).
    """
    return a[0] <= b[1] and b[0] <= a[1]


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return confidence
