"""Policies of networks: those of isolated skills act as each network would alone."""

import jax
import numpy as np

from maestromotif.agent.network import Params, build, initial_params
from maestromotif.agent.playing import isolated_policy, network_policy
from maestromotif.agent.policy import make_acting
from maestromotif.config.learning import NetworkSettings
from maestromotif.nethack.pool.pool import GamePool

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
                policy = network_policy(pool, network, both[alone], own, acting)
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
