"""The evaluated agents beside a network (`agent.playing`): at random, scripted, and of single skills."""

from collections.abc import Sequence

import numpy as np

from maestromotif.agent.episodes import Policy
from maestromotif.collect.collect import random_actions
from maestromotif.collect.explorer.explorer import Explorer
from maestromotif.collect.explorer.intent import intent_of
from maestromotif.config.schema import ONLY
from maestromotif.demonstrate.demonstrator import Demonstrator
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.programs import baselines
from maestromotif.skill import Skill


def program_of(agent: str, program: str) -> str:
    """Source of the program over skills under which an agent plays; `program` is the task's."""
    if agent == "random_skills":
        return baselines.RANDOM_SKILLS
    return baselines.only(agent.removeprefix(ONLY)) if agent.startswith(ONLY) else program


def random_policy(pool: GamePool, actions: int, seed: int) -> Policy:
    """Uniformly random: each of the first `actions` actions has the same probability."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, playing, step: rng.integers(0, actions, pool.games, np.int32)


def wandering_policy(pool: GamePool, seed: int) -> Policy:
    """Random actions, mostly moves, with the weights of the stage `collect`."""
    rng = np.random.default_rng(seed)
    return lambda first, skill, playing, step: random_actions(1, pool.games, rng)[0]


def explorer_policy(pool: GamePool, skills: Sequence[Skill], seed: int) -> Policy:
    """The scripted explorer of the stage `collect`, doing what the acting skill wants (`intent_of`)."""
    explorer, intents = Explorer(pool.games, seed), [intent_of(skill) for skill in skills]

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        asked = {game: intents[skill[game]] for game in np.flatnonzero(playing).tolist()}
        return explorer.act(pool, asked)

    return policy


def demonstrator_policy(pool: GamePool, skills: Sequence[Skill], actions: str, seed: int) -> Policy:
    """The script of the stage `demonstrate`, without random actions. actions: the set that it plays with."""
    demonstrator, intents = Demonstrator(pool.games, seed, actions), [intent_of(skill) for skill in skills]
    played = np.full(pool.games, IDLE, np.int32)

    def policy(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
        nonlocal played
        asked = {game: intents[skill[game]] for game in np.flatnonzero(playing).tolist()}
        played = demonstrator.act(pool, asked, played)
        return played

    return policy
