"""The sample of training episodes: spread evenly, bounded, resumed, and each plays again to its end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import serialization
from small_learning import config

from maestromotif.agent.inputs import Form
from maestromotif.agent.reward import RewardFunction, Scorer
from maestromotif.config.learning import RewardSettings
from maestromotif.nethack.actions import NUM_ACTIONS
from maestromotif.pipeline.store import Work
from maestromotif.programs import contract
from maestromotif.replay import kept
from maestromotif.replay.record import play_again
from maestromotif.skill import skills_of
from maestromotif.train import sample
from maestromotif.train.environment import Arrays, Environment, Plan

FORM = Form("words", marks=True)
GAMES, STEPS = 8, 16
SCORER = Scorer(lambda messages, changes: np.zeros((len(messages), 3), np.float32), np.zeros(3, np.float32))


def play(environment: Environment, arrays: Arrays, actions: np.ndarray) -> Any:
    for row in actions:
        arrays.action[:] = row
        environment.step()
        if environment._step == STEPS:
            finished = environment.finish_rollout(False, True, True)
    return finished


@pytest.mark.parametrize("starts", [[None] * GAMES, ["shop"] * 4 + [None] * 4, ["altar"] * GAMES])
def test_kept_episodes_play_again_to_their_recorded_end(starts: list[str | None], tmp_path: Path) -> None:
    """With a break in the middle: what a restored environment keeps is the same, bit for bit."""
    settings = config(tmp_path, "nethack.levels=2")
    plan = Plan(settings, GAMES, 16, starts, FORM, None)
    actions = np.random.default_rng(1).integers(0, NUM_ACTIONS, (8 * STEPS, GAMES), np.int32)
    arrays = Arrays(plan)
    with Environment(plan, arrays, SCORER) as environment:
        environment.begin()
        middle = play(environment, arrays, actions[: 5 * STEPS]).snapshot
        whole = play(environment, arrays, actions[5 * STEPS :])
    stored = serialization.msgpack_restore(serialization.msgpack_serialize(middle))
    again = Plan(settings, GAMES, 16, starts, FORM, stored["program"])
    with Environment(again, arrays, SCORER) as environment:
        environment.restore(stored)
        resumed = play(environment, arrays, actions[5 * STEPS :])
    arrays.close()
    assert resumed.sample == whole.sample
    assert resumed.snapshot["sample"] == whole.snapshot["sample"]

    episodes = sample.together([whole.sample])
    assert len(episodes) >= 4
    assert {episode.arena for episode in episodes} == {None} if None in starts else {"altar"}
    assert all(0 < episode.at <= 8 * STEPS * GAMES for episode in episodes)
    file = kept.arrays({sample.AGENT: episodes})
    Work(tmp_path).write_arrays(kept.FILE, **file)
    assert kept.read(tmp_path / kept.FILE, "train") == {sample.AGENT: episodes}
    skills, program = skills_of(settings), contract.read(settings.compose.training)
    for episode in episodes[:6]:
        reward = RewardFunction(SCORER, RewardSettings(), games=1)
        replay = play_again(settings.nethack, skills, program, reward, episode, "", "")
        assert replay.warning == ""
        assert replay.steps == episode.steps


def test_the_sample_is_bounded_and_spread_evenly() -> None:
    entry = {
        "seeds": [1, 2, 3], "deepest": 1, "end": "death", "cause": "", "prayers": 0, "check": 0, "arena": "",
        "log": bytes([0, 0, 4]),
    }  # fmt: skip
    parts = [[entry | {"at": 10 * n + part} for n in range(50)] for part in range(3)]
    episodes = sample.together(parts)
    assert len(episodes) == sample.MOST
    steps = [episode.at for episode in episodes]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 492)
    assert max(np.diff(steps)) <= 11


def test_one_in_two_is_kept_when_there_are_too_many(tmp_path: Path) -> None:
    plan = Plan(config(tmp_path), GAMES, 0, [None] * GAMES, FORM, None)
    arrays = Arrays(plan)
    nothing = np.zeros(GAMES, np.int32)
    with Environment(plan, arrays, SCORER) as environment:
        environment.begin()
        own = environment._sample
        own._most = 4
        environment._pool.episode[:] = 1
        for _ in range(50):  # games end at once
            own.step(nothing, nothing, np.ones(GAMES, bool), nothing)
            own.end(np.full(GAMES, 3))
            assert len(own.kept()) <= 4
    arrays.close()
    ends = [one["at"] for one in own.kept()]
    assert len(set(np.diff(ends))) == 1  # evenly
    assert ends[0] == own._steps_each
