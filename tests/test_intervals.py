"""Intervals against hand-computed numbers, scipy, and the properties that define them."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.intervals import (
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    intervals_overlap,
    newcombe,
    newcombe_paired,
    wilson,
)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(st.integers(1, 5_000))
    return draw(st.integers(0, trials)), trials


def test_wilson_by_hand() -> None:
    # 8 of 10 at z = 1.959964: centre (0.8 + 0.192073) / 1.384146 = 0.716740,
    # half 1.959964 / 1.384146 * sqrt(0.016 + 0.009604) = 0.226577.
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.490163, abs=2e-6)
    assert high == pytest.approx(0.943318, abs=2e-6)


@given(counts(), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(count: tuple[int, int], confidence: float) -> None:
    successes, trials = count
    reference = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx((reference.low, reference.high), abs=1e-9)


@given(counts())
def test_wilson_contains_the_observed_rate_and_narrows(count: tuple[int, int]) -> None:
    successes, trials = count
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    narrower = wilson(4 * successes, 4 * trials)
    assert narrower.high - narrower.low < high - low


@given(counts())
def test_wilson_is_symmetric(count: tuple[int, int]) -> None:
    successes, trials = count
    low, high = wilson(successes, trials)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)]
)
def test_wilson_refuses_what_has_no_meaning(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"need 0 <=|confidence must"):
        wilson(successes, trials, confidence)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombe_as_published(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(first, second) == pytest.approx((low, high), abs=6e-5)
    assert newcombe(second, first) == pytest.approx((-high, -low), abs=6e-5)


def test_newcombe_paired_as_published() -> None:
    # Cavo et al. (2012), in Fagerland, Lydersen and Laake (2014); bounds of the R package contingencytables.
    assert newcombe_paired(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=6e-5)
    assert newcombe_paired(59, 16, 6, 80) == pytest.approx((0.0046, 0.1186), abs=6e-5)
    # Nothing in common: as if they were unpaired. Agreement everywhere: the difference is nearly known.
    assert newcombe_paired(25, 25, 25, 25) == newcombe((50, 100), (50, 100))
    assert newcombe_paired(50, 0, 0, 50)[1] < 0.15 * newcombe((50, 100), (50, 100))[1]


def test_newcombe_paired_covers_the_difference_as_often_as_promised() -> None:
    n = 12
    tables = [(a, b, c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    bounds = np.array([newcombe_paired(a, b, c, n - a - b - c) for a, b, c in tables])
    counts = np.array([(a, b, c, n - a - b - c) for a, b, c in tables])
    for shares in ((0.4, 0.3, 0.1, 0.2), (0.1, 0.1, 0.1, 0.7), (0.6, 0.2, 0.15, 0.05), (0.25,) * 4):
        true = shares[1] - shares[2]
        covered = scipy.stats.multinomial.pmf(counts, n, shares)[
            (bounds[:, 0] <= true) & (true <= bounds[:, 1])
        ]
        assert 0.92 <= covered.sum() <= 0.995


def test_newcombe_refuses_what_has_no_meaning() -> None:
    for counts in ((0, 0, 0, 0), (3, -1, 1, 1)):
        with pytest.raises(ValueError, match="need"):
            newcombe_paired(*counts)
    with pytest.raises(ValueError, match="need 0 <="):
        newcombe((0, 0), (1, 2))


def test_bootstrap_agrees_with_scipy_and_with_the_normal_interval() -> None:
    values = np.random.default_rng(1).poisson(3, size=400).astype(float)
    ours = bootstrap_mean(values, seed=3)
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9_999, rng=np.random.default_rng(4)
    ).confidence_interval
    half = 1.959964 * values.std() / np.sqrt(values.size)
    assert ours == pytest.approx((reference.low, reference.high), abs=0.01)
    assert ours == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)


def test_bootstrap_of_two_values_by_hand() -> None:
    # Means of two draws from {0, 1}: 0, 1/2, 1 with probability 1/4, 1/2, 1/4; so 95 % spans everything.
    assert bootstrap_mean([0, 1]) == (0.0, 1.0)
    # The quantiles at 0.3 and 0.7 both lie inside the middle half.
    assert bootstrap_mean([0, 1], confidence=0.4) == (0.5, 0.5)
    assert bootstrap_mean([7]) == (7.0, 7.0)


def test_bootstrap_is_seeded_and_blocks_do_not_change_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(50)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)
    whole = bootstrap_mean(values, resamples=2_000)
    monkeypatch.setattr("maestromotif.intervals._BLOCK", 350)
    assert bootstrap_mean(values, resamples=2_000) == pytest.approx(whole)


def test_bootstrap_covers_the_mean_as_often_as_promised() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for repeat in range(200):
        low, high = bootstrap_mean(random.exponential(2.0, size=80), resamples=400, seed=repeat)
        covered += low <= 2.0 <= high
    assert 178 <= covered <= 198  # 0.95 * 200 = 190; bounds are some four standard errors away, skew included


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, float("nan")]])
def test_bootstrap_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        bootstrap_mean(values)


def test_overlap() -> None:
    assert intervals_overlap((0.0, 0.5), (0.5, 1.0))
    assert intervals_overlap(Interval(0.2, 0.3), Interval(0.0, 1.0))
    assert not intervals_overlap((0.0, 0.4), (0.5, 1.0))
    assert not intervals_overlap((0.5, 1.0), (0.0, 0.4))


def test_the_rate_of_unequal_episodes_is_that_of_their_sums() -> None:
    low, high = bootstrap_ratio([4, 8], [100, 300])
    assert (low, high) == (8 / 300, 4 / 100)  # only three samples of two episodes are different
    assert bootstrap_ratio([3, 0, 0], [50, 0, 0]) == (0.06, 0.06)  # samples without a size are left out
    counts = np.random.default_rng(0).poisson(5, 200)
    assert bootstrap_ratio(counts, np.full(200, 1)) == pytest.approx(bootstrap_mean(counts), abs=1e-12)
    for wrong in (([], []), ([1], [0]), ([1, 2], [1]), ([1], [-1]), ([float("nan")], [1])):
        with pytest.raises(ValueError, match="need"):
            bootstrap_ratio(*wrong)
