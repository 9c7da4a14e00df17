"""Progression against BALROG's published landmarks and its rule, step by step."""

import pytest

from maestromotif.evaluate.progression import BY_DEPTH, BY_XP_LEVEL, progression

# In %, as BALROG's table is quoted.
LANDMARKS = {2: 1.5, 3: 1.8, 4: 2.1, 5: 2.6, 6: 3.5, 7: 4.8, 8: 7.0, 9: 9.8, 10: 12.6, 12: 20.6}


@pytest.mark.parametrize(("deepest", "percent"), LANDMARKS.items())
def test_landmarks_of_depth(deepest: int, percent: float) -> None:
    assert round(100 * progression(deepest, 1), 1) == percent


def test_the_greater_of_depth_and_experience_counts() -> None:
    assert progression(1, 1) == 0
    assert progression(1, 30) == 0.7804561949196475
    assert progression(50, 1) == 0.8067964442444019
    assert progression(5, 8) == progression(1, 8) == 0.07453595273884014
    assert progression(10, 8) == progression(10, 1) == 0.12558597019922987


def test_both_tables_rise_so_that_the_best_levels_suffice() -> None:
    assert (len(BY_DEPTH), len(BY_XP_LEVEL)) == (50, 30)
    for table in (BY_DEPTH, BY_XP_LEVEL):
        assert list(table) == sorted(set(table))
    walk = [(1, 1), (2, 1), (3, 2), (2, 4), (7, 3), (1, 6)]  # depth and experience level of each step
    best = max(max(BY_DEPTH[depth - 1], BY_XP_LEVEL[level - 1]) for depth, level in walk)
    assert progression(max(depth for depth, _ in walk), max(level for _, level in walk)) == best


def test_what_no_game_shows() -> None:
    assert progression(53, 1) == progression(50, 1)
    for wrong in ((0, 1), (1, 0), (1, 31)):
        with pytest.raises(ValueError, match="need deepest"):
            progression(*wrong)
