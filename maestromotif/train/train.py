"""The stage `train`: PPO on all skills at once, under the training program. This module wires its parts.

Each actor plays rollouts in its own thread (`actor`), and the learner learns from them in order (`loop`,
`learner`). The config determines everything: a run that was killed resumes from its last checkpoint to the
same parameters, bit for bit. NetHack games cannot be saved, so a checkpoint holds each game's seeds and its
actions since the episode began, and replays them.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maestromotif.agent.network import ActorCritic, build
from maestromotif.agent.policy import POLICY, Acting, make_acting
from maestromotif.agent.reward import Scorer
from maestromotif.agent.saved_policy import check_policy, policy_bytes
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.actions import SETS
from maestromotif.nethack.arena import arena_files, check_arenas, places_to_start
from maestromotif.nethack.pool.pool import check_options, check_pools
from maestromotif.nethack.rcfile import options_file
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.pipeline.trees import refusing
from maestromotif.skill import skill_files, skills_of
from maestromotif.tracking.tracker import SILENT, Tracker
from maestromotif.train.actor import Actor
from maestromotif.train.checkpoint import FOLDER, Checkpoints
from maestromotif.train.curve import Curve
from maestromotif.train.distributed import all_devices, local_devices, summed, wait_for_all
from maestromotif.train.environment import Plan
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.kickstart import teacher_file, teacher_files, teacher_of
from maestromotif.train.learner import Learner, on_host
from maestromotif.train.loop import Rollouts, State, learn
from maestromotif.train.metrics import CURVE, METRICS
from maestromotif.train.online_rewards import OnlineRewards, check_settings
from maestromotif.train.reward_source import DistilledRewards, RewardSource, reward_files, reward_folder
from maestromotif.train.schedule import Schedule, schedule
from maestromotif.train.speed import TIMINGS, summary
from maestromotif.train.statement import Statement
from maestromotif.train.watch.figures import LOGGED as WATCHED
from maestromotif.train.watch.watcher import Watcher

log = logging.getLogger("maestromotif")

LOGGED = (*(metric.logged for metric in METRICS), *TIMINGS, *WATCHED)


def reads(config: Config) -> dict[str, str]:
    """The files of game, skills, training program and rewards -> SHA-256. Raises UserError."""
    return (
        options_file(config)
        | arena_files("train.arenas", config.train.arenas)
        | skill_files(config)
        | file_contents("compose.training", config.compose.training)
        | reward_files(config)
        | teacher_files(config)
    )


def foresee(config: Config) -> None:
    """Raises UserError for arenas, options, rewards or a teacher that training would refuse."""
    settings = config.train
    check_options(config)
    check_arenas(settings.arenas, config.nethack.games // settings.actors)
    teacher = teacher_file(config)
    if teacher is not None:
        check_policy(teacher, config, needs_header=True)
    if config.reward.path is not None:
        DistilledRewards(config, Path(config.reward.path))
    if config.reward.online_steps is not None:
        plan = schedule(settings, config.nethack.games * settings.machines)
        check_settings(config, config.reward.online_steps // plan.steps, plan.updates)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    settings, games, seed = config.train, config.nethack.games, config.run.seed
    if settings.policy is not None:
        raise UserError(
            f"train.policy: names a trained policy, {settings.policy}, so there is nothing to train; set it "
            "to null to train"
        )
    devices, process = local_devices(settings, games), jax.process_index()
    check_pools(config, settings.actors)
    wait_for_all(settings, "begin")  # opening a folder cleans it: no process writes before all have opened it
    plan = schedule(settings, games * settings.machines)
    network = build(settings.network, len(config.skills))
    acting = make_acting(network, games // settings.actors, settings.rollout)
    teacher = teacher_of(config, inputs)
    learner = Learner(network, settings, games * settings.machines, all_devices(settings), teacher)
    learnt = learner.fresh(seed)
    curve = Curve(skills_of(config), summed, SETS[settings.network.actions])
    places = [number * settings.devices // settings.actors for number in range(settings.actors)]

    with ExitStack() as stack:
        checkpoints = stack.enter_context(
            Checkpoints(work.path / FOLDER, settings.checkpoints, process, settings.machines)
        )
        done = checkpoints.latest() or 0
        common, own = checkpoints.load(done) if done else ({}, {})
        versions = [learnt.params]
        if done:  # a checkpoint of another network is refused before any game starts
            _check_parts(checkpoints.file(done), common, own, settings.actors)
            learnt, versions = learner.restore(learnt, common, own, checkpoints.file(done))
        rewards = stack.enter_context(_reward_source(config, inputs, plan))
        if done:
            rewards.restore(common["rewards"])
        scorer = rewards.scorer(max(done - 1, 0))
        programs = [one["program"] for one in own["actors"]] if done else [None] * settings.actors
        actors = [
            stack.enter_context(_actor(config, number, devices[place], network, acting, scorer, program))
            for number, (place, program) in enumerate(zip(places, programs, strict=True))
        ]
        if done:
            log.info("train: going on from step %d; replaying the games", done * plan.steps)
            curve.restore(common["curve"])
        for number, (actor, place) in enumerate(zip(actors, places, strict=True)):
            actor.restore(own["actors"][number]) if done else actor.begin()
            actor.warm_up(learner.on_device(versions[-1], place))

        watched = config.tracking.evaluate_steps is not None and process == 0
        watcher = (
            stack.enter_context(Watcher(config, network, plan, work, tracker, done)) if watched else None
        )
        began = time.perf_counter()
        rollouts = Rollouts(actors, places, learner, rewards, plan, first=done)
        learnt = learn(
            State(done, learnt, versions),
            plan,
            rollouts,
            learner,
            rewards,
            curve,
            checkpoints,
            Statement(config, process, work),
            watcher,
            work,
            jax.random.key(seed + 2),
            tracker,
        )
        seconds = time.perf_counter() - began
        rewards.write(work)

    if process == 0:
        work.write_bytes(POLICY, policy_bytes(config, on_host(learnt.params)))
        work.write_text(CURVE, "".join(json.dumps(row, sort_keys=True) + "\n" for row in curve.rows))
    steps_here = (plan.updates - done) * games * settings.rollout
    thresholds = rewards.scorer(plan.updates).thresholds
    return {
        "steps": plan.updates * plan.steps,
        "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(learnt.params))),
        "thresholds": {  # null if a model gives every observation the same reward
            name: round(float(t), 4) if np.isfinite(t) else None
            for name, t in zip(config.skills, thresholds, strict=True)
        },
        "lost_episodes": sum(actor.lost for actor in actors),
        "speed": {
            "steps_per_second": round(steps_here / seconds, 1),
            "learner_waits": round(rollouts.waited / seconds, 3),
            **summary(rollouts.seconds, steps_here),
        },
        "last": curve.rows[-1],
    }


def _check_parts(file: Path, common: dict[str, Any], own: dict[str, Any], actors: int) -> None:
    """Raises UserError unless a checkpoint has what `loop.learn` saves."""
    with refusing(file, "a checkpoint"):
        shared = ("params", "opt_state", "scale", "curve", "rewards")
        for part, needed in ((common, shared), (own, ("returns", "actors"))):
            if missing := [name for name in needed if name not in part]:
                raise KeyError(f"it lacks '{missing[0]}'")
        if not common["params"] or len(own["actors"]) != actors:
            raise ValueError(f"it must have parameters and the games of {actors} actors")
        for one in own["actors"]:
            if missing := [name for name in ("program", "memory", "last_action", "count") if name not in one]:
                raise KeyError(f"an actor lacks '{missing[0]}'")


def _reward_source(config: Config, inputs: dict[str, Artefact], plan: Schedule) -> RewardSource:
    if config.reward.online_steps is not None:
        return OnlineRewards(config, config.reward.online_steps // plan.steps, plan.updates)
    return DistilledRewards(config, reward_folder(config, inputs))


@contextmanager
def _actor(
    config: Config,
    number: int,
    device: jax.Device,
    network: ActorCritic,
    acting: Acting,
    scorer: Scorer,
    program: bytes | None,
) -> Iterator[Actor]:
    """The n-th actor of this process, with its own games.

    program: the checkpointed state of the program over skills for these games; None for a new run.
    """
    settings, process = config.train, jax.process_index()
    games = config.nethack.games // settings.actors
    first = process * config.nethack.games + number * games
    plan = Plan(config, games, first, places_to_start(settings.arenas, games), network.form, program)
    key = jax.random.fold_in(jax.random.key(config.run.seed + 1), process * settings.actors + number)
    with (
        EnvironmentProcess(plan, scorer) as environment,
        Actor(environment, games, network, acting, settings.rollout, device, key) as actor,
    ):
        yield actor
