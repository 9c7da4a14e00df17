"""The verb `replay`: which episode is meant, and what is said if there is none such."""

from pathlib import Path

import pytest

from maestromotif.agent.episodes import Episode
from maestromotif.errors import UserError
from maestromotif.report.one_replay import listed, pick

PATH = Path("runs/a/evaluate/episodes.npz")


def episode(steps: int) -> Episode:
    return Episode((0, 0, 0), False, 2, steps, "death", "killed by a newt", 0, [], [], [], [], 0)


EPISODES = {"trained": [episode(5), episode(7)], "trained, new levels": [episode(9)], "nobody": []}


def test_an_episode_is_named_by_its_agent_and_number() -> None:
    assert pick(EPISODES, "trained", 1, PATH).steps == 7
    assert pick(EPISODES, "trained, new levels", 0, PATH).steps == 9
    table = listed(EPISODES, "trained", PATH)
    assert [line.split() for line in table] == [
        ["episode", "steps", "deepest", "end"],
        ["0", "5", "2", *["death:", "killed", "by", "a", "newt"]],
        ["1", "7", "2", *["death:", "killed", "by", "a", "newt"]],
    ]


@pytest.mark.parametrize(
    ("agent", "number", "message"),
    [
        ("traned", 0, r"--agent: 'traned'.*did you mean 'trained'\?.*'trained' \(2 episodes\)"),
        ("trained", 2, r"--episode: is 2, but 'trained' has the episodes 0 to 1 in runs/a/evaluate"),
        ("trained", -1, r"--episode: is -1, but"),
        ("nobody", 0, r"--agent: runs/a/evaluate/episodes.npz holds no episode of 'nobody'"),
    ],
)
def test_what_does_not_exist_is_named(agent: str, number: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pick(EPISODES, agent, number, PATH)
