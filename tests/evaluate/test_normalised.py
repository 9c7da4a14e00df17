"""The normalised score against hand-computed numbers and its definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.evaluate.normalised import normalised

rates = st.floats(0, 0.99)


def test_by_hand() -> None:
    # phi: 0 for 0, 1 for 90 %, 2 for 99 %
    assert normalised(0.9, 0.0, 0.99) == pytest.approx(0.5)
    assert normalised(0.99, 0.0, 0.9) == pytest.approx(2)
    # An error of 0.1 between 1.0 and 0.01; lower is better.
    assert normalised(0.1, 1.0, 0.01, optimum=0.0) == pytest.approx(0.5)
    # -log10(0.5) / -log10(0.54) = 0.301030 / 0.267606
    assert normalised(0.5, 0.0, 0.46) == pytest.approx(1.1249, abs=1e-4)


@settings(deadline=None)
@given(rates, rates, rates)
def test_the_ends_are_0_and_1_and_better_is_more(value: float, baseline: float, reference: float) -> None:
    baseline, reference = sorted((baseline, reference))
    if reference - baseline < 1e-6:
        return
    assert normalised(baseline, baseline, reference) == 0
    assert normalised(reference, baseline, reference) == pytest.approx(1)
    if abs(value - baseline) > 1e-9:
        assert (normalised(value, baseline, reference) > 0) == (value > baseline)
    assert normalised(value + 0.009, baseline, reference) > normalised(value, baseline, reference)


def test_at_the_optimum_the_resolution_counts() -> None:
    assert normalised(1.0, 0.0, 0.9) == pytest.approx(3)
    assert normalised(1.0, 0.0, 0.9, resolution=0.01) == pytest.approx(2)
    assert normalised(1.0, 0.0, 1.0, resolution=0.01) == 1


def test_without_an_optimum_it_is_linear() -> None:
    assert normalised(3.0, 1.0, 5.0, optimum=None) == 0.5
    assert normalised(7.0, 1.0, 5.0, optimum=None) == 1.5
    assert normalised(0.0, 1.0, 5.0, optimum=None) == -0.25


@pytest.mark.parametrize(
    ("numbers", "optimum", "resolution"),
    [
        ((0.5, 0.2, 0.2), 1.0, 0.001),
        ((0.5, 0.5, 1.5), 1.0, 0.001),  # equally far from the optimum
        ((float("nan"), 0.0, 0.5), 1.0, 0.001),
        ((0.5, 0.0, 0.9), 1.0, 0.0),
    ],
)
def test_refuses_what_has_no_scale(
    numbers: tuple[float, float, float], optimum: float, resolution: float
) -> None:
    with pytest.raises(ValueError, match=r"equally good|need finite"):
        normalised(*numbers, optimum, resolution)
