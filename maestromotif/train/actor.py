"""Actors play rollouts of a policy in an environment, for the learner.

Each actor has its own thread, environment and rollout on one device. Several actors overlap: while the games
of one step, the policy of another computes. The config and the parameters determine what an actor plays.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from maestromotif.agent.inputs import FEW
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import Acting, Carry, fresh_carry
from maestromotif.agent.reward import Met, Scorer
from maestromotif.train.counts import Counts
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.paid import Paid
from maestromotif.train.ppo import Batch
from maestromotif.train.speed import Seconds


class Played(NamedTuple):
    """One rollout of one actor."""

    batch: Batch
    counts: Counts  # the sums that the learning curve needs
    met: list[Met]  # the observations, if requested
    snapshot: dict[str, Any] | None  # the actor's state after this rollout, if requested
    paid: Paid | None  # what was paid for since the start of training, if requested
    sample: list[dict[str, Any]] | None = None  # of the episodes since then, with `paid`


class Actor:
    """Plays rollouts in an environment of n games. A context manager; on exit it ends its thread.

    acting: compiled for n games and rollouts of `length` steps. key: seeds the actions, with the step number.
    """

    def __init__(
        self,
        environment: EnvironmentProcess,
        games: int,
        network: ActorCritic,
        acting: Acting,
        length: int,
        device: jax.Device,
        key: jax.Array,
    ) -> None:
        self._environment, self._arrays, self._acting = environment, environment.arrays, acting
        self._length, self._device = length, device
        self._key = jax.device_put(key, device)
        self._carry: Carry = jax.device_put(fresh_carry(network, games), device)
        self._count = 0
        self.seconds = Seconds()
        self.lost = 0  # episodes lost with a dead worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="actor")

    def __enter__(self) -> "Actor":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._environment.begin()

    def play(
        self, params: Params, scorer: Scorer, *, snapshot: bool, met: bool, paid: bool
    ) -> Future[Played]:
        """Queue a rollout under these parameters and rewards.

        snapshot: whether to return the state after it; met: whether to return the observations; paid:
        whether to return what was paid for.
        """
        return self._thread.submit(self._play, params, scorer, snapshot, met, paid)

    def warm_up(self, params: Params) -> None:
        """Compile the function that the first truncated episode needs, which may come late."""
        nothing = np.zeros_like(self._arrays.final_inputs[0])
        self._acting.values_of_few(params, self._carry, np.zeros(FEW, np.int64), nothing)

    def _play(self, params: Params, scorer: Scorer, snapshot: bool, met: bool, paid: bool) -> Played:
        environment, arrays = self._environment, self._arrays
        environment.pay_by(scorer)
        rollout, memory = self._acting.begin(self._carry)
        final_values = []
        for t in range(self._length):
            with self.seconds.of("policy"):
                self._count += 1
                self._carry, rollout, chosen = self._acting.act(
                    params, self._carry, rollout, arrays.inputs, t, self._key, self._count
                )
                action = np.asarray(chosen)
            self.seconds.bytes += arrays.inputs.nbytes + action.nbytes
            environment.step(action)
            final_values.append(self._final_values(params))
        last = self._acting.last(params, self._carry, arrays.inputs)
        # Copies, because the environment writes the next rollout into the same arrays.
        came = {
            "reward": np.array(arrays.reward.T),
            "ended": np.array(arrays.ended.T),
            "final_value": np.stack(final_values),
        }
        self.seconds.bytes += arrays.inputs.nbytes + sum(array.nbytes for array in came.values())
        on_device = jax.device_put(came, self._device)
        batch = Batch(rollout, memory, jax.block_until_ready(last), **on_device)
        finished = environment.finish_rollout(met, snapshot, paid)
        self.lost = finished.lost
        self.seconds.games, self.seconds.program = finished.seconds.games, finished.seconds.program
        self.seconds.host = finished.seconds.host
        where = None if finished.snapshot is None else finished.snapshot | self._snapshot()
        return Played(batch, finished.counts, finished.met, where, finished.paid, finished.sample)

    def _snapshot(self) -> dict[str, Any]:
        """The policy's state between two rollouts, in types that msgpack writes."""
        return {
            "memory": np.array(self._carry.memory),
            "last_action": np.array(self._carry.last_action),
            "count": self._count,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot; the environment must have been created with the snapshot's program."""
        self._environment.restore(snapshot)
        carry = Carry(np.array(snapshot["memory"]), np.array(snapshot["last_action"]))
        self._carry = jax.device_put(carry, self._device)
        self._count = int(snapshot["count"])

    def _final_values(self, params: Params) -> np.ndarray:
        """Value float32 [n] of the last observation where an episode was truncated, 0 elsewhere."""
        arrays = self._arrays
        value = np.zeros(len(arrays.cut), np.float32)
        cut = np.flatnonzero(arrays.cut)
        for start, inputs in zip(range(0, len(cut), FEW), arrays.final_inputs, strict=False):
            some = cut[start : start + FEW]
            games = np.resize(
                some, FEW
            )  # repeated up to FEW, so that one compiled function serves any number
            values = np.asarray(self._acting.values_of_few(params, self._carry, games, inputs))
            self.seconds.bytes += inputs.nbytes + values.nbytes
            value[some] = values[np.arange(len(some)), arrays.acted[some]]
        return value
