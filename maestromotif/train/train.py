"""The stage `train`: PPO on all skills at once, under the training program.

Actors play rollouts in threads of their own, and the learner learns from them in order. Rollout r is played
by the parameters after max(0, r - lag) updates, whatever the machine's speed, so everything is a function of
the config: a run that is killed goes on from its last checkpoint to the same parameters, bit for bit. Games
cannot be saved; a checkpoint holds each game's seeds and its actions since its episode began, and playing
them again brings the game back.
"""

import json
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization
from jax.experimental import multihost_utils

from maestromotif.agent.network import ActorCritic, Params, build, initial_params
from maestromotif.agent.policy import Acting, make_acting
from maestromotif.agent.reward import Scorer
from maestromotif.config.schema import Config, TrainSettings
from maestromotif.errors import UserError
from maestromotif.nethack.arena import arena_files
from maestromotif.nethack.pool.pool import check_pools
from maestromotif.nethack.rcfile import options_file
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.skill import skill_files
from maestromotif.train.actor import Actor, Played
from maestromotif.train.checkpoint import Checkpoints
from maestromotif.train.curve import Curve
from maestromotif.train.environment import Plan
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.happened import Happened, summary
from maestromotif.train.learner import Learner, Learnt, shards_of_this_process
from maestromotif.train.online_rewards import OnlineRewards
from maestromotif.train.ppo import Batch
from maestromotif.train.return_scale import ReturnScale
from maestromotif.train.reward_source import DistilledRewards, reward_files

log = logging.getLogger("maestromotif")

_CHECKPOINTS = ".scratch/checkpoints"
_OFFENDING = ".scratch/offending-batch"


class Schedule(NamedTuple):
    """Numbers of updates."""

    steps: int  # environment steps an update learns from, all machines together
    updates: int
    a_row: int
    a_checkpoint: int

    def row_after(self, update: int) -> bool:
        return update % self.a_row == 0 or update == self.updates

    def checkpoint_after(self, update: int) -> bool:
        return update % self.a_checkpoint == 0 and update < self.updates


