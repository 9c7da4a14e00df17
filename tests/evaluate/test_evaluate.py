"""Episodes of the evaluation: their seeds, their ends, and the same episode played again."""

from collections.abc import Sequence

import numpy as np
import pytest

from maestromotif.agent.episodes import Episode, play_wave
from maestromotif.agent.reward import RewardFunction, Scorer
from maestromotif.config.schema import RewardSettings
from maestromotif.evaluate.agents import random_policy, wandering_policy
from maestromotif.evaluate.evaluate import entries
from maestromotif.evaluate.record import record
from maestromotif.nethack.actions import NUM_ACTIONS
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.recording import Recording
from maestromotif.nethack.seeds import EpisodeSeeds, episode_seeds
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import Skill, load

GAMES = 6
PROGRAM = """
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]
"""


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load("skills", "discoverer")]


def play(skills: list[Skill], wave: int, condition: str, uniform: bool = False) -> list[Episode]:
    with (
        GamePool(GAMES, "evaluate", 0, 80, workers=2) as pool,
        ProgramHost(PROGRAM, skills, GAMES, 0) as host,
    ):
        policy = random_policy(pool, NUM_ACTIONS, wave) if uniform else wandering_policy(pool, wave)
        return play_wave(pool, policy, host, [condition], 0, wave, None)


def test_every_game_plays_one_episode_to_its_end_or_to_success(skills: list[Skill]) -> None:
    episodes = play(skills, 3, "turn >= 30")
    assert [tuple(e.seeds) for e in episodes] == [episode_seeds("evaluate", 0, g, 3) for g in range(GAMES)]
    for episode in episodes:
        assert episode.steps == len(episode.actions) == len(episode.skills) == len(episode.switched)
        assert episode.switched[0]
        assert episode.success == (episode.end == "success")
    assert any(e.success and e.steps < 80 for e in episodes)
    never = play(skills, 3, "depth >= 40")
    assert not any(e.success for e in never)
    assert {e.end for e in never} <= {"death", "left", "truncated"}
    assert all(e.steps == 80 for e in never if e.end == "truncated")


def test_an_episode_that_is_recorded_is_the_one_that_was_played(skills: list[Skill]) -> None:
    episode = play(skills, 1, "depth >= 40")[0]

    def score(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        return np.array([[float(len(message) > 0)] for message in messages], np.float32)

    settings = RewardSettings(scale=1.0, count_exponent=0.0)
    reward = RewardFunction(Scorer(score, np.zeros(1, np.float32)), settings, games=1)
    recording = Recording(EpisodeSeeds(*episode.seeds), tuple(episode.actions))
    arrays = record(recording, episode.skills, episode.switched, reward)
    assert all(len(array) == episode.steps for array in arrays.values())
    assert arrays["depth"].max() == episode.deepest or episode.end == "truncated"
    # A step's reward is of the message that the next step was taken on.
    np.testing.assert_array_equal(arrays["reward"][:-1] > 0, arrays["message"][1:] != b"")
    assert (arrays["reward"] > 0).any()
    assert b"Agent" in arrays["tty_chars"][0].tobytes()
    again = record(recording, episode.skills, episode.switched, reward)
    np.testing.assert_array_equal(arrays["tty_chars"], again["tty_chars"])


def test_new_levels_are_only_judged_apart_where_training_had_few() -> None:
    assert [e.name for e in entries(None)] == ["trained", "untrained", "random", "wandering"]
    few = entries(4)
    assert {e.levels for e in few} == {4, None}
    assert [e.agent for e in few if e.levels is None] == ["trained", "untrained", "wandering"]


def test_few_levels_are_shared_by_training_and_evaluation_but_not_the_dice() -> None:
    met = {
        p: {episode_seeds(p, 0, g, e, levels=4) for g in range(8) for e in range(8)}
        for p in ("train", "evaluate")
    }
    assert {s.lgen for s in met["train"]} == {s.lgen for s in met["evaluate"]}
    assert len({s.lgen for s in met["train"]}) == 4
    assert not {s.core for s in met["train"]} & {s.core for s in met["evaluate"]}
