"""The environment at skill level, on the shipped policy and the real game."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import psutil
import pytest
from gymnasium.utils.env_checker import check_env

from maestromotif.agent.episodes import LostGamesError, play_wave, to_end
from maestromotif.agent.network import build
from maestromotif.agent.playing import batches, network_policy
from maestromotif.errors import UserError
from maestromotif.evaluate.agents import program_of
from maestromotif.evaluate.skill_env import SkillEnv
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.nethack.state import FIELDS
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of

ROOT = Path(__file__).parents[2]
RUN = "policies/trained/six_skills"


@pytest.fixture(scope="module", autouse=True)
def _in_the_repository() -> Iterator[None]:
    """The shipped policy's config names files relative to the repository."""
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def env(_in_the_repository: None) -> Iterator[SkillEnv]:
    with SkillEnv(RUN, "down_and_back", purpose="evaluate", call_steps=10, reward="progress") as made:
        yield made


def episode(env: SkillEnv, seed: int, calls: int = 200) -> list[tuple[Any, ...]]:
    """Down and back by a script: explores until stairs down are seen."""
    observation, info = env.reset(seed=seed)
    played: list[tuple[Any, ...]] = [(observation, info)]
    over = False
    while not over and len(played) <= calls:
        state = info["state"]
        name = "descender" if state["downstairs_seen"] else "discoverer"
        if state["depth"] >= 2:
            name = "ascender"
        observation, reward, terminated, truncated, info = env.step(env.skills.index(name))
        assert env.observation_space.contains(observation)
        played.append((observation, info, reward, terminated, truncated))
        over = terminated or truncated
    return played


def test_gymnasium_accepts_it() -> None:
    made = gymnasium.make(
        "maestromotif.evaluate.skill_env:maestromotif/Skills-v0", run=RUN, call_steps=2, max_steps=50
    )
    assert isinstance(made.unwrapped, SkillEnv)
    check_env(made.unwrapped)
    made.unwrapped.close()


def test_a_script_achieves_the_task_and_rewards_add_up_to_the_progress(env: SkillEnv) -> None:
    played = episode(env, 0)
    *_, (_, info, _, terminated, truncated) = played
    assert (info["success"], info["end"], terminated, truncated) == (True, "success", True, False)
    assert sum(step[2] for step in played[1:]) == pytest.approx(1)
    assert info["progress"] == 1
    assert sum(step[1]["steps"] for step in played) == info["state"]["step"]
    assert {step[1]["ended"] for step in played} == {"", "skill", "steps", "episode"}
    assert all(1 <= step[1]["steps"] <= 10 for step in played[1:])
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_the_same_seed_and_actions_give_the_same_episode(env: SkillEnv) -> None:
    first, other, again = (episode(env, seed, 8) for seed in (3, 4, 3))
    assert len(first) == len(again)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_equal(one, two)
    assert first[0][1]["seeds"] != other[0][1]["seeds"]
    env.reset(seed=3)
    drawn = env.reset()[1]["episode"]
    env.reset(seed=3)
    assert env.reset()[1]["episode"] == drawn


def test_it_plays_what_a_program_with_the_same_choices_plays() -> None:
    with SkillEnv(RUN, purpose="evaluate", max_steps=120) as env:
        _, info = env.reset(seed=2)
        calls, over = [], False
        while not over:
            *_, terminated, truncated, info = env.step(env.skills.index("descender"))
            calls.append((info["skill"], info["steps"]))
            over = terminated or truncated
    config, network = env.config, build(env.config.train.network, len(env.skills))
    seed, skills, program = config.run.seed, skills_of(config), program_of("only_descender", "")
    with open_pool(config, "evaluate", 1, 120) as pool, ProgramHost(program, skills, 1, seed) as host:
        key = jax.random.fold_in(jax.random.key(seed + 3), 2)
        policy = network_policy(pool, network, env.version.params, key, batches(network, 1))
        (played,) = to_end(play_wave(pool, policy, host, env.task, seed, 2, None))
    begins = [*np.flatnonzero(played.switched).tolist(), played.steps]
    assert calls == [(env.skills[played.skills[a]], b - a) for a, b in itertools.pairwise(begins)]
    assert (info["end"], info["seeds"]) == (played.end, tuple(played.seeds))
    assert (info["state"]["turn"], info["state"]["deepest"]) == (played.turns, played.deepest)


def test_the_mask_says_which_skills_may_start(env: SkillEnv) -> None:
    _, info = env.reset(seed=0)
    may_start = dict(zip(env.skills, info["action_mask"].tolist(), strict=True))
    assert {name for name, may in may_start.items() if may} == {"discoverer", "descender"}
    assert info["action_mask"].dtype == np.int8
    assert env.action_masks().tolist() == [True, True, False, False, False, False]
    info = env.step(env.skills.index("ascender"))[-1]
    assert (info["asked"], info["skill"]) == ("ascender", "discoverer")
    with pytest.raises(ValueError, match="index of a skill, 0 to 5"):
        env.step(6)
    for _, info, *_ in episode(env, 0)[1:]:
        ascends = info["action_mask"][env.skills.index("ascender")]
        assert ascends == (info["state"]["depth"] >= 2 or info["end"] != "")


def test_observations_are_the_fields_of_game_state(env: SkillEnv) -> None:
    observation, info = env.reset(seed=0)
    assert env.fields == tuple(FIELDS) == tuple(info["state"])
    for number in range(2):
        for name, value in zip(env.fields, observation.tolist(), strict=True):
            if name != "skill":
                assert value == info["state"][name], name
        assert observation[env.fields.index("skill")] == (-1 if number == 0 else 0)
        observation, *_, info = env.step(0)
    assert info["state"]["skill"] == "discoverer"
    assert info["state"]["skill_steps"] == info["steps"]


def test_a_game_whose_process_dies_is_an_error_and_the_next_episode_is_played(env: SkillEnv) -> None:
    env.reset(seed=5)
    workers = [one for one in psutil.Process().children(recursive=True) if _is_game(one, env)]
    assert len(workers) == 1
    workers[0].send_signal(signal.SIGKILL)
    with pytest.raises(LostGamesError, match="episode 5 after"):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=5)
    assert env.step(0)[-1]["steps"] >= 1


def _is_game(process: psutil.Process, env: SkillEnv) -> bool:
    return process.pid in [one.pid for one in env._pool._processes]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "down_and_bakc"}, "did you mean 'down_and_back'"),
        ({"task": "deep"}, "deep.md: has no 'success'"),
        ({"reward": "measure"}, "down_and_back.md: has no 'measure'"),
        ({"reward": "gold"}, "success, progress, measure"),
        ({"purpose": "demonstrate"}, "train, evaluate, got 'demonstrate'"),
        ({"call_steps": 0}, "call_steps must be at least 1, got 0"),
        ({"run": "policies"}, "config.yaml"),
    ],
)
def test_what_is_wrong_is_said_before_any_game_starts(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SkillEnv(**{"run": RUN, **settings})


def test_the_depth_of_a_task_without_an_end_is_a_reward() -> None:
    with SkillEnv(RUN, "deep", reward="measure", max_steps=30) as env:
        env.reset(seed=1)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, info = env.step(0)
            total, over = total + reward, terminated or truncated
    assert truncated
    assert total == info["state"]["deepest"]
