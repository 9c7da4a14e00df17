"""The spread between training seeds: by hand, against scipy, and where one source of it is absent."""

import numpy as np
import pytest
import scipy.stats

from maestromotif.evaluate.training_seeds import spread
from maestromotif.intervals import bootstrap_mean


def test_by_hand() -> None:
    found = spread([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    assert found.means == (0.75, 0.5, 0.25)
    assert found.mean == 0.5
    assert found.deviation == pytest.approx(0.25)
    # variances 1/4, 1/3, 1/4 of 4 episodes each
    assert found.by_chance == pytest.approx(((1 / 4 + 1 / 3 + 1 / 4) / 3 / 4) ** 0.5)
    # t_0.975 with 2 degrees of freedom is 4.302653
    half = 4.302653 * 0.25 / 3**0.5
    assert found.over_seeds == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_the_t_interval_is_scipys() -> None:
    results = np.random.default_rng(3).normal(2, 1, (5, 40))
    bounds = scipy.stats.ttest_1samp(results.mean(1), 0).confidence_interval(0.9)
    assert spread(list(results), 0.9).over_seeds == pytest.approx((bounds.low, bounds.high))


def test_every_seed_counts_alike_however_many_its_episodes() -> None:
    found = spread([[0.0, 2.0], [4.0] * 50])
    assert found.mean == 2.5
    # Of the first seed's two episodes the draws are 0, 1 or 2 on average; the second seed's are always 4.
    assert found.over_episodes == (2.0, 3.0)


def test_seeds_that_differ_widen_only_the_interval_over_seeds() -> None:
    random = np.random.default_rng(0)
    alike = [random.normal(0, 1, 200) for _ in range(4)]
    apart = [sample + shift for sample, shift in zip(alike, (-3, -1, 1, 3), strict=True)]
    one, other = spread(alike), spread(apart)
    assert one.by_chance == pytest.approx(other.by_chance) == pytest.approx(200**-0.5, rel=0.1)
    assert one.deviation is not None
    assert other.deviation is not None
    assert one.deviation < 2 * one.by_chance < 20 * one.by_chance < other.deviation
    widths = [np.ptp(found.over_episodes) for found in (one, other)]
    assert widths[0] == pytest.approx(widths[1]) == pytest.approx(2 * 1.96 * (4 * 200) ** -0.5, rel=0.1)
    assert one.over_seeds is not None
    assert other.over_seeds is not None
    assert np.ptp(other.over_seeds) > 10 * np.ptp(one.over_seeds)


def test_by_chance_is_the_deviation_of_seeds_that_are_equally_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestromotif.evaluate.training_seeds.RESAMPLES", 9)
    random = np.random.default_rng(1)
    found = [spread(list(random.random((5, 50)) < 0.3)) for _ in range(60)]
    squares = np.mean([one.deviation**2 for one in found if one.deviation is not None])
    assert squares == pytest.approx(np.mean([one.by_chance**2 for one in found]), rel=0.25)


def test_one_seed_has_no_spread() -> None:
    values = np.random.default_rng(5).poisson(3, 300).astype(float)
    found = spread([values])
    assert (found.deviation, found.over_seeds) == (None, None)
    assert found.over_episodes == pytest.approx(bootstrap_mean(values), abs=0.02)


@pytest.mark.parametrize("results", [[], [[1.0]], [[1.0, 2.0], []], [[1.0, float("inf")]]])
def test_refuses_what_has_no_spread(results: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="need"):
        spread(results)
    with pytest.raises(ValueError, match="confidence"):
        spread([[1.0, 2.0]], confidence=95.0)
