"""The smallest difference that a test of two agents finds with a given probability, its power.

For success rates the power is computed exactly, by the probabilities of all outcomes; for means it is that of
Student's t test. All tests are two-sided at the level 1 - confidence.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import betaln


def paired_detectable(
    episodes: int, discordant: float, confidence: float = 0.95, power: float = 0.8
) -> float | None:
    """Smallest difference of success rates that McNemar's exact test finds; None: not even 1.

    discordant: share of the episodes in which only one of the agents succeeds. It is raised to the difference
    where that is greater, because fewer such episodes could not make it.
    """
    number = np.arange(episodes + 1)  # of discordant episodes
    # Of these, the first agent has to win this many for a p-value of at most 1 - confidence.
    needed = stats.binom.isf((1 - confidence) / 2, number, 0.5) + 1

    def found(difference: float) -> float:
        share = max(discordant, difference)
        wins = (share + difference) / (2 * share)
        rejected = stats.binom.sf(needed - 1, number, wins) + stats.binom.cdf(number - needed, number, wins)
        return float(stats.binom.pmf(number, episodes, share) @ rejected)

    return _smallest(found, 1.0, power)


def unpaired_detectable(
    episodes: tuple[int, int], rate: float, confidence: float = 0.95, power: float = 0.8
) -> float | None:
    """Smallest difference of success rates that Fisher's exact test finds; None: not even the greatest.

    episodes: numbers of the first and the second agent. rate: of the second; the difference goes from it
    towards the farther end of 0 to 1.
    """
    first, second = episodes
    rejected = _fisher_rejects(episodes, 1 - confidence).astype(float)
    rate = min(rate, 1 - rate)  # the test treats successes and failures alike
    chance = stats.binom.pmf(np.arange(second + 1), second, rate)

    def found(difference: float) -> float:
        other = stats.binom.pmf(np.arange(first + 1), first, min(rate + difference, 1.0))
        return float(other @ rejected @ chance)

    return _smallest(found, 1 - rate, power)


def mean_detectable(
    error: float, degrees: float, confidence: float = 0.95, power: float = 0.8
) -> float | None:
    """Smallest difference of means that the t test finds; None if the error is 0: nothing tells the spread.

    error: standard error of the difference. degrees: of freedom; n - 1 for n pairs.
    """
    if error == 0:
        return None
    critical = stats.t.isf((1 - confidence) / 2, degrees)
    far = 4 * critical + 10
    shift = _smallest(lambda shift: float(stats.nct.sf(critical, degrees, shift)), far, power)
    return None if shift is None else error * shift


def _smallest(found: Callable[[float], float], largest: float, power: float) -> float | None:
    """Where `found`, which rises from 0 to `largest`, reaches the power."""
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1, got {power}")
    nothing = 1e-9
    if found(largest) < power:
        return None
    if found(nothing) >= power:
        return 0.0
    return float(brentq(lambda x: found(x) - power, nothing, largest, xtol=1e-6))


def _fisher_rejects(episodes: tuple[int, int], level: float) -> np.ndarray:
    """Which outcomes Fisher's exact test rejects, bool [first + 1, second + 1] by numbers of successes."""
    first, second = episodes
    # log of n over k for k = 0 to n
    ways = [-np.log(n + 1) - betaln(np.arange(n + 1) + 1, n - np.arange(n + 1) + 1) for n in episodes]
    rejected = np.zeros((first + 1, second + 1), bool)
    for total in range(first + second + 1):
        wins = np.arange(max(0, total - second), min(first, total) + 1)
        # hypergeometric, up to a factor
        likely = ways[0][wins] + ways[1][total - wins]
        order = np.argsort(likely)
        chance = np.exp(likely[order] - likely.max())
        # p-value: the chance of all outcomes that are at most as likely, equal ones up to rounding included
        last = np.searchsorted(chance, chance * (1 + 1e-7), side="right") - 1
        rejected[wins[order], total - wins[order]] = np.cumsum(chance)[last] <= level * chance.sum()
    return rejected
