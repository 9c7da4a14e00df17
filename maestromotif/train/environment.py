"""The environment: games, a program that selects the acting skill, and rewards from that skill's model.

One step has this order: the games step; the model of the skill that acted scores the new observation; the
program selects the next skill; the observation is packed for the device. None of this uses JAX, and it runs
in its own process (`environment_process.py`).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maestromotif.agent.inputs import FEW, Block, Form, fill
from maestromotif.agent.messages import MOST
from maestromotif.agent.options import Options
from maestromotif.agent.reward import Met, RewardFunction, Scorer
from maestromotif.config.schema import Config
from maestromotif.nethack import observation
from maestromotif.nethack.action_log import Snapshot
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import Layout
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.nethack.state import DEPTH_CHANGE, columns_of
from maestromotif.nethack.tracker import depth_codes
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.train.counts import (
    Counts,
    Episodes,
    Steps,
    count_episodes,
    count_steps,
    forbidden,
    no_counts,
    wanted,
)
from maestromotif.train.endings import Ending, endings
from maestromotif.train.forgotten import Forgotten
from maestromotif.train.paid import Ends, Paid
from maestromotif.train.sample import Sample
from maestromotif.train.speed import Seconds


@dataclass(frozen=True)
class Plan:
    """Which games of a run an environment has, and how it encodes them for the policy."""

    config: Config
    games: int
    first_game: int  # number of the first one within the run
    starts: list[str | None]  # by game: the arena in which its episodes begin, None for the dungeon
    form: Form
    program: bytes | None  # its dumped state, to resume from
    most: int = MOST  # distinct observations that it keeps from one rollout to the next


class Arrays:
    """What an environment and the policy exchange at every step, in shared memory.

    n games, T steps of a rollout:

    action           int32 [n], the next action
    inputs           uint8 [size], the `inputs.Block` of the current observation
    running          int32 [n], the skill that acts next
    acted            int32 [n], the skill that acted
    reward           float32 [n, T]
    ended            int8 [n, T], `Ending`
    cut              bool [n], whether the step truncated an episode
    final_inputs     uint8 [m, size of a block of FEW], the last observations of those, in order

    files: the arrays of another process; without them, new ones are created.
    """

    def __init__(self, plan: Plan, files: tuple[int, int] | None = None) -> None:
        length, form = plan.config.train.rollout, plan.form
        self.inputs_block, self.final_block = Block(plan.games, form), Block(FEW, form)
        number = np.dtype(np.int32)
        steps = (length,)
        layout: Layout = {
            "inputs": ((self.inputs_block.size // plan.games,), np.dtype(np.uint8)),
            **dict.fromkeys(("action", "running", "acted"), ((), number)),
            "reward": (steps, np.dtype(np.float32)),
            "ended": (steps, np.dtype(np.int8)),
            "cut": ((), np.dtype(np.bool_)),
        }
        final: Layout = {"final_inputs": ((self.final_block.size,), np.dtype(np.uint8))}
        made, finals = files or (None, None)
        self._memory = observation.Block(layout, plan.games, made)
        self._finals = observation.Block(final, -(-plan.games // FEW), finals)
        self.files = self._memory.file, self._finals.file
        arrays = self._memory.arrays
        self.inputs = arrays["inputs"].reshape(-1)
        self.action, self.running, self.acted = arrays["action"], arrays["running"], arrays["acted"]
        self.reward, self.ended, self.cut = arrays["reward"], arrays["ended"], arrays["cut"]
        self.final_inputs = self._finals["final_inputs"]

    def close(self) -> None:
        self._memory.close()
        self._finals.close()


class Finished(NamedTuple):
    """The summary of a finished rollout."""

    counts: Counts
    seconds: Seconds  # since the beginning
    lost: int  # episodes, since the beginning
    met: list[Met]  # the observations, if requested
    snapshot: dict[str, Any] | None  # of the environment, if requested
    paid: Paid | None  # since the beginning, if requested
    sample: list[dict[str, Any]] | None = None  # of the episodes (`sample.Sample.kept`), with `paid`


class Environment:
    """The games of a plan. A context manager. It writes its state after each step to `arrays`.

    alive: called after every step that `restore` plays.
    Raises UserError for missing files, and when the program over skills fails.
    """

    def __init__(
        self, plan: Plan, arrays: Arrays, scorer: Scorer, alive: Callable[[], None] = lambda: None
    ) -> None:
        config, self._arrays, self._form = plan.config, arrays, plan.form.message
        path, skills = Path(config.compose.training), skills_of(config)
        source, balance = contract.read(path), config.train.balance
        self._stack = ExitStack()
        with self._stack:
            # The pool first: it starts processes, which is safest before there are threads.
            self._pool = self._stack.enter_context(
                open_pool(
                    config,
                    "train",
                    plan.games,
                    config.nethack.max_steps,
                    config.nethack.levels,
                    plan.starts,
                    plan.first_game,
                )
            )
            self._host = self._stack.enter_context(
                ProgramHost(
                    source,
                    skills,
                    plan.games,
                    config.run.seed,
                    str(path),
                    first_game=plan.first_game,
                    balance=balance,
                )
                if plan.program is None
                else ProgramHost.load(plan.program, source, skills, str(path))
            )
            self._stack = self._stack.pop_all()
        self._alive = alive
        self._in_dungeon = np.array([start is None for start in plan.starts])
        # Changes that no reward model reads would only add observations to score.
        self._untold = slice(columns_of(config.annotate.changes), None)
        self._reward = RewardFunction(scorer, config.reward, plan.games, plan.most)
        self._ends, self._forgotten = Ends(), Forgotten(len(skills))
        self._options = Options(self._host, plan.games)
        self._sample = Sample(config, self._pool, plan.first_game, plan.starts)
        self._wanted, self._forbidden = wanted(skills), forbidden(skills)
        self._achieved = np.zeros(plan.games, bool)  # something wanted, since the call began
        self._max_turns = np.array([skill.max_turns for skill in skills])
        self._skills, self._length = len(skills), config.train.rollout
        self._first = np.ones(plan.games, bool)
        self._inputs = arrays.inputs_block.views(arrays.inputs)
        self._finals = [arrays.final_block.views(block) for block in arrays.final_inputs]
        self.seconds = Seconds()
        self._begin_rollout()

    def __enter__(self) -> "Environment":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._pool.reset()
        self._options.advance(self._pool.state, np.ones(self._pool.games, bool))
        self._message = self._numbers(self._pool.obs["message"])
        self._show()

    def pay_by(self, scorer: Scorer) -> None:
        """Use this scorer from now on."""
        self._reward.score_by(scorer)

    def step(self) -> None:
        """Play the actions in the arrays, and write the results to the arrays."""
        pool, options, arrays, t = self._pool, self._options, self._arrays, self._step
        with self.seconds.of("host"):
            self._sample.step(arrays.action, options.running, options.switched, options.reason)
        with self.seconds.of("games"):
            pool.step(arrays.action)
        with self.seconds.of("host"):
            skill, ended = options.running, pool.ended.copy()
            over = ended != End.NOT
            reward = self._reward_of(skill, ended, over)
            arrays.acted[:] = skill
            np.equal(ended, End.TRUNCATED, out=arrays.cut)
            if over.any():
                self._show_final(skill)
                self._sample.end(ended)
                counted = over & self._in_dungeon
                count_episodes(self._counts, Episodes(counted, ended, pool.final_state, pool.cause))
                self._ends.add(pool.final_state["step"][counted], ended[counted], pool.cause[counted])
            self._achieved |= self._wanted.happened(skill, pool.events, pool.changes)
            did_forbidden = self._forbidden.happened(skill, pool.events, pool.changes)
            time_up = pool.state["turn"] - options.start_turn >= self._max_turns[skill]
        with self.seconds.of("program"):
            options.advance(pool.state, over)
        with self.seconds.of("host"):
            self._first = over
            arrays.reward[:, t] = reward
            arrays.ended[:, t] = endings(options.reason, ended, self._achieved, did_forbidden, time_up)
            self._achieved &= arrays.ended[:, t] == Ending.NOT
            self._acted[:, t], self._events[:, t], self._changes[:, t] = skill, pool.events, pool.changes
            self._actions[:, t], self._rows[:, t] = arrays.action, self._reward.row
            self._step += 1
            self._show()

    def finish_rollout(self, met: bool, snapshot: bool, paid: bool = False) -> Finished:
        """The summary of the rollout; starts the next one.

        met: whether to return the observations; snapshot: whether to return the state; paid: whether to
        return what was paid for.
        """
        arrays, counts = self._arrays, self._counts
        told = self._events, self._changes, self._actions
        count_steps(counts, Steps(self._acted, arrays.reward, arrays.ended, *told))
        self._reward.ledger.add(self._rows, self._acted, arrays.reward)
        self._begin_rollout()
        seen = self._reward.met() if met else []
        if self._reward.full:
            self._forgotten.add(Paid.of(self._reward, self._ends))
            self._reward.forget()
            self._message = self._numbers(self._pool.obs["message"])
        return Finished(
            counts,
            self.seconds,
            self._pool.lost,
            seen,
            self.snapshot() if snapshot else None,
            self._forgotten.and_now(Paid.of(self._reward, self._ends)) if paid else None,
            self._sample.kept() if paid else None,
        )

    def snapshot(self) -> dict[str, Any]:
        """The state between two rollouts, in types that msgpack writes."""
        games = self._pool.snapshot()
        return {
            "episode": games.episode,
            "actions": games.actions,
            "reward": self._reward.snapshot(),
            "options": self._options.snapshot(),
            "program": self._host.dump(),
            "first": self._first,
            "achieved": self._achieved.copy(),
            "ends": self._ends.snapshot(),
            "forgotten": self._forgotten.snapshot(),
            "sample": self._sample.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot; the plan must hold the snapshot's program."""
        self._pool.restore(Snapshot(np.array(snapshot["episode"]), list(snapshot["actions"])), self._alive)
        self._reward.restore(snapshot["reward"])
        self._options.restore(snapshot["options"])
        self._first, self._achieved = np.array(snapshot["first"]), np.array(snapshot["achieved"])
        self._ends.restore(snapshot["ends"])
        self._forgotten.restore(snapshot["forgotten"])
        self._sample.restore(snapshot["sample"])
        self._message = self._numbers(self._pool.obs["message"])
        self._show()

    def _begin_rollout(self) -> None:
        self._step = 0
        self._counts = no_counts(self._skills)
        shape = self._pool.games, self._length
        self._acted, self._actions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self._rows = np.zeros(shape, np.int64)  # of the reward function
        self._changes = np.zeros((*shape, self._pool.changes.shape[1]), np.int8)
        self._events = np.zeros((*shape, self._pool.events.shape[1]), np.int16)

    def _reward_of(self, skill: np.ndarray, ended: np.ndarray, over: np.ndarray) -> np.ndarray:
        """Rewards of the last step, float32 [n]."""
        pool = self._pool
        self._message = self._shown = self._numbers(pool.obs["message"])
        if over.any():
            self._shown = self._message.copy()
            self._shown[over] = self._numbers(pool.final["message"][over])
        changes = pool.changes.copy()
        depth = np.where(over, pool.final_state["depth"], pool.state["depth"])
        changes[:, self._untold] = 0
        changes[:, DEPTH_CHANGE] = depth_codes(self._options.start_depth, depth)
        reward = self._reward(self._shown, changes, skill, over)
        reward[ended == End.LOST] = 0  # the result of the step is unknown
        return reward

    def _numbers(self, message: np.ndarray) -> np.ndarray:
        return self._reward.messages.numbers(message)

    def _show(self) -> None:
        """Pack the current observations."""
        pool, running = self._pool, self._options.running
        message = self._reward.messages.read(self._form, self._message, pool.obs["message"])
        self._arrays.running[:] = running
        acting, every = np.maximum(running, 0), slice(None)
        shown = pool.obs, pool.state, message, self._first, acting, pool.marks, pool.allowed
        fill(self._inputs, *shown, every)

    def _show_final(self, skill: np.ndarray) -> None:
        """Pack the last observations of the truncated episodes."""
        pool, nothing = self._pool, np.zeros(FEW, bool)
        cut = np.flatnonzero(self._arrays.cut)
        for start, views in zip(range(0, len(cut), FEW), self._finals, strict=False):
            games = np.resize(cut[start : start + FEW], FEW)  # repeated up to FEW
            text = pool.final["message"][games]
            message = self._reward.messages.read(self._form, self._shown[games], text)
            acting = np.maximum(skill[games], 0)
            shown = pool.final, pool.final_state, message, nothing, acting, pool.final_marks, pool.allowed
            fill(views, *shown, games)
