"""Play for the learner: rollouts of a policy in an environment.

An actor has a thread, an environment and a rollout on one device to itself, so that several of them are never
in each other's way: while the games of one move, another's policy thinks. What an actor plays is a function
of the config and of the parameters that it is given.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from maestromotif.agent.inputs import FEW
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import Acting, Carry, fresh_carry
from maestromotif.agent.reward import Met, Scorer
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.metrics import Counts, Seconds
from maestromotif.train.ppo import Batch


class Played(NamedTuple):
    """What an actor hands over."""

    batch: Batch
    counts: Counts  # of what happened
    met: list[Met]  # what was seen, where it was asked for
    snapshot: dict[str, Any] | None  # of the actor after this rollout, where it was asked for


class Actor:
    """Plays rollouts in an environment of n games. A context manager, which ends its thread.

    acting: compiled for n games, and rollouts of `length` steps. key: from it and the number of the step all
    actions are drawn.
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

    def play(self, params: Params, scorer: Scorer, *, snapshot: bool, met: bool) -> Future[Played]:
        """Order a rollout under these parameters and rewards, after those that were ordered before.

        snapshot: whether to say where everything is after it; met: whether to say what was seen.
        """
        return self._thread.submit(self._play, params, scorer, snapshot, met)

    def warm_up(self, params: Params) -> None:
        """Compile what may not be needed before long."""
        nothing = np.zeros_like(self._arrays.final_inputs[0])
        self._acting.values_of_few(params, self._carry, np.zeros(FEW, np.int64), nothing)

    def _play(self, params: Params, scorer: Scorer, snapshot: bool, met: bool) -> Played:
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
        last_values = self._acting.values(params, self._carry, arrays.inputs)
        # Copies, for the environment writes the next rollout into the same arrays.
        came = {
            "last_skill": arrays.running[None].copy(),
            "reward": np.array(arrays.reward.T),
            "switched": np.array(arrays.switched.T),
            "over": np.array(arrays.over.T),
            "terminal": np.array(arrays.terminal.T),
            "final_value": np.stack(final_values),
        }
        self.seconds.bytes += arrays.inputs.nbytes + sum(array.nbytes for array in came.values())
        on_device = jax.device_put(came, self._device)
        batch = Batch(rollout, memory, jax.block_until_ready(last_values), **on_device)
        finished = environment.finish_rollout(met, snapshot)
        self.lost = finished.lost
        self.seconds.games, self.seconds.program = finished.seconds.games, finished.seconds.program
        self.seconds.host = finished.seconds.host
        where = None if finished.snapshot is None else finished.snapshot | self._snapshot()
        return Played(batch, finished.counts, finished.met, where)

    def _snapshot(self) -> dict[str, Any]:
        """Where the policy is between two rollouts; of types that msgpack writes."""
        return {
            "memory": np.array(self._carry.memory),
            "last_action": np.array(self._carry.last_action),
            "count": self._count,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Bring everything back; the environment must have been made with the snapshot's program."""
        self._environment.restore(snapshot)
        carry = Carry(np.array(snapshot["memory"]), np.array(snapshot["last_action"]))
        self._carry = jax.device_put(carry, self._device)
        self._count = int(snapshot["count"])

    def _final_values(self, params: Params) -> np.ndarray:
        """Value float32 [n] of the last observation where an episode was cut off, 0 elsewhere."""
        arrays = self._arrays
        value = np.zeros(len(arrays.cut), np.float32)
        cut = np.flatnonzero(arrays.cut)
        for start, inputs in zip(range(0, len(cut), FEW), arrays.final_inputs, strict=False):
            some = cut[start : start + FEW]
            games = np.resize(some, FEW)  # as often as there is room: the same program for any number
            values = np.asarray(self._acting.values_of_few(params, self._carry, games, inputs))
            self.seconds.bytes += inputs.nbytes + values.nbytes
            value[some] = values[np.arange(len(some)), arrays.acted[some]]
        return value
