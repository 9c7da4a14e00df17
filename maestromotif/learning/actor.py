"""Play for the learner: the policy, the program over skills and the rewards, step by step over N games.

The order of things in one step: the policy acts under skill k_t; the games move on; the step is rewarded by
the model of k_t on what is seen after it; then the program says which skill acts next.

The games are divided into parts that take turns: while the games of one part move, the policy thinks about
another. Each part has a rollout on a device of its own choice and a program of its own.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from maestromotif.composing.sandbox import ProgramHost
from maestromotif.learning.acting import FEW, Acting, Carry, fresh_carry, make_acting
from maestromotif.learning.arrays import compilations
from maestromotif.learning.inputs import Block, fill
from maestromotif.learning.network import ActorCritic, Params
from maestromotif.learning.options import Options
from maestromotif.learning.ppo import Batch
from maestromotif.learning.reward import RewardFunction
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.pool import GamePool, Snapshot
from maestromotif.nethack.state import depth_codes

# What is counted of the episodes that end: how many, by death, sum of their deepest levels, how many reached
# level 2 or deeper.
EPISODE_COUNTS = ("episodes", "deaths", "deepest", "at_least_2")


class Happened(NamedTuple):
    """What happened in a rollout, summed over steps and games."""

    steps: np.ndarray  # float64 [K], environment steps of each skill
    calls: np.ndarray  # float64 [K], how many calls of it ended
    reward: np.ndarray  # float64 [K]
    events: np.ndarray  # float64 [K, E], how often each event happened while the skill acted
    episodes: np.ndarray  # float64 [4], EPISODE_COUNTS

    def __add__(self, other: "Happened") -> "Happened":  # type: ignore[override]
        return Happened(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def nothing_happened(skills: int) -> Happened:
    steps, calls, reward = np.zeros((3, skills))
    return Happened(steps, calls, reward, np.zeros((skills, len(EVENTS))), np.zeros(len(EPISODE_COUNTS)))


class Seconds:
    """Where an actor's time went, and how many bytes passed between host and device."""

    def __init__(self) -> None:
        self.games = 0.0  # waiting for games
        self.policy = 0.0  # from the start of a step on the device until its actions are here
        self.program = 0.0  # the program over skills
        self.host = 0.0  # everything else
        self.bytes = 0

    def summary(self, steps: int, wall: float) -> dict[str, float]:
        """By environment step: microseconds of the actor and bytes; and steps a second of the whole."""
        each = 1e6 / max(steps, 1)
        parts = {name: getattr(self, name) for name in ("games", "policy", "program", "host")}
        return {
            "steps_per_second": round(steps / wall, 1),
            **{f"{name}_us": round(value * each, 2) for name, value in parts.items()},
            "bytes_per_step": round(self.bytes / max(steps, 1), 1),
        }