def schedule(settings: TrainSettings, games: int) -> Schedule:
    """games: of all machines together."""
    steps = games * settings.rollout
    a_row = max(1, settings.curve_steps // steps)
    a_checkpoint = a_row * max(1, settings.checkpoint_steps // (steps * a_row))
    return Schedule(steps, -(-settings.steps // steps), a_row, a_checkpoint)


def load_policy(path: Path, network: ActorCritic, seed: int) -> Params:
    """Parameters from a file that `train` wrote. Raises UserError for those of another network."""
    blank = jax.eval_shape(lambda: initial_params(network, seed))
    params: Params = _fitting(path, blank, serialization.msgpack_restore(path.read_bytes()))
    return params


def devices_of(settings: TrainSettings, games: int) -> list[jax.Device]:
    """The devices of this process. Raises UserError for what is not there or cannot be divided as asked."""
    here: list[jax.Device] = jax.local_devices()
    if settings.devices > len(here):
        raise UserError(f"train.devices: is {settings.devices}, but JAX sees {len(here)} here ({here[0]})")
    if jax.process_count() != settings.machines:
        raise UserError(
            f"train.machines: is {settings.machines}, but {jax.process_count()} processes are connected; "
            "see 'maestromotif train --help' for how to start them"
        )
    if settings.actors % settings.devices:
        raise UserError(
            f"train.actors: {settings.actors} is no multiple of train.devices, {settings.devices}"
        )
    for what, number in (
        ("train.actors", settings.actors),
        ("train.devices x train.minibatches", settings.devices * settings.minibatches),
    ):
        if games % number:
            raise UserError(f"nethack.games: {games} games cannot be divided evenly by {what}, {number}")
    return here[: settings.devices]


def together(happened: Happened) -> Happened:
    """The sum over all processes."""
    if jax.process_count() == 1:
        return happened
    flat = np.concatenate([np.ravel(array) for array in happened])
    total = np.asarray(multihost_utils.process_allgather(flat)).sum(0)
    cuts = np.cumsum([array.size for array in happened])[:-1]
    parts = zip(np.split(total, cuts), happened, strict=True)
    return Happened(*(part.reshape(array.shape) for part, array in parts))


def reads(config: Config) -> dict[str, str]:
    """The files of game, skills, training program and rewards -> SHA-256. Raises UserError."""
    return (
        options_file(config)
        | arena_files("train.arenas", config.train.arenas)
        | skill_files(config)
        | file_contents("compose.training", config.compose.training)
        | reward_files(config)
    )


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    settings, games = config.train, config.nethack.games
    devices, process = devices_of(settings, games), jax.process_index()
    check_pools(config, settings.actors)
    if settings.machines > 1:  # nobody writes before all have their work folder, whose opening tidies it up
        multihost_utils.sync_global_devices("begin")
    network = build(settings.network, len(config.skills))
    plan = schedule(settings, games * settings.machines)
    learner = Learner(network, settings, games * settings.machines, _all_devices(settings))
    learnt = learner.fresh(config.run.seed)
    curve = Curve(config.skills, together)
    acting = make_acting(network, games // settings.actors, settings.rollout)
    learning_key = jax.random.key(config.run.seed + 2)

    with ExitStack() as stack:
        saver = stack.enter_context(
            Checkpoints(work.path / _CHECKPOINTS, settings.checkpoints, process, settings.machines)
        )
        done = saver.latest() or 0
        common, own = saver.load(done) if done else ({}, {})
        rewards = _rewards(config, inputs, plan)
        stack.enter_context(rewards)
        if done:
            rewards.restore(common["rewards"])
        scorer = rewards.scorer(max(done - 1, 0))
        places = [n * settings.devices // settings.actors for n in range(settings.actors)]  # actors' devices
        actors = [
            stack.enter_context(_actor(config, number, devices[place], network, acting, scorer, dump))
            for number, (place, dump) in enumerate(zip(places, _programs(own, settings), strict=True))
        ]
        versions: deque[Params] = deque(maxlen=settings.lag + 1)  # after the last updates, oldest first
        if done:
            log.info("train: going on from step %d; bringing the games back", done * plan.steps)
            learnt, older = _restore(learner, learnt, common, own, saver.file(done))
            versions.extend(older)
            curve.restore(common["curve"])
        else:
            versions.append(learnt.params)
        for part, actor in enumerate(actors):
            actor.restore(own["actors"][part]) if done else actor.begin()
            actor.warm_up(learner.on_device(versions[-1], places[part]))
        ordered: deque[list[Future[Played]]] = deque()  # rollouts, each of all actors
        began, waited = time.perf_counter(), 0.0
        with Progress(
            "train", total=plan.updates * plan.steps, unit="steps", done=done * plan.steps
        ) as progress:
            for number in range(done, plan.updates):
                while number + len(ordered) < min(number + settings.lag + 1, plan.updates):
                    rollout = number + len(ordered)
                    # By the parameters after max(0, rollout - lag) updates; the last of `versions` are those
                    # after `number` updates.
                    params = versions[max(0, rollout - settings.lag) - number - 1]
                    copies = [learner.on_device(params, n) for n in range(settings.devices)]
                    snapshot = plan.checkpoint_after(rollout + 1)
                    ordered.append(
                        [
                            actor.play(copies[place], rewards.scorer(rollout), snapshot, rewards.learns)
                            for actor, place in zip(actors, places, strict=True)
                        ]
                    )
                waiting = time.perf_counter()
                played = [future.result() for future in ordered.popleft()]
                waited += time.perf_counter() - waiting
                key = jax.random.fold_in(learning_key, number)
                learnt, figures, batch = learner.update(learnt, [one.batch for one in played], key)
                _check(figures, batch, number, plan, work, saver)
                versions.append(learnt.params)
                for one in played:
                    curve.add(one.happened)
                rewards.after(number + 1, [met for one in played for met in one.met])
                curve.learnt(figures)
                note = ""
                if plan.row_after(number + 1):
                    row = curve.row((number + 1) * plan.steps)
                    log.debug("train: %s", row)
                    if row["episodes"]:
                        note = f"level {row['depth/deepest_mean']:.2f} reached on average"
                progress.advance(plan.steps, note)
                if plan.checkpoint_after(number + 1):
                    saver.save(
                        number + 1,
                        {
                            "params": [serialization.to_state_dict(_host(one)) for one in versions],
                            "opt_state": serialization.to_state_dict(_host(learnt.opt_state)),
                            "scale": [np.asarray(leaf) for leaf in learnt.scale[1:]],
                            "curve": curve.snapshot(),
                            "rewards": rewards.snapshot(),
                        },
                        {
                            "returns": shards_of_this_process(learnt.scale.running),
                            "actors": [one.snapshot for one in played],
                        },
                    )
        lost = sum(actor.lost for actor in actors)
        seconds = time.perf_counter() - began
        rewards.write(work)
        thresholds = rewards.scorer(plan.updates).thresholds
    if process == 0:
        work.write_bytes("policy.msgpack", serialization.to_bytes(_host(learnt.params)))
        work.write_text("curve.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in curve.rows))
    steps_here = (plan.updates - done) * games * settings.rollout
    return {
        "steps": plan.updates * plan.steps,
        "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(learnt.params))),
        "thresholds": {  # none where a model tells nothing apart
            name: round(float(t), 4) if np.isfinite(t) else None
            for name, t in zip(config.skills, thresholds, strict=True)
        },
        "lost_episodes": lost,
        "speed": {
            "steps_per_second": round(steps_here / seconds, 1),
            "learner_waits": round(waited / seconds, 3),
            **summary([actor.seconds for actor in actors], steps_here),
        },
        "last": curve.rows[-1],
    }


def _rewards(config: Config, inputs: dict[str, Artefact], plan: Schedule) -> DistilledRewards | OnlineRewards:
    settings = config.reward
    if settings.online_steps is not None:
        return OnlineRewards(config, settings.online_steps // plan.steps, plan.updates)
    return DistilledRewards(config, Path(settings.path) if settings.path else inputs["distil"].path)


def _all_devices(settings: TrainSettings) -> list[jax.Device]:
    """The devices of all processes, as many of each."""
    by_process = [
        [device for device in jax.devices() if device.process_index == process]
        for process in range(jax.process_count())
    ]
    return [device for devices in by_process for device in devices[: settings.devices]]


def _programs(own: dict[str, Any], settings: TrainSettings) -> list[bytes | None]:
    """The actors' programs as they were saved; None where there is no checkpoint."""
    return [one["program"] for one in own["actors"]] if own else [None] * settings.actors


def places_to_start(shares: Mapping[str, float], games: int) -> list[str | None]:
    """The arena in which each game's episodes begin, None for the dungeon; spread evenly over the games.

    Raises UserError for a share of less than a game.
    """
    starts: list[str | None] = [None] * games
    # Multiples of the golden ratio lie apart from each other wherever one stops counting.
    order = sorted(range(games), key=lambda game: game * 0.618033988749895 % 1)
    bounds = [round(games * share) for share in np.cumsum([0.0, *shares.values()])]
    for arena, (first, last) in zip(shares, pairwise(bounds), strict=True):
        if first == last:
            raise UserError(f"train.arenas: {shares[arena]:g} of {games} games is no game in {arena!r}")
        for game in order[first:last]:
            starts[game] = arena
    return starts


@contextmanager
def _actor(
    config: Config,
    number: int,
    device: jax.Device,
    network: ActorCritic,
    acting: Acting,
    scorer: Scorer,
    dump: bytes | None,
) -> Iterator[Actor]:
    """The n-th actor of this process, with games of its own and their program, as it was dumped if it was."""
    settings, process = config.train, jax.process_index()
    games = config.nethack.games // settings.actors
    first = process * config.nethack.games + number * games
    plan = Plan(config, games, first, places_to_start(settings.arenas, games), network.message_form, dump)
    key = jax.random.fold_in(jax.random.key(config.run.seed + 1), process * settings.actors + number)
    with (
        EnvironmentProcess(plan, scorer) as environment,
        Actor(environment, games, network, acting, settings.rollout, device, key) as actor,
    ):
        yield actor


def _host(tree: Any) -> Any:
    """Copies in the host's memory: the device's arrays are used up by the next update."""
    return jax.tree.map(np.array, tree)


def _restore(
    learner: Learner, fresh: Learnt, common: dict[str, Any], own: dict[str, Any], file: Path
) -> tuple[Learnt, list[Params]]:
    """What was learnt, and the last versions of the parameters, onto any number of devices."""
    params = [_fitting(file, fresh.params, one) for one in common["params"]]
    opt_state = _fitting(file, fresh.opt_state, common["opt_state"])
    older = [learner.everywhere(one) for one in params]
    scale = ReturnScale(
        learner.by_game(own["returns"]), *(learner.everywhere(leaf) for leaf in common["scale"])
    )
    return Learnt(older[-1], learner.everywhere(opt_state), scale), older


def _fitting(path: Path, blank: Any, state: Any) -> Any:
    """`state` in the form of `blank`. Raises UserError where it is of another network or other skills."""
    try:
        found = serialization.from_state_dict(blank, state)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: holds another network than train.network describes: {error}") from error
    for (place, wanted), leaf in zip(
        jax.tree_util.tree_leaves_with_path(blank), jax.tree.leaves(found), strict=True
    ):
        if np.shape(leaf) != wanted.shape:
            raise UserError(
                f"{path}: holds another network than train.network and skills describe: "
                f"{jax.tree_util.keystr(place)} has the shape {np.shape(leaf)} and should have {wanted.shape}"
            )
    return found


def _check(
    figures: Mapping[str, float], batch: Batch, number: int, plan: Schedule, work: Work, saver: Checkpoints
) -> None:
    """Raises UserError when learning has come to numbers that are none; the rollout is written for a look."""
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    if not wrong:
        return
    name = f"{_OFFENDING}-{jax.process_index()}.npz"
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    work.write_arrays(
        name,
        **{jax.tree_util.keystr(place).strip("."): shards_of_this_process(leaf) for place, leaf in leaves},
    )
    saver.wait()
    last = saver.latest()
    kept = (
        f"the last good checkpoint is of step {last * plan.steps}" if last else "there is no checkpoint yet"
    )
    raise UserError(
        f"train: {', '.join(wrong)} of the update at step {(number + 1) * plan.steps} is no finite number; "
        f"the rollout that it learnt from is in {work.path / name}; {kept}. Lower train.learning_rate or "
        "train.max_grad_norm; a changed config begins anew"
    )
