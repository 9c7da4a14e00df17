"""What a task asks for, in the facts of rule tables."""

import pytest

from maestromotif.compose import aims, rules
from maestromotif.tasks.generate import generate


@pytest.mark.parametrize(
    ("conditions", "words", "stages"),
    [
        (["depth >= 2", "depth == 1"], "depth >= 2, then depth == 1", "after(depth >= 2)"),
        (
            ["not_before(depth >= 3, count(killed) >= 1 and depth == 1)"],
            "kills >= 1 and depth == 1, then depth >= 3",
            "after(kills >= 1 and depth == 1)",
        ),
        (["dungeon == 2", "count(ate) >= 1"], "in_mines, then count(ate) >= 1", "after(in_mines)"),
        (["count(ate) >= 1", "dungeon == 2"], "count(ate) >= 1, then in_mines", "after()"),
        (
            ["avoiding(count(prayed) >= 1, happened(ate))"],
            "prayers >= 1, and never happened(ate)",
            "after()",
        ),
        (["until(gold == 0, depth >= 3)"], "depth >= 3, and until then gold == 0", "after()"),
        (["all_of(gold >= 50, xp_level >= 2)"], "gold >= 50, and xp_level >= 2", "after()"),
        (["any_of(gold >= 50, xp_level >= 2)"], "gold >= 50, or xp_level >= 2", "after()"),
        (["repeat(3, in_shop)", "depth == 1"], "3 times: in_shop, then depth == 1", "after()"),
        (
            ["depth >= 2", "depth >= 3", "depth >= 4", "depth >= 5", "depth == 1"],
            "depth >= 2, then depth >= 3, then depth >= 4, then depth >= 5, then depth == 1",
            "after(depth >= 2, depth >= 3, depth >= 4)",
        ),
        ([], "", "after()"),
    ],
)
def test_what_is_asked_for(conditions: list[str], words: str, stages: str) -> None:
    assert aims.in_words(conditions) == words
    assert str(rules.After(aims.earlier_stages(conditions))) == stages


def test_every_generated_task_can_be_told() -> None:
    told = [aims.in_words(one.task().success) for one in generate(100, 3, "train") if one.task().success]
    assert len(told) > 50
    assert all(told)
    for one in generate(100, 3, "train"):
        stages = aims.earlier_stages(one.task().success)
        assert not stages or rules.parse(f"when {rules.After(stages)} use a\notherwise use b", "ab")
