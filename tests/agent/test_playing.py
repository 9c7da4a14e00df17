"""Policies of networks: of isolated skills, and of batches that become smaller."""

import jax
import numpy as np

from maestromotif.agent.network import Params, build, initial_params
from maestromotif.agent.playing import batches, isolated_policy, network_policy
from maestromotif.agent.policy import Acting, make_acting
from maestromotif.config.learning import NetworkSettings
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.pool.worker import IDLE

GAMES, STEPS = 3, 12


def test_isolated_networks_act_when_their_skill_does() -> None:
    network = build(NetworkSettings(hidden=16), 1)
    acting = make_acting(network, GAMES, 1)
    both: list[Params] = [initial_params(network, seed) for seed in (0, 1)]
    key = jax.random.key(5)
    nothing, playing = np.zeros(GAMES, np.int32), np.ones(GAMES, bool)

    def played(skills: list[int], alone: int | None = None) -> np.ndarray:
        """Actions int32 [STEPS, GAMES], of network `alone` or of all."""
        with GamePool(GAMES, "evaluate", 0, 80, workers=1, recall=True) as pool:
            pool.reset()
            policy = isolated_policy(pool, network, both, key, acting)
            if alone is not None:
                own = jax.random.fold_in(key, alone)
                policy = network_policy(pool, network, both[alone], own, {GAMES: acting})
            actions = []
            for step in range(STEPS):
                first = np.full(GAMES, step == 0)
                actions.append(policy(first, nothing + skills[step], playing, step))
                pool.step(actions[-1])
            return np.stack(actions)

    for skill in (0, 1):
        assert np.array_equal(played([skill] * STEPS), played([0] * STEPS, alone=skill))
    half = STEPS // 2
    mixed = played([0] * half + [1] * half)
    assert np.array_equal(mixed[:half], played([0] * STEPS, alone=0)[:half])
    assert not np.array_equal(mixed[half:], played([0] * STEPS)[half:])


def test_the_games_that_go_on_are_played_alike_in_a_smaller_batch() -> None:
    games = 40
    network = build(NetworkSettings(hidden=16), 2)
    params = initial_params(network, 0)
    head = params["params"]["policy"]  # so sure that no draw matters
    params["params"]["policy"] = {"kernel": 1e6 * head["kernel"], "bias": 0 * head["bias"]}
    acting = batches(network, games)
    assert sorted(acting) == [10, 40]
    skill = np.arange(games, dtype=np.int32) % 2

    def played(sizes: dict[int, Acting]) -> list[np.ndarray]:
        """Actions int32 [playing] of each step; ever fewer games play."""
        with GamePool(games, "evaluate", 0, 80, workers=1, recall=True) as pool:
            pool.reset()
            policy = network_policy(pool, network, params, jax.random.key(5), sizes)
            actions = []
            for step in range(12):
                playing = np.arange(games) % 2 ** (step // 3) == 0
                action = policy(np.full(games, step == 0), skill, playing, step)
                actions.append(action[playing])
                pool.step(np.where(playing, action, IDLE))
            return actions

    small, large = played(acting), played({games: acting[games]})
    assert all(np.array_equal(*pair) for pair in zip(small, large, strict=True))
    assert len(np.unique(np.concatenate(small))) > 3