class _Part:
    """Some of the games, on one device."""

    def __init__(
        self,
        pool: GamePool,
        number: int,
        host: ProgramHost,
        reward: RewardFunction,
        network: ActorCritic,
        acting: Acting,
        device: jax.Device,
        key: jax.Array,
        seconds: Seconds,
    ) -> None:
        self.number, self.host, self.device = number, host, device
        self._pool, self._rows, self._reward, self._acting = pool, pool.rows[number], reward, acting
        self._seconds = seconds
        n = self._rows.stop - self._rows.start
        self._network, self._layout = network, Block(n, network.message_form)
        self._few = Block(FEW, network.message_form)
        self._skills = network.skills
        self.options = Options(host, n)
        self._key = jax.device_put(key, device)
        self._carry: Carry = jax.device_put(fresh_carry(network, n), device)
        self._first = np.ones(n, bool)
        self._count = 0

    def begin(self) -> None:
        """The games' first episodes have begun."""
        self._message = self._numbers(self._pool.obs["message"][self._rows])
        self.options.advance(self._state(), np.ones(len(self._first), bool))

    def warm_up(self, params: Params) -> None:
        block, views = self._few.allocate()
        for view in views:
            view[...] = 0
        games = np.zeros(FEW, np.int64)
        self._acting.values_of_few(params, self._carry, games, block)

    def open_rollout(self) -> None:
        self._rollout, self._memory = self._acting.begin(self._carry)
        self._steps: list[tuple[np.ndarray, ...]] = []
        self.happened = nothing_happened(self._skills)

    def act(self, params: Params, t: int) -> jax.Array:
        """Begin step t on the device; returns the actions int32 [n] to come."""
        self._count += 1
        self._carry, self._rollout, action = self._acting.act(
            params, self._carry, self._rollout, self._block(), t, self._key, self._count
        )
        self._seconds.bytes += action.nbytes
        return action

    def observe(self, params: Params) -> None:
        """The games have moved: what that was worth, and which skill acts next."""
        pool, rows, options = self._pool, self._rows, self.options
        skill, ended = options.running, pool.ended[rows].copy()
        over = ended != End.NOT
        self._message = self._numbers(pool.obs["message"][rows])
        shown = self._message
        if over.any():
            shown = shown.copy()
            shown[over] = self._numbers(pool.final["message"][rows][over])
        changes = pool.changes[rows].copy()
        changes[:, 0] = depth_codes(options.start_depth, self._seen("depth", over))
        reward = self._reward(rows, shown, changes, skill, over)
        reward = np.where(ended == End.LOST, 0, reward).astype(np.float32)  # nobody saw what it came to
        final_value = self._final_values(params, shown, skill, ended)
        self._first = over
        began = time.perf_counter()
        options.advance(self._state(), over)
        self._seconds.program += time.perf_counter() - began
        switched = options.switched
        terminal = (ended == End.DEATH) | (ended == End.LEFT)
        self._steps.append((reward, switched, over, terminal, final_value))
        self._count_what_happened(skill, reward, switched, ended)

    def close_rollout(self, params: Params) -> Batch:
        last_values = self._acting.values(params, self._carry, self._block())
        columns = [np.stack(column) for column in zip(*self._steps, strict=True)]
        came = jax.device_put((self.options.running[None], *columns), self.device)
        self._seconds.bytes += sum(leaf.nbytes for leaf in came)
        return Batch(self._rollout, self._memory, last_values, *came)

    def snapshot(self) -> dict[str, Any]:
        return {
            "options": self.options.snapshot(),
            "program": self.host.dump(),
            "memory": np.array(self._carry.memory),
            "last_action": np.array(self._carry.last_action),
            "first": self._first,
            "count": self._count,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """`snapshot` but for the program, whose host must have been loaded from it."""
        self.options.restore(snapshot["options"])
        carry = Carry(np.array(snapshot["memory"]), np.array(snapshot["last_action"]))
        self._carry = jax.device_put(carry, self.device)
        self._first, self._count = np.array(snapshot["first"]), int(snapshot["count"])
        self._message = self._numbers(self._pool.obs["message"][self._rows])

    def _numbers(self, message: np.ndarray) -> np.ndarray:
        return self._reward.messages.numbers(message)

    def _state(self) -> dict[str, np.ndarray]:
        return {name: column[self._rows] for name, column in self._pool.state.items()}

    def _seen(self, name: str, over: np.ndarray) -> np.ndarray:
        rows = self._rows
        return np.where(over, self._pool.final_state[name][rows], self._pool.state[name][rows])

    def _block(self) -> np.ndarray:
        """The present observations. They go to the device of the parameters."""
        block, views = self._layout.allocate()
        message = self._reward.messages.read(
            self._network.message_form, self._message, self._pool.obs["message"][self._rows]
        )
        skill = np.maximum(self.options.running, 0)
        fill(views, self._pool.obs, self._pool.state, message, self._first, skill, self._rows)
        self._seconds.bytes += block.nbytes
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
                self._network.message_form, shown[games], self._pool.final["message"][self._rows][games]
            )
            nothing = np.zeros(FEW, bool)
            rows = games + self._rows.start
            fill(
                views,
                self._pool.final,
                self._pool.final_state,
                message,
                nothing,
                np.maximum(skill[games], 0),
                rows,
            )
            values = self._acting.values_of_few(params, self._carry, games, block)
            self._seconds.bytes += block.nbytes + values.nbytes
            value[some] = np.asarray(values)[np.arange(len(some)), skill[some]]
        return value

    def _count_what_happened(
        self, skill: np.ndarray, reward: np.ndarray, switched: np.ndarray, ended: np.ndarray
    ) -> None:
        acted = (skill == np.arange(self._skills)[:, None]).astype(np.float64)
        over = ended != End.NOT
        happened = self.happened
        happened.steps[:] += acted.sum(1)
        happened.calls[:] += acted @ (switched | over)
        happened.reward[:] += acted @ reward
        happened.events[:] += acted @ self._pool.events[self._rows]
        if over.any():
            deepest = self._pool.final_state["deepest"][self._rows][over]
            died = (ended == End.DEATH).sum()
            happened.episodes[:] += (over.sum(), died, deepest.sum(), (deepest >= 2).sum())


