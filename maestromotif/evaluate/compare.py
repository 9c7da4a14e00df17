"""Two agents compared: the difference of their results, its interval, a test, and what the test could find.

Agents that played the same episodes, known by their seeds, are compared pair by pair, so that what an easy or
a hard dungeon does to both cancels. How much that saves shows in `detectable`; in long episodes it may be
nothing, since the games go apart once the agents act differently.

Interval and test are made in different ways, so near the limit only one of them may show a difference. Judge
by the p-value.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from maestromotif.evaluate.power import mean_detectable, paired_detectable, unpaired_detectable
from maestromotif.intervals import Interval, bootstrap_mean, newcombe, newcombe_paired

RESAMPLES = 9_999
_BATCH = 1_000_000  # values resampled at a time, some 10 MB

_Seeds = Any  # of an episode: what tells it from others, such as `tuple(Episode.seeds)`


class Comparison(NamedTuple):
    """Of a first agent with a second one.

    difference: first minus second. low, high: its confidence interval. p_value: of the hypothesis that the
    agents are alike, two-sided. detectable: the smallest difference that the test finds in so many episodes
    with the power asked for, at a level of 1 - confidence; None if it finds none. paired: whether both played
    the same episodes.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    detectable: float | None
    episodes: tuple[int, int]
    paired: bool


def compare_success(
    first: Mapping[_Seeds, bool],
    second: Mapping[_Seeds, bool],
    confidence: float = 0.95,
    power: float = 0.8,
) -> Comparison:
    """Compare success rates.

    first, second: whether an episode succeeds, by its seeds. The same seeds in both: McNemar's exact test and
    Newcombe's interval for pairs. Otherwise: Fisher's exact test and Newcombe's interval, as if no episode
    were shared. Sources: Q. McNemar, Psychometrika 12 (1947), 153-157; R. A. Fisher, "Statistical Methods for
    Research Workers" (1934), section 21.02; `intervals.newcombe`.

    Errors: ValueError if an agent has no episode, or confidence or power is not in (0, 1).
    """
    sizes = _sizes(first, second, 1, confidence)
    wins = int(sum(first.values())), int(sum(second.values()))
    paired = first.keys() == second.keys()
    if paired:
        both = sum(bool(first[seeds] and second[seeds]) for seeds in first)
        alone = wins[0] - both, wins[1] - both
        interval = newcombe_paired(both, *alone, sizes[0] - both - sum(alone), confidence)
        p_value = stats.binomtest(alone[0], sum(alone)).pvalue if sum(alone) else 1.0
        detectable = paired_detectable(sizes[0], sum(alone) / sizes[0], confidence, power)
    else:
        interval = newcombe((wins[0], sizes[0]), (wins[1], sizes[1]), confidence)
        table = [[won, size - won] for won, size in zip(wins, sizes, strict=True)]
        p_value = stats.fisher_exact(table)[1]
        detectable = unpaired_detectable(sizes, wins[1] / sizes[1], confidence, power)
    rates = wins[0] / sizes[0], wins[1] / sizes[1]
    return Comparison(*rates, rates[0] - rates[1], *interval, float(p_value), detectable, sizes, paired)


def compare_means(
    first: Mapping[_Seeds, float | int],
    second: Mapping[_Seeds, float | int],
    confidence: float = 0.95,
    power: float = 0.8,
    seed: int = 0,
) -> Comparison:
    """Compare means, such as of depths or of BALROG's progression.

    first, second: results by the seeds of the episode. The interval is a bootstrap percentile interval and
    the test a permutation test: of the differences of pairs if both have the same seeds, else of two
    independent samples. `detectable` is that of the t test, with which the permutation test agrees for many
    episodes. Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13
    and 15.

    seed: of both resamplings. Errors: ValueError if an agent has fewer than 2 episodes, a result is not
    finite, or confidence or power is not in (0, 1).
    """
    sizes = _sizes(first, second, 2, confidence)
    paired = first.keys() == second.keys()
    one = np.array(list(first.values()), float)
    other = np.array([second[seeds] for seeds in (first if paired else second)], float)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("need finite results")
    if paired:
        interval = bootstrap_mean(one - other, confidence, RESAMPLES, seed)
        p_value = _permuted((one - other,), "samples", seed)
        error, degrees = float(stats.sem(one - other)), sizes[0] - 1.0
    else:
        interval = _bootstrap_difference(one, other, confidence, seed)
        p_value = _permuted((one, other), "independent", seed)
        error, degrees = _welch(one, other)
    detectable = mean_detectable(error, degrees, confidence, power)
    means = float(one.mean()), float(other.mean())
    return Comparison(*means, means[0] - means[1], *interval, p_value, detectable, sizes, paired)


def _sizes(
    first: Mapping[_Seeds, float | int], second: Mapping[_Seeds, float | int], least: int, confidence: float
) -> tuple[int, int]:
    sizes = len(first), len(second)
    if min(sizes) < least:
        raise ValueError(f"need at least {least} episodes of each agent, got {sizes[0]} and {sizes[1]}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return sizes


def _permuted(samples: tuple[np.ndarray, ...], kind: str, seed: int) -> float:
    """p-value of the mean, or of the difference of two. "samples" turns the signs of one sample's values."""

    def statistic(*values: np.ndarray, axis: int) -> np.ndarray:
        means = [value.mean(axis) for value in values]
        return np.asarray(means[0] if len(means) == 1 else means[0] - means[1])

    test = stats.permutation_test(
        samples,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // sum(map(len, samples))),
        random_state=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _bootstrap_difference(first: np.ndarray, second: np.ndarray, confidence: float, seed: int) -> Interval:
    bounds = stats.bootstrap(
        (first, second),
        lambda one, other, axis: one.mean(axis) - other.mean(axis),
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // max(len(first), len(second))),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(bounds.low), float(bounds.high))


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Standard error and degrees of freedom of the difference of two means.

    Source: B. L. Welch, Biometrika 34 (1947), 28-35.
    """
    parts = [sample.var(ddof=1) / sample.size for sample in (first, second)]
    spread = sum(part**2 / (sample.size - 1) for part, sample in zip(parts, (first, second), strict=True))
    return float(np.sqrt(sum(parts))), float(sum(parts) ** 2 / spread) if spread else 1.0
