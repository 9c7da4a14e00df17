"""Success conditions: the grammar, its errors, and the automaton against one written game by game."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.errors import UserError
from maestromotif.tasks import conditions as progress
from maestromotif.tasks.conditions import Success

OPERATORS = ["==", "!=", "<", "<=", ">", ">="]
NUMBERS = ["depth", "gold", "branch_depth"]
FLAGS = ["has_eaten_in_mines", "altar_in_view"]
FIELDS = NUMBERS + FLAGS

number_parts = st.builds(
    "{} {} {}".format, st.sampled_from(NUMBERS), st.sampled_from(OPERATORS), st.integers(-2, 3)
)
flag_parts = st.sampled_from(
    [text for flag in FLAGS for text in (flag, f"not {flag}", f"{flag} == true", f"{flag} != True")]
)
conditions = st.lists(
    st.lists(number_parts | flag_parts, min_size=1, max_size=3).map(" and ".join), min_size=1, max_size=4
)
games = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.lists(st.lists(st.integers(-2, 3), min_size=n, max_size=n), min_size=5, max_size=5),
            st.lists(st.booleans(), min_size=n, max_size=n),
        ),
        min_size=1,
        max_size=8,
    )
)


def python(text: str) -> str:
    """The condition as Python, in which it means the same."""
    return text.replace("true", "True")


@given(conditions, games)
def test_agrees_with_an_evaluator_of_single_games(
    texts: list[str], steps: list[tuple[list[list[int]], list[bool]]]
) -> None:
    count = len(steps[0][1])
    success = Success(texts)
    met = [0] * count
    for values, resets in steps:
        state = {name: np.array(column, np.int32) for name, column in zip(FIELDS, values, strict=True)}
        for flag in FLAGS:  # as the pool keeps them: 0 and 1
            state[flag] = (state[flag] > 0).astype(np.int32)
        success.reset(np.array(resets))
        achieved = success.update(state)
        for game in range(count):
            row = {name: int(state[name][game]) for name in NUMBERS}
            row |= {name: bool(state[name][game]) for name in FLAGS}
            met[game] = 0 if resets[game] else met[game]
            while met[game] < len(texts) and eval(python(texts[met[game]]), {}, row):
                met[game] += 1
            assert success.met[game] == met[game]
            assert achieved[game] == (met[game] == len(texts))


def test_down_and_back_by_hand() -> None:
    success = Success(["depth >= 2", "depth == 1"])
    success.reset(np.array([True, True]))
    depths = np.array([[1, 1], [1, 2], [1, 3], [2, 2], [1, 1], [2, 1]], np.int32)
    achieved = [success.update({"depth": row}).tolist() for row in depths]
    assert achieved == [[False, False]] * 4 + [[True, True]] * 2  # once achieved, achieved
    success.reset(np.array([True, False]))
    assert success.update({"depth": depths[0]}).tolist() == [False, True]


def test_one_step_may_meet_several_conditions_but_only_in_order() -> None:
    success = Success(["depth >= 2 and gold > 10", "not altar_in_view", "depth == 1"])
    assert success.fields == ["altar_in_view", "depth", "gold"]
    state = {"depth": np.array([2, 1]), "gold": np.array([11, 99]), "altar_in_view": np.array([0, 0])}
    success.update(state)
    assert success.met.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the condition ends where a field of GameState was expected"),
        ("dpeth >= 2", "GameState has no field 'dpeth'; did you mean 'depth'?"),
        ("qqqq", "GameState has no field 'qqqq'; known are step, turn, depth"),
        ("skill == 3", "GameState has no field 'skill'"),
        ("depth", "'depth' is a whole number; compare it"),
        ("not depth >= 2", "'depth' is a whole number; compare it"),
        ("depth =2", "'=' is not a comparison (two equal signs compare)"),
        ("depth => 2", "'=>' is not a comparison; use one of ==, !="),
        ("depth >=", "the condition ends where a whole number was expected"),
        ("depth >= two", "'depth' is a whole number, got 'two'"),
        ("depth >= true", "'depth' is a whole number, got 'true'"),
        ("depth >= 99999999999", "99999999999 is greater than any number in the game"),
        ("has_eaten_in_mines == 1", "'has_eaten_in_mines' is true or false, got '1'"),
        ("has_eaten_in_mines < true", "only == and != compare it"),
        ("not has_eaten_in_mines == true", "write 'not has_eaten_in_mines' or"),
        ("3 >= depth", "expected a field of GameState, got 3"),
        ("depth >= 2 or gold > 1", "expected 'and' before 'or'"),
        ("depth >= 2 gold > 1", "expected 'and' before 'gold'"),
        ("depth >= 2 and", "the condition ends where a field"),
        ("depth >= 2.5", "cannot read '.5'"),
        ("__import__('os')", "cannot read '('"),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        Success(["depth >= 2", text])
    if not text.startswith("__"):
        assert expected in str(error.value)
    assert str(error.value).startswith(f"task.success[1]: '{text}': ")


def test_without_conditions_a_task_is_never_achieved() -> None:
    success = Success([])
    for depth in ([1, 9], [50, 1]):
        assert success.update({"depth": np.array(depth)}).tolist() == [False, False]


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = progress.parse(text)
    except UserError as error:
        message = str(error)
    else:
        message = text
        assert parsed
    assert text in message
