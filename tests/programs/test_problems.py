"""Records of what is wrong with a program, and how they are told."""

import pytest

from maestromotif.errors import UserError
from maestromotif.programs.problems import Problem, ProgramError


def test_a_problem_is_one_line_with_the_numbers_that_are_known() -> None:
    found = [
        Problem("a.py", 3, 7, "types", "no 'x'"),
        Problem("a.py", 3, None, "exception", "ValueError: \x1b[2J\nred\ud800"),
        Problem("b.py", None, None, "limit", "x" * 1000),
    ]
    error = ProgramError(found)
    assert isinstance(error, UserError)
    assert error.problems == tuple(found)
    assert str(error).splitlines() == [
        "a.py:3:7: no 'x'",
        r"a.py:3: ValueError: \x1b[2J\nred\ud800",
        f"b.py: {'x' * 300}...",
    ]


def test_an_unknown_kind_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="'typo' is no kind of problem"):
        Problem("a.py", None, None, "typo", "")
