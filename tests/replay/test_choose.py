"""Which episodes a report shows, by hand."""

from dataclasses import replace

import pytest

from maestromotif.agent.episodes import Episode
from maestromotif.replay.choose import choose


def episode(end: str, steps: int, cause: str = "") -> Episode:
    return Episode((0, 0, 0), end == "success", 1, steps, end, cause, 0, [], [], [], [], 0)


DONE, LONG_DONE = episode("success", 10), episode("success", 99)
CUT = episode("truncated", 99)
NEWT, JACKAL = (episode("death", 5, f"killed by a {name}") for name in ("newt", "jackal"))


@pytest.mark.parametrize(
    ("episodes", "chosen"),
    [
        ([], {}),
        ([DONE], {"success": 0}),
        ([CUT], {"failure": 0}),
        ([NEWT], {"death": 0}),
        ([NEWT, NEWT], {"failure": 1, "death": 0}),
        # The commonest cause, not the first; of equally common ones the first by name.
        ([NEWT, JACKAL, JACKAL, DONE, CUT], {"success": 3, "failure": 0, "longest": 4, "death": 1}),
        ([NEWT, JACKAL, CUT, DONE], {"success": 3, "failure": 0, "longest": 2, "death": 1}),
        # The only death is the death, though it comes first among the failures.
        ([JACKAL, CUT, CUT, DONE], {"success": 3, "failure": 2, "longest": 1, "death": 0}),
        # The longest is the only success, so it stands for one of the two.
        ([LONG_DONE, JACKAL, NEWT], {"success": 0, "failure": 2, "death": 1}),
        ([DONE, LONG_DONE, DONE], {"success": 0, "longest": 1}),
    ],
)
def test_one_of_each_kind_and_each_another(episodes: list[Episode], chosen: dict[str, int]) -> None:
    assert choose(episodes) == chosen
    assert list(choose(episodes)) == [
        kind for kind in ("success", "failure", "longest", "death") if kind in chosen
    ]


def test_of_a_task_without_an_end_the_deepest_is_shown() -> None:
    deep = replace(NEWT, deepest=7)
    assert choose([NEWT, CUT, deep, JACKAL, NEWT], has_end=False) == {"deepest": 2, "longest": 1, "death": 0}