class Actor:
    """Fills rollouts, and tells what happened in them.

    hosts: of the program, one a part of the pool, with as many games. devices: those of this process; part p
    lies on device p // (parts / devices), so there must be as many parts on each. key: from it and the number
    of the part, counted from `first_part` on, all actions are drawn. length: T, steps of a rollout.
    """

    def __init__(
        self,
        pool: GamePool,
        hosts: Sequence[ProgramHost],
        reward: RewardFunction,
        network: ActorCritic,
        length: int,
        key: jax.Array,
        devices: Sequence[jax.Device],
        first_part: int = 0,
    ) -> None:
        self._pool, self._reward, self._length = pool, reward, length
        self.seconds = Seconds()
        # Parts may differ by a game in size; each size is compiled once.
        sizes = {rows.stop - rows.start for rows in pool.rows}
        acting = {size: make_acting(network, size, length) for size in sizes}
        self._each = len(hosts) // len(devices)
        self._parts = [
            _Part(
                pool,
                number,
                host,
                reward,
                network,
                acting[pool.rows[number].stop - pool.rows[number].start],
                devices[number // self._each],
                jax.random.fold_in(key, first_part + number),
                self.seconds,
            )
            for number, host in enumerate(hosts)
        ]
        self._acting = tuple(acting.values())

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._pool.reset()
        for part in self._parts:
            part.begin()

    def warm_up(self, params: Sequence[Params]) -> None:
        """Compile what may not be needed before long."""
        for part in self._parts:
            part.warm_up(params[part.number // self._each])

    def rollout(self, params: Sequence[Params]) -> tuple[list[Batch], Happened]:
        """Play T steps under the parameters, a copy for each device; the batches are in the parts' order."""
        began, seconds, pool = time.perf_counter(), self.seconds, self._pool
        known = seconds.games + seconds.policy + seconds.program

        def observe(part: _Part) -> None:
            waiting = time.perf_counter()
            pool.finish(part.number)
            seconds.games += time.perf_counter() - waiting
            part.observe(params[part.number // self._each])

        for part in self._parts:
            part.open_rollout()
        for t in range(self._length):
            for part in self._parts:
                if t > 0:
                    observe(part)
                thinking = time.perf_counter()
                action = np.asarray(part.act(params[part.number // self._each], t))
                seconds.policy += time.perf_counter() - thinking
                pool.begin(action, part.number)
        for part in self._parts:
            observe(part)
        batches = [part.close_rollout(params[part.number // self._each]) for part in self._parts]
        known = seconds.games + seconds.policy + seconds.program - known
        seconds.host += time.perf_counter() - began - known
        happened = self._parts[0].happened
        for part in self._parts[1:]:
            happened = happened + part.happened
        return batches, happened

    def compilations(self) -> int:
        """How often anything was compiled for the policy; it must not grow after the first rollouts."""
        return sum(compilations(function) for acting in self._acting for function in acting)

    def snapshot(self) -> dict[str, Any]:
        """Where everything is between two rollouts; of types that msgpack writes."""
        games = self._pool.snapshot()
        return {
            "episode": games.episode,
            "actions": games.actions,
            "reward": self._reward.snapshot(),
            "parts": [part.snapshot() for part in self._parts],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Bring everything back; the hosts must have been loaded from the parts' programs."""
        self._pool.restore(Snapshot(np.array(snapshot["episode"]), list(snapshot["actions"])))
        self._reward.restore(snapshot["reward"])
        for part, saved in zip(self._parts, snapshot["parts"], strict=True):
            part.restore(saved)
