"""The result of a method that was trained with several seeds: what it gives again, and what these runs gave.

Two intervals answer two questions. Over the seeds: what would training with new seeds give? It is wide for
few seeds. Over the episodes: what do these very policies reach in new episodes? It knows no new trainings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maestromotif.intervals import Interval

RESAMPLES = 9_999
_BATCH = 1_000_000  # values resampled at a time, some 10 MB


class Spread(NamedTuple):
    """Of the results of several training seeds.

    mean: of the seeds' means, which counts every seed alike. means: of each seed. deviation: standard
    deviation of the means, with n - 1; None for one seed. by_chance: what it would be if all seeds were
    equally good, only because episodes differ. over_seeds: t interval of the mean; None for one seed.
    over_episodes: stratified bootstrap interval, which draws the episodes of each seed anew.
    """

    mean: float
    means: tuple[float, ...]
    deviation: float | None
    by_chance: float
    over_seeds: Interval | None
    over_episodes: Interval


def spread(results: Sequence[ArrayLike], confidence: float = 0.95, seed: int = 0) -> Spread:
    """Mean of a method over training seeds, and how sure it is.

    results: of each training seed, those of its episodes [n]: successes, depths. seed: of the bootstrap.
    Sources: Student, Biometrika 6 (1908), 1-25; for the stratified bootstrap, there by task and here by seed,
    R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021).

    Errors: ValueError if there is no seed, one has fewer than 2 episodes or a result that is not finite, or
    confidence is not in (0, 1).
    """
    samples = [np.asarray(result, np.float64) for result in results]
    if not samples or any(x.ndim != 1 or x.size < 2 or not np.isfinite(x).all() for x in samples):
        raise ValueError("need, for at least one seed, vectors of 2 or more finite numbers")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    means = np.array([sample.mean() for sample in samples])
    several = len(samples) > 1
    chance = np.mean([sample.var(ddof=1) / sample.size for sample in samples])
    return Spread(
        mean=float(means.mean()),
        means=tuple(means.tolist()),
        deviation=float(means.std(ddof=1)) if several else None,
        by_chance=float(np.sqrt(chance)),
        over_seeds=_t_interval(means, confidence) if several else None,
        over_episodes=_stratified(samples, confidence, seed),
    )


def _t_interval(means: np.ndarray, confidence: float) -> Interval:
    half = float(stats.t.isf((1 - confidence) / 2, means.size - 1) * stats.sem(means))
    return Interval(float(means.mean()) - half, float(means.mean()) + half)


def _stratified(samples: list[np.ndarray], confidence: float, seed: int) -> Interval:
    bounds = stats.bootstrap(
        samples,
        lambda *drawn, axis: np.mean([one.mean(axis) for one in drawn], axis=0),
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // max(sample.size for sample in samples)),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(bounds.low), float(bounds.high))
