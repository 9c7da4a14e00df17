"""Comparisons against published examples, scipy's tests, and counting all outcomes."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import scipy.stats

from maestromotif.evaluate.compare import Comparison, compare_means, compare_success
from maestromotif.evaluate.power import mean_detectable, paired_detectable, unpaired_detectable


def successes(both: int, only_first: int, only_second: int, neither: int) -> tuple[dict[int, bool], ...]:
    """Of two agents, by seed."""
    outcomes = [(True, True)] * both + [(True, False)] * only_first + [(False, True)] * only_second
    outcomes += [(False, False)] * neither
    return tuple({seed: outcome[agent] for seed, outcome in enumerate(outcomes)} for agent in (0, 1))


def numbered(values: np.ndarray, start: int = 0) -> dict[int, float]:
    return {start + n: float(value) for n, value in enumerate(values)}


def test_paired_success_as_published() -> None:
    # Cavo et al. (2012), as in test_intervals.py. p: twice the chance of at most 6 heads in 22 tosses.
    first, second = successes(59, 6, 16, 80)
    found = compare_success(first, dict(reversed(second.items())))
    assert found.paired
    assert found.episodes == (161, 161)
    assert (found.first, found.second) == pytest.approx((65 / 161, 75 / 161))
    assert found.p_value == pytest.approx(2 * 110_056 / 2**22)
    assert (found.difference, found.low, found.high) == pytest.approx((-0.0621, -0.1186, -0.0046), abs=6e-5)


def test_unpaired_success_as_published() -> None:
    # Fisher's tea: 3 of 4 against 1 of 4, p = 34 / 70; and Newcombe's 9 of 10 against 3 of 10.
    first, _ = successes(3, 0, 0, 1)
    _, second = successes(1, 0, 0, 3)
    shifted = {10 + seed: won for seed, won in second.items()}
    found = compare_success(first, shifted)
    assert not found.paired
    assert found.p_value == pytest.approx(34 / 70)
    assert found.detectable is None  # even 4 of 4 against 1 of 4 is no evidence
    nine = {seed: seed < 9 for seed in range(10)}
    three = {20 + seed: seed < 3 for seed in range(10)}
    assert compare_success(nine, three)[3:5] == pytest.approx((0.1705, 0.8090), abs=6e-5)


def test_agents_that_never_differ() -> None:
    first, second = successes(3, 0, 0, 9)
    found = compare_success(first, second)
    assert (found.difference, found.p_value) == (0, 1)
    assert found.low < 0 < found.high
    alike = numbered(np.arange(12.0))
    means = compare_means(alike, alike)
    assert (means.difference, means.p_value, means.detectable) == (0, 1, None)


def test_paired_means_against_every_choice_of_signs() -> None:
    differences = np.array([3.0, 1.0, -1.0, 2.0, 4.0, 1.0, -2.0, 5.0])
    base = np.array([1.0, 5.0, 2.0, 7.0, 3.0, 1.0, 9.0, 2.0])
    found = compare_means(numbered(base + differences), {n: int(x) for n, x in enumerate(base)})
    turned = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=8)]
    assert found.p_value == pytest.approx(np.mean(np.array(turned) >= abs(differences.sum())))
    assert found.paired
    assert found.difference == pytest.approx(13 / 8)
    assert found.low < 13 / 8 < found.high


@pytest.mark.parametrize("paired", [True, False])
def test_means_of_many_episodes_agree_with_the_t_test(paired: bool) -> None:
    random = np.random.default_rng(2)
    dungeon = random.poisson(3, 300).astype(float)
    one, other = dungeon + random.normal(0.25, 1.5, 300), dungeon + random.normal(0, 1.5, 300)
    found = compare_means(numbered(one), numbered(other, 0 if paired else 1_000))
    test = scipy.stats.ttest_rel(one, other) if paired else scipy.stats.ttest_ind(one, other, equal_var=False)
    bounds = test.confidence_interval(0.95)
    assert found.paired is paired
    assert found.p_value == pytest.approx(test.pvalue, abs=0.015)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=0.03)
    # z_0.975 + z_0.8 = 2.8016 standard errors
    error = (bounds.high - bounds.low) / (2 * 1.9667)
    assert found.detectable == pytest.approx(2.8016 * error, rel=0.01)


def test_pairing_pays_where_episodes_differ_more_than_agents() -> None:
    random = np.random.default_rng(0)
    dungeon = random.normal(0, 5, 100)
    one, other = dungeon + random.normal(1, 1, 100), dungeon + random.normal(0, 1, 100)
    paired, unpaired = (compare_means(numbered(one), numbered(other, start)) for start in (0, 1_000))
    assert paired.p_value < 0.001 < 0.05 < unpaired.p_value
    assert paired.detectable is not None
    assert unpaired.detectable is not None
    assert paired.detectable < unpaired.detectable / 3


def test_detectable_means_as_in_tables() -> None:
    # J. Cohen, "Statistical Power Analysis" (1988), table 2.4.1: groups of 64 find half a standard deviation
    # with 80 %, groups of 26 find 0.8. G*Power: 34 pairs find 0.5 with 0.808, and 33 do not reach 80 %.
    for size, effect in ((64, 0.5), (26, 0.8)):
        found = mean_detectable(np.sqrt(2 / size).item(), 2.0 * size - 2)
        assert found == pytest.approx(effect, rel=0.01)
    assert mean_detectable(34**-0.5, 33.0, power=0.8078) == pytest.approx(0.5, abs=1e-3)
    assert (mean_detectable(33**-0.5, 32.0) or 0) > 0.5
    assert mean_detectable(0.0, 9.0) is None
    assert mean_detectable(1.0, 1.0, confidence=0.999) is not None


def test_detectable_paired_success_by_counting_all_outcomes() -> None:
    n, discordant = 20, 0.4
    found = paired_detectable(n, discordant)
    assert found is not None
    wins, losses = (discordant + found) / 2, (discordant - found) / 2
    chance = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            if a + b and scipy.stats.binomtest(a, a + b).pvalue <= 0.05:
                chance += scipy.stats.multinomial.pmf([a, b, n - a - b], n, [wins, losses, 1 - wins - losses])
    assert chance == pytest.approx(0.8, abs=1e-4)


def test_detectable_unpaired_success_by_counting_all_outcomes() -> None:
    first, second, rate = 24, 18, 0.3
    found = unpaired_detectable((first, second), rate)
    assert found is not None
    assert unpaired_detectable((first, second), 1 - rate) == pytest.approx(found)
    chance = sum(
        scipy.stats.binom.pmf(a, first, rate + found) * scipy.stats.binom.pmf(b, second, rate)
        for a in range(first + 1)
        for b in range(second + 1)
        if scipy.stats.fisher_exact([[a, first - a], [b, second - b]])[1] <= 0.05
    )
    assert chance == pytest.approx(0.8, abs=1e-4)


def test_detectable_approaches_the_formulas_for_many_episodes() -> None:
    # R. J. Connor, Biometrics 43 (1987), 207-211: sqrt(n) d = z_0.975 sqrt(s) + z_0.8 sqrt(s - d^2)
    n, s = 2_000, 0.3
    found = paired_detectable(n, s)
    assert found is not None
    assert found == pytest.approx((1.95996 * s**0.5 + 0.84162 * (s - found**2) ** 0.5) / n**0.5, rel=0.03)
    # Cohen (1988), section 6.2: 2 asin sqrt(p) rises by (z_0.975 + z_0.8) sqrt(2 / n)
    other = unpaired_detectable((400, 400), 0.2)
    assert other is not None
    shift = 2 * (np.arcsin((0.2 + other) ** 0.5) - np.arcsin(0.2**0.5))
    assert shift == pytest.approx(2.8016 * (2 / 400) ** 0.5, rel=0.06)


def test_few_episodes_show_nothing_and_more_show_less() -> None:
    # Five pairs that all differ the same way have p = 1/16; six have 1/32.
    assert paired_detectable(5, 0.0) is None
    six = paired_detectable(6, 0.0)
    assert six == pytest.approx(0.8 ** (1 / 6), abs=1e-4)
    sizes = [paired_detectable(n, 0.3) or 0 for n in (32, 128, 512)]
    assert sizes == sorted(sizes, reverse=True)


def test_refuses_what_cannot_be_compared() -> None:
    some, none = {1: True, 2: False}, dict[int, bool]()
    few, more = {1: 1.0, 2: 2.0}, {3: 2.0, 4: 3.0}
    calls: list[Callable[[], Comparison]] = [
        lambda: compare_success(some, none),
        lambda: compare_means({1: 1.0}, {1: 2.0}),
        lambda: compare_means({1: 1.0, 2: float("nan")}, few),
        lambda: compare_success(some, some, confidence=1.0),
        lambda: compare_means(few, more, confidence=0.0),
        lambda: compare_success(some, some, power=1.0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"need|must lie"):
            call()
