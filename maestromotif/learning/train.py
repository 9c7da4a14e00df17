"""The stage `train`: PPO on all skills at once, under the training program.

Acting and learning alternate, so everything is a function of the config: a run that is killed goes on from
its last checkpoint to the same parameters, bit for bit. Games cannot be saved; a checkpoint holds each game's
seeds and its actions since its episode began, and playing them again brings the game back.
"""

import json
import logging
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from flax import serialization

from maestromotif.composing.sandbox import ProgramHost
from maestromotif.learning.actor import Actor
from maestromotif.learning.curve import Curve
from maestromotif.learning.network import ActorCritic, Params, build, empty_inputs
from maestromotif.learning.options import Options
from maestromotif.learning.ppo import make_optimizer, make_update
from maestromotif.learning.return_scale import ReturnScale
from maestromotif.learning.reward import RewardFunction
from maestromotif.nethack.pool import open_pool
from maestromotif.progress import Progress
from maestromotif.rewards.model import load_rewards
from maestromotif.settings import Config
from maestromotif.skill import load_all
from maestromotif.store import Artefact, Work

log = logging.getLogger("maestromotif")
_CHECKPOINT = ".scratch/checkpoint.msgpack"


class _Resumable(Protocol):
    """What a checkpoint holds beside the parameters; snapshots are of types that msgpack writes."""

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, snapshot: dict[str, Any]) -> None: ...


def initial_params(network: ActorCritic, seed: int) -> Params:
    """An untrained policy's parameters: a function of the seed."""

    @jax.jit
    def init(key: jax.Array) -> Params:
        memory = np.zeros((1, network.hidden), np.float32)
        return dict(network.init(key, empty_inputs(1), np.ones(1, np.float32), memory, method="step"))

    params: Params = init(jax.random.key(seed))
    return params


def load_policy(path: Path, network: ActorCritic, seed: int) -> Params:
    """Parameters from a file that `train` wrote."""
    params: Params = serialization.from_bytes(initial_params(network, seed), path.read_bytes())
    return params


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    settings, games = config.learning, config.nethack.games
    folder = Path(config.reward.path) if config.reward.path else inputs["distil"].path
    models = load_rewards(folder, config.skills)
    thresholds = models.thresholds(config.reward)
    skills = load_all(config.skills_folder, config.skills)
    program = Path(config.compose.training)
    source = program.read_text()

    network = build(settings.network, len(config.skills))
    params = initial_params(network, config.run.seed)
    optimizer = make_optimizer(settings)
    opt_state = optimizer.init(params)
    update = make_update(network, optimizer, settings)
    curve, scale = Curve(config.skills), ReturnScale(len(config.skills), games, settings.gamma)
    per_update = games * settings.rollout
    updates = -(-settings.steps // per_update)
    per_row = max(1, settings.curve_steps // per_update)
    per_checkpoint = per_row * max(1, settings.checkpoint_steps // (per_update * per_row))

    checkpoint = work.path / _CHECKPOINT
    saved = serialization.msgpack_restore(checkpoint.read_bytes()) if checkpoint.exists() else None
    with (
        open_pool(config, "train", games, config.nethack.max_steps, config.nethack.levels) as pool,
        ProgramHost.load(saved["program"], source, skills, str(program))
        if saved
        else ProgramHost(source, skills, games, config.run.seed, str(program)) as host,
    ):
        reward = RewardFunction(models.score, thresholds, config.reward, games)
        actor = Actor(
            pool, Options(host, games), reward, network, settings, jax.random.key(config.run.seed + 1)
        )
        parts: dict[str, _Resumable] = {"actor": actor, "curve": curve, "scale": scale}
        done = 0
        if saved:
            done = saved["updates"]
            params = serialization.from_state_dict(params, saved["params"])
            opt_state = serialization.from_state_dict(opt_state, saved["opt_state"])
            log.info("train: going on from step %d; bringing the games back", done * per_update)
            for name, part in parts.items():
                part.restore(saved[name])
        else:
            actor.begin()
        key = jax.random.key(config.run.seed + 2)
        with Progress("train", total=updates * per_update, unit="steps", done=done * per_update) as progress:
            for number in range(done, updates):
                batch, happened = actor.rollout(params)
                if settings.scale_returns:
                    played = (np.asarray(part) for part in (batch.reward, batch.skill, batch.same))
                    batch = batch._replace(reward=scale(*played))
                params, opt_state, figures = update(params, opt_state, batch, jax.random.fold_in(key, number))
                curve.add(happened, {name: float(value) for name, value in figures.items()})
                progress.advance(per_update)
                last = number + 1 == updates
                if (number + 1) % per_row == 0 or last:
                    row = curve.row((number + 1) * per_update)
                    log.debug("train: %s", row)
                if (number + 1) % per_checkpoint == 0 and not last:
                    state = {
                        "updates": number + 1,
                        "params": serialization.to_state_dict(params),
                        "opt_state": serialization.to_state_dict(opt_state),
                        "program": host.dump(),
                        **{name: part.snapshot() for name, part in parts.items()},
                    }
                    work.write_bytes(_CHECKPOINT, serialization.msgpack_serialize(state))
        lost = pool.lost
    work.write_bytes("policy.msgpack", serialization.to_bytes(params))
    work.write_text("curve.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in curve.rows))
    return {
        "steps": updates * per_update,
        "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(params))),
        "thresholds": {name: round(float(t), 4) for name, t in zip(config.skills, thresholds, strict=True)},
        "lost_episodes": lost,
        "last": curve.rows[-1],
    }
