"""The training loop: one update per rollout, in order; rows of the curve; checkpoints; what was paid for.

Acting and learning overlap: while the learner learns from rollout r, the actors play the next `lag` ones.
Rollout r always uses the parameters after max(0, r - lag) updates, at any machine speed.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from maestromotif.agent.arrays import Array
from maestromotif.agent.network import Params
from maestromotif.errors import UserError
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Work
from maestromotif.replay import kept
from maestromotif.tracking.tracker import Tracker
from maestromotif.train import sample
from maestromotif.train.actor import Actor, Played
from maestromotif.train.checkpoint import Checkpoints
from maestromotif.train.curve import Curve
from maestromotif.train.distributed import gathered
from maestromotif.train.learner import Learner, Learnt, shards_of_this_process
from maestromotif.train.ppo import Batch
from maestromotif.train.reward_source import RewardSource
from maestromotif.train.schedule import Schedule
from maestromotif.train.speed import Speed
from maestromotif.train.statement import Statement
from maestromotif.train.watch.watcher import Watcher
from maestromotif.train.window import Figures

_OFFENDING = ".scratch/offending-batch"


class State(NamedTuple):
    """Where training stands between two updates."""

    updates: int  # number done
    learnt: Learnt
    versions: list[Params]  # after the latest updates, oldest first, at most lag + 1; the last is `learnt`'s


def learn(
    state: State,
    plan: Schedule,
    rollouts: "Rollouts",
    learner: Learner,
    rewards: RewardSource,
    curve: Curve,
    checkpoints: Checkpoints,
    statement: Statement,
    watcher: Watcher | None,
    work: Work,
    key: Array,
    tracker: Tracker,
) -> Learnt:
    """Train from `state` to the last update; returns the final state.

    key: seeds the minibatches, with the number of the update. Raises UserError if a figure of an update is
    not finite.
    """
    learnt, versions = state.learnt, deque(state.versions, maxlen=plan.lag + 1)
    done = state.updates * plan.steps
    speed = Speed(plan, rollouts.seconds)
    speed.begin(state.updates)
    with Progress(
        "train", total=plan.updates * plan.steps, unit="steps", done=done, tracker=tracker
    ) as progress:
        for update in range(state.updates + 1, plan.updates + 1):
            rollouts.order(update - 1, versions)
            if watcher is not None:
                newest = learner.on_device(learnt.params, 0)
                watcher.go_on(update - 1, newest, rewards.scorer(max(update - 2, 0)))
            played = rollouts.take()

            parts = [one.batch for one in played]
            shuffle = jax.random.fold_in(key, update - 1)
            learnt, figures, batch = learner.update(learnt, parts, shuffle, plan.learning_rate(update))
            _check_finite(figures, batch, update, plan, work, checkpoints)
            versions.append(learnt.params)

            rewards.after(update, [met for one in played for met in one.met])
            curve.add([one.counts for one in played], figures)
            note = ""
            if plan.row_after(update):
                row = curve.row(update * plan.steps)
                tracker.row(update * plan.steps, row)
                if row["episodes"]:
                    note = f"level {row['depth/deepest_mean']:.2f} reached on average"
            progress.advance(plan.steps, note, speed.after(update, learner.busy, rollouts.waited))

            paid = [one.paid for one in played if one.paid is not None]
            if plan.paid_after(update):
                statement.write(update * plan.steps, paid, curve, last=update == plan.updates)
                write_sample([one.sample for one in played if one.sample is not None], work)
            if plan.checkpoint_after(update):
                common, own = learner.snapshot(learnt, versions)
                common |= {"curve": curve.snapshot(), "rewards": rewards.snapshot()}
                own["actors"] = [one.snapshot for one in played]
                checkpoints.save(update, common, own)
    return learnt


class Rollouts:
    """Queues rollouts of this process's actors ahead of the updates, and returns them in order.

    places: the device number of each actor. first: the first rollout to play.
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        places: Sequence[int],
        learner: Learner,
        rewards: RewardSource,
        plan: Schedule,
        first: int,
    ) -> None:
        self._actors, self._places, self._learner = actors, places, learner
        self._rewards, self._plan, self._next = rewards, plan, first
        self._ordered: deque[list[Future[Played]]] = deque()  # one list per rollout, one entry per actor
        self.waited = 0.0  # seconds for which the learner waited for a rollout
        self.seconds = [actor.seconds for actor in actors]

    def order(self, updates: int, versions: Sequence[Params]) -> None:
        """Queue the rollouts that can start after `updates` updates; `versions[-1]` is the newest."""
        plan = self._plan
        while self._next < min(updates + plan.lag + 1, plan.updates):
            rollout = self._next
            params = versions[plan.parameters_of(rollout) - updates - 1]
            copies = {place: self._learner.on_device(params, place) for place in set(self._places)}
            scorer, snapshot = self._rewards.scorer(rollout), plan.checkpoint_after(rollout + 1)
            paid = plan.paid_after(rollout + 1)
            self._ordered.append(
                [
                    actor.play(copies[place], scorer, snapshot=snapshot, met=self._rewards.learns, paid=paid)
                    for actor, place in zip(self._actors, self._places, strict=True)
                ]
            )
            self._next += 1

    def take(self) -> list[Played]:
        """The oldest queued rollout, of all actors; waits until it is played."""
        began = time.perf_counter()
        played = [future.result() for future in self._ordered.popleft()]
        self.waited += time.perf_counter() - began
        return played


def write_sample(parts: Sequence[list[dict[str, Any]]], work: Work) -> None:
    """Writes the sample of the training's episodes. Call it in all processes; process 0 writes.

    parts: `Sample.kept` of this process's environments.
    """
    own = serialization.msgpack_serialize({"parts": list(parts)})
    everywhere = [serialization.msgpack_restore(one)["parts"] for one in gathered(own)]
    if jax.process_index() == 0:
        episodes = sample.together([part for own in everywhere for part in own])
        work.write_arrays(kept.FILE, **kept.arrays({sample.AGENT: episodes}))


def _check_finite(
    figures: Figures,
    batch: Batch,
    update: int,
    plan: Schedule,
    work: Work,
    checkpoints: Checkpoints,
) -> None:
    """Raises UserError if a figure is NaN or infinite, after it wrote the rollout to a file."""
    wrong = [name for name, value in figures.items() if not np.isfinite(value).all()]
    if not wrong:
        return
    name = f"{_OFFENDING}-{jax.process_index()}.npz"
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    work.write_arrays(
        name,
        **{jax.tree_util.keystr(place).strip("."): shards_of_this_process(leaf) for place, leaf in leaves},
    )
    checkpoints.wait()
    last = checkpoints.latest()
    kept = (
        f"the last good checkpoint is at step {last * plan.steps}" if last else "there is no checkpoint yet"
    )
    raise UserError(
        f"train: {', '.join(wrong)} of the update at step {update * plan.steps} is not finite; "
        f"the rollout of this update is in {work.path / name}; {kept}. Lower train.learning_rate or "
        "train.max_grad_norm; training with a changed config starts at step 0"
    )
