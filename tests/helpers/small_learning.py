"""Small networks, rollouts and training runs for the tests of the learner."""

from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from maestromotif.agent.inputs import Block
from maestromotif.agent.network import ActorCritic, Params, build, initial_params, unpack, unroll
from maestromotif.agent.policy import Rollout
from maestromotif.agent.trunks import Glance
from maestromotif.config.learning import NetworkSettings
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.nethack.actions import NUM_ACTIONS
from maestromotif.train.endings import Ending
from maestromotif.train.ppo import Batch

SKILLS = 3
Trunk = Literal["fovea", "published"]
Heads = Literal["separate", "shared"]
ROOT = Path(__file__).parents[2]

DOWN = ROOT / "policies/down_and_back.py"
CONFIG = f"""\
skills: [discoverer, descender, ascender]
skills_folder: {ROOT / "skills"}
tasks: [down]
tasks_folder: {ROOT / "tasks"}
compose: {{training: {ROOT / "policies/training.py"}, programs: {{down: {DOWN}}}}}
nethack: {{games: 8, workers: 2, max_steps: 40}}
reward: {{path: {ROOT / "rewards"}, quantile: 0.5, count_exponent: 1.0}}
train:
  steps: 1024
  rollout: 16
  minibatches: 2
  curve_steps: 256
  checkpoint_steps: 256
  network: {{hidden: 16}}
tracking: {{wandb: disabled}}
"""


def config(folder: Path, *overrides: str) -> Config:
    """Of a run of 8 updates on distilled rewards."""
    path = folder / "small.yaml"
    path.write_text(CONFIG)
    return load(str(path), overrides)


def random_block(rng: np.random.Generator, network: ActorCritic, games: int) -> np.ndarray:
    """Inputs of `games` games, the hero anywhere."""
    block, views = Block(games, network.form).allocate()
    views.chars[...] = rng.integers(32, 120, views.chars.shape)
    views.colors[...] = rng.integers(0, 16, views.colors.shape)
    views.blstats[...] = rng.integers(1, 20, views.blstats.shape)
    views.message[...] = rng.integers(0, 250, views.message.shape)
    views.senses[...] = rng.integers(-9, 9, views.senses.shape)
    views.inventory[...] = rng.integers(0, 18, views.inventory.shape)
    views.marks[...] = rng.integers(0, 16, views.marks.shape)
    views.allowed[...] = rng.random(views.allowed.shape) < 0.7
    views.allowed[:, 0] = True
    views.first[...] = rng.random(games) < 0.3
    views.skill[...] = rng.integers(0, network.skills, games)
    return block


def random_glance(rng: np.random.Generator, network: ActorCritic, steps: int, games: int) -> Glance:
    """[T, n, ...]."""
    look = _look(network, games)
    rows = [
        look(random_block(rng, network, games), rng.integers(-1, NUM_ACTIONS, games, np.int32))
        for _ in range(steps)
    ]
    glance: Glance = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    return glance


@cache
def _look(network: ActorCritic, games: int) -> Any:
    layout = Block(games, network.form)
    return jax.jit(lambda block, last_action: network.glance(unpack(layout, block), last_action))


def random_batch(rng: np.random.Generator, network: ActorCritic, steps: int, games: int) -> Batch:
    """With calls that end for every reason."""
    shape = (steps, games)

    def normal(*size: int) -> np.ndarray:
        return rng.normal(size=size).astype(np.float32)

    ended = np.where(rng.random(shape) < 0.5, rng.integers(1, len(Ending), shape), 0).astype(np.int8)
    glance = random_glance(rng, network, steps, games)
    allowed = np.asarray(glance.own.allowed)[..., : network.actions]
    rollout = Rollout(
        glance,
        np.concatenate([np.zeros((1, games), bool), ended[:-1] >= Ending.TERMINATED]),
        rng.integers(0, network.skills, shape).astype(np.int32),
        (rng.random(allowed.shape) * allowed).argmax(-1).astype(np.int32),
        -np.abs(normal(*shape)) - 1,
        normal(*shape, network.skills),
    )
    return Batch(
        rollout,
        normal(1, games, network.hidden),
        Rollout(
            random_glance(rng, network, 1, games),
            ended[-1:] >= Ending.TERMINATED,
            rng.integers(0, network.skills, (1, games)).astype(np.int32),
            np.zeros((1, games), np.int32),
            np.zeros((1, games), np.float32),
            normal(1, games, network.skills),
        ),
        normal(*shape),
        ended,
        np.where(ended == Ending.TRUNCATED, normal(*shape), 0).astype(np.float32),
    )


@cache
def fresh(trunk: Trunk = "fovea", heads: Heads = "separate", hidden: int = 16) -> tuple[ActorCritic, Params]:
    """A network and its untrained parameters."""
    network = build(NetworkSettings(hidden=hidden, trunk=trunk, heads=heads), SKILLS)
    return network, jax.jit(lambda: initial_params(network, 0))()


def unrolled(network: ActorCritic, *arguments: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`network.unroll`, compiled: memory, logits and values."""
    memory, logits, values = _unroll(network)(*arguments)
    return np.asarray(memory), np.asarray(logits), np.asarray(values)


@cache
def _unroll(network: ActorCritic) -> Any:
    return jax.jit(partial(unroll, network))
