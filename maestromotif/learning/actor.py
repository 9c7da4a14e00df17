"""Play for the learner: the policy, the program over skills and the rewards, step by step over some games.

The order of things in one step: the policy acts under skill k_t; the games move on; the step is rewarded by
the model of k_t on what is seen after it; then the program says which skill acts next.

An actor has a thread of its own, and games, a program, rewards and a rollout on one device, so that several
of them are never in each other's way: while the games of one move, another's policy thinks. What an actor
plays is a function of the config and of the parameters that it is given.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from maestromotif.composing.sandbox import ProgramHost
from maestromotif.learning.acting import FEW, Acting, Carry, fresh_carry
from maestromotif.learning.happened import Happened, Seconds, nothing_happened
from maestromotif.learning.inputs import Block, fill
from maestromotif.learning.network import ActorCritic, Params
from maestromotif.learning.options import Options
from maestromotif.learning.ppo import Batch
from maestromotif.learning.reward import Met, RewardFunction, Scorer
from maestromotif.nethack.game import End
from maestromotif.nethack.pool import GamePool, Snapshot
from maestromotif.nethack.state import depth_codes


class Played(NamedTuple):
    """What an actor hands over."""

    batch: Batch
    happened: Happened
    met: list[Met]  # what was seen, where it was asked for
    snapshot: dict[str, Any] | None  # of the actor after this rollout, where it was asked for


class Actor:
    """Plays rollouts of all games of a pool. A context manager, which ends its thread.

    acting: compiled for as many games, and rollouts of `length` steps. key: from it and the number of the
    step all actions are drawn.
    """

    def __init__(
        self,
        pool: GamePool,
        host: ProgramHost,
        reward: RewardFunction,
        network: ActorCritic,
        acting: Acting,
        length: int,
        device: jax.Device,
        key: jax.Array,
    ) -> None:
        self._pool, self._host, self._reward, self._acting = pool, host, reward, acting
        self._network, self._length, self._device = network, length, device
        n = pool.games
        self._in_dungeon = np.array([start is None for start in pool.starts])
        self._layout, self._few = Block(n, network.message_form), Block(FEW, network.message_form)
        self._options = Options(host, n)
        self._key = jax.device_put(key, device)
        self._carry: Carry = jax.device_put(fresh_carry(network, n), device)
        self._first = np.ones(n, bool)
        self._count = 0
        self.seconds = Seconds()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="actor")

    def __enter__(self) -> "Actor":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    @property
    def lost(self) -> int:
        """Episodes lost with a dead worker."""
        return self._pool.lost

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._pool.reset()
        self._message = self._numbers(self._pool.obs["message"])
        self._options.advance(self._pool.state, np.ones(self._pool.games, bool))

    def play(self, params: Params, scorer: Scorer, snapshot: bool, met: bool) -> Future[Played]:
        """Order a rollout under these parameters and rewards, after those that were ordered before.

        snapshot: whether to say where everything is after it; met: whether to say what was seen.
        """
        return self._thread.submit(self._play, params, scorer, snapshot, met)

    def warm_up(self, params: Params) -> None:
        """Compile what may not be needed before long."""
        block, views = self._few.allocate()
        for view in views:
            view[...] = 0
        self._acting.values_of_few(params, self._carry, np.zeros(FEW, np.int64), block)

    def _play(self, params: Params, scorer: Scorer, snapshot: bool, met: bool) -> Played:
        self._reward.score_by(scorer)
        began = time.perf_counter()
        elsewhere = self.seconds.games + self.seconds.policy + self.seconds.program
        rollout, memory = self._acting.begin(self._carry)
        self._steps: list[tuple[np.ndarray, ...]] = []
        self._happened = nothing_happened(self._network.skills)
        for t in range(self._length):
            with self.seconds.of("policy"):
                self._count += 1
                self._carry, rollout, on_device = self._acting.act(
                    params, self._carry, rollout, self._block(), t, self._key, self._count
                )
                action = np.asarray(on_device)
            self.seconds.bytes += action.nbytes
            with self.seconds.of("games"):
                self._pool.step(action)
            self._observe(params)
        last_values = self._acting.values(params, self._carry, self._block())
        *columns, skill, events = [np.stack(column) for column in zip(*self._steps, strict=True)]
        reward, switched, over, *_ = columns
        self._happened.add(skill, reward, switched | over, events)
        came = jax.device_put((self._options.running[None], *columns), self._device)
        self.seconds.bytes += sum(leaf.nbytes for leaf in came)
        elsewhere = self.seconds.games + self.seconds.policy + self.seconds.program - elsewhere
        self.seconds.host += time.perf_counter() - began - elsewhere
        batch = Batch(rollout, memory, last_values, *came)
        return Played(
            batch, self._happened, self._reward.met() if met else [], self.snapshot() if snapshot else None
        )

    def _observe(self, params: Params) -> None:
        """The games have moved: what that was worth, and which skill acts next."""
        pool, options = self._pool, self._options
        skill, ended = options.running, pool.ended.copy()
        over = ended != End.NOT
        self._message = shown = self._numbers(pool.obs["message"])
        if over.any():
            shown = shown.copy()
            shown[over] = self._numbers(pool.final["message"][over])
        changes = pool.changes.copy()
        depth = np.where(over, pool.final_state["depth"], pool.state["depth"])
        changes[:, 0] = depth_codes(options.start_depth, depth)
        reward = self._reward(shown, changes, skill, over)
        reward = np.where(ended == End.LOST, 0, reward).astype(np.float32)  # nobody saw what it came to
        final_value = self._final_values(params, shown, skill, ended)
        self._first = over
        with self.seconds.of("program"):
            options.advance(pool.state, over)
        switched = options.switched
        terminal = (ended == End.DEATH) | (ended == End.LEFT)
        self._steps.append((reward, switched, over, terminal, final_value, skill, pool.events.copy()))
        if over.any():
            self._count_episodes(ended)

    def snapshot(self) -> dict[str, Any]:
        """Where everything is between two rollouts; of types that msgpack writes."""
        games = self._pool.snapshot()
        return {
            "episode": games.episode,
            "actions": games.actions,
            "reward": self._reward.snapshot(),
            "options": self._options.snapshot(),
            "program": self._host.dump(),
            "memory": np.array(self._carry.memory),
            "last_action": np.array(self._carry.last_action),
            "first": self._first,
            "count": self._count,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Bring everything back; the host must have been loaded from the snapshot's program."""
        self._pool.restore(Snapshot(np.array(snapshot["episode"]), list(snapshot["actions"])))
        self._reward.restore(snapshot["reward"])
        self._options.restore(snapshot["options"])
        carry = Carry(np.array(snapshot["memory"]), np.array(snapshot["last_action"]))
        self._carry = jax.device_put(carry, self._device)
        self._first, self._count = np.array(snapshot["first"]), int(snapshot["count"])
        self._message = self._numbers(self._pool.obs["message"])

    def _numbers(self, message: np.ndarray) -> np.ndarray:
        return self._reward.messages.numbers(message)

    def _block(self) -> np.ndarray:
        """The present observations. They go to the device of the parameters."""
        block, views = self._layout.allocate()
        message = self._reward.messages.read(
            self._network.message_form, self._message, self._pool.obs["message"]
        )
        skill = np.maximum(self._options.running, 0)
        fill(views, self._pool.obs, self._pool.state, message, self._first, skill, slice(None))
        self.seconds.bytes += block.nbytes
        return block

    def _final_values(
        self, params: Params, shown: np.ndarray, skill: np.ndarray, ended: np.ndarray
    ) -> np.ndarray:
        """Value float32 [n] of the last observation where an episode was cut off, 0 elsewhere."""
        value = np.zeros(len(ended), np.float32)
        cut = np.flatnonzero(ended == End.TRUNCATED)
        for start in range(0, len(cut), FEW):
            some = cut[start : start + FEW]
            games = np.resize(some, FEW)  # as often as there is room: the same program for any number
            block, views = self._few.allocate()
            message = self._reward.messages.read(
                self._network.message_form, shown[games], self._pool.final["message"][games]
            )
            nothing = np.zeros(FEW, bool)
            acting = np.maximum(skill[games], 0)
            fill(views, self._pool.final, self._pool.final_state, message, nothing, acting, games)
            values = self._acting.values_of_few(params, self._carry, games, block)
            self.seconds.bytes += block.nbytes + values.nbytes
            value[some] = np.asarray(values)[np.arange(len(some)), skill[some]]
        return value

    def _count_episodes(self, ended: np.ndarray) -> None:
        counted = (ended != End.NOT) & self._in_dungeon
        deepest = self._pool.final_state["deepest"][counted]
        died = (ended[counted] == End.DEATH).sum()
        self._happened.episodes[:] += (counted.sum(), died, deepest.sum(), (deepest >= 2).sum())
