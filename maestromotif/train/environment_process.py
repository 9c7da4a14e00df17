"""An environment in its own process, so that several environments do not share one interpreter lock.

The data of every step is in shared memory; one byte each way signals that it is ready. The reward models are
in the learner's process: the environment requests scores only for observations that are new to it.
"""

import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np

from maestromotif.agent.reward import Scorer
from maestromotif.errors import UserError
from maestromotif.nethack.pool.pipe import receive, send
from maestromotif.nethack.pool.pool import PATIENCE as _OF_A_WORKER
from maestromotif.nethack.pool.processes import (
    GRACE,
    SharedFile,
    ends_with_its_parent,
    how_it_ended,
    may_lack_memory,
    start,
)
from maestromotif.pipeline.refused import in_words
from maestromotif.train.endings import Ending
from maestromotif.train.environment import Arrays, Environment, Finished, Plan
from maestromotif.train.speed import Seconds

log = logging.getLogger("maestromotif")

# Seconds that an order may take without a sign of life. A worker of the games may hang and be replaced.
PATIENCE = 3 * _OF_A_WORKER
_SLICE = 0.5  # seconds between two looks at it
_MOST_STEPS = 1 << 16  # to play again: a byte each per game

# Orders: play a step; call a method, whose name and arguments follow; quit.
_STEP, _CALL, _QUIT = b"s", b"c", b"q"
# Answers: done (after a call, its result follows); a request for scores of the observations that follow;
# failed (the exception follows); a sign of life.
_DONE, _ASK, _FAILED, _ALIVE = b"k", b"a", b"e", b"l"


class _GoneError(Exception):
    """The process is dead; says why, and whether memory may be the reason."""

    def __init__(self, why: str, lacked_memory: bool) -> None:
        super().__init__(why)
        self.lacked_memory = lacked_memory


class EnvironmentProcess:
    """`Environment` in another process. A context manager.

    scorer: gives the rewards. A process that dies, or gives no sign of life for `PATIENCE` seconds, is
    replaced: another one restores the last snapshot and plays again what was played since, so no game is lost
    and nothing else changes. Raises UserError like `Environment`; also if a process has to be replaced again
    before a rollout is finished, or after a worker of its games was lost in the same rollout.
    """

    def __init__(self, plan: Plan, scorer: Scorer) -> None:
        self._plan = plan
        self.arrays = Arrays(plan)
        self._past = _Past(plan, scorer)
        self._process = _Process(plan, self.arrays, scorer)
        self._replaced = False  # since the last rollout
        # Of the processes that were replaced, and of all of them until the last rollout.
        self._before, self._until = (Seconds(), 0), (Seconds(), 0)

    def __enter__(self) -> "EnvironmentProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()
        self.arrays.close()

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._order(lambda process: process.call("begin"))
        self._past.begun = True

    def pay_by(self, scorer: Scorer) -> None:
        """Use this scorer from now on; does nothing if it is already in use."""
        self._order(lambda process: process.pay_by(scorer))
        self._past.now = scorer

    def step(self, action: np.ndarray) -> None:
        """Play one action per game, int [n]; the results are in `arrays`."""
        try:
            self._process.step(action)
        except _GoneError as gone:
            self._order_again(lambda process: process.step(action), gone)
        self._past.actions.append(action.astype(np.uint8))

    def finish_rollout(self, met: bool, snapshot: bool, paid: bool = False) -> Finished:
        """The summary of the rollout; see `Environment.finish_rollout`."""
        past = self._past
        # Games that are played again do not lose their worker again, so they must not begin before that.
        anyway = snapshot or past.steps >= _MOST_STEPS or self._has_lost()
        finished: Finished = self._order(lambda process: process.call("finish_rollout", met, anyway, paid))
        self._replaced = False
        if finished.snapshot is None:
            past.rollouts.append((past.now, np.stack(past.actions), met))
            past.actions = []
        else:
            self._past = _Past(self._plan, past.now, finished.snapshot)
        self._until = _added(self._before[0], finished.seconds), self._before[1] + finished.lost
        seconds, lost = self._until
        return finished._replace(seconds=seconds, lost=lost, snapshot=finished.snapshot if snapshot else None)

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot instead of `begin`; the plan must hold the snapshot's program."""
        self._order(lambda process: process.call("restore", snapshot))
        self._past = _Past(self._plan, self._past.now, snapshot)

    def _order(self, order: Callable[["_Process"], Any]) -> Any:
        """Carry out an order; if the process is gone, in another one that comes to the same state first."""
        try:
            return order(self._process)
        except _GoneError as gone:
            return self._order_again(order, gone)

    def _order_again(self, order: Callable[["_Process"], Any], gone: _GoneError) -> Any:
        if self._replaced or self._has_lost():
            raise self._given_up(gone) from gone
        log.warning(
            "the process %s of the training %s; another one plays its last %d steps again",
            self._process.name,
            gone,
            self._past.steps,
        )
        self._replaced, self._before = True, self._until
        self._process.close()
        try:
            self._process = _Process(self._past.plan, self.arrays, self._past.scorer)
            self._past.play(self._process)
            return order(self._process)
        except _GoneError as again:
            raise self._given_up(again) from again

    def _has_lost(self) -> bool:
        """Whether games were lost in the rollout under way."""
        return _lost(self.arrays, len(self._past.actions))

    def _given_up(self, gone: _GoneError) -> UserError:
        hint = "; if memory is too small, lower nethack.games" if gone.lacked_memory else ""
        return UserError(
            f"the process {self._process.name} of the training {gone}{hint}; start the same command again "
            "to go on"
        )


class _Past:
    """What brings a new process to where another one is: a snapshot, and what happened since.

    snapshot: None before the first one. scorer: in use at the snapshot.
    """

    def __init__(self, plan: Plan, scorer: Scorer, snapshot: dict[str, Any] | None = None) -> None:
        self.plan = plan if snapshot is None else replace(plan, program=snapshot["program"])
        self.scorer = self.now = scorer
        self._snapshot = snapshot
        self.begun = snapshot is not None
        # Finished rollouts: scorer, actions uint8 [T, n], and whether the observations were requested.
        self.rollouts: list[tuple[Scorer, np.ndarray, bool]] = []
        self.actions: list[np.ndarray] = []  # uint8 [n], of the rollout under way

    @property
    def steps(self) -> int:
        """Steps of all games since the snapshot."""
        return sum(len(actions) for _, actions, _ in self.rollouts) + len(self.actions)

    def play(self, process: "_Process") -> None:
        if not self.begun:
            return
        process.call("begin") if self._snapshot is None else process.call("restore", self._snapshot)
        for scorer, actions, met in self.rollouts:
            process.pay_by(scorer)
            process.play(actions)
            process.call("finish_rollout", met, False, False)
        process.pay_by(self.now)
        process.play(self.actions)


class _Process:
    """One process with an environment. Its methods raise _GoneError when it dies or hangs.

    A thread kills the process if it hangs, because a message may be cut off anywhere.
    """

    def __init__(self, plan: Plan, arrays: Arrays, scorer: Scorer) -> None:
        self._arrays, self._scorer = arrays, scorer
        self._connection, theirs = Pipe()
        # Not a daemon: it has child processes. It ends on request, or when this process ends.
        self._process = start(
            lambda context: context.Process(
                target=_work,
                args=(theirs, tuple(map(SharedFile, arrays.files)), plan, scorer.thresholds),
                name=f"environment-{plan.first_game}",
            )
        )
        theirs.close()
        self.name = self._process.name
        self._ready = self._hung = False
        self._awaited, self._signs = False, 0  # whether it has something to do; its signs of life
        self._closed, self._patience = threading.Event(), PATIENCE
        self._watch = threading.Thread(target=self._stop_if_it_hangs, daemon=True, name=f"watch-{self.name}")
        self._watch.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def close(self) -> None:
        self._closed.set()
        self._watch.join()
        with suppress(ConnectionError):  # it has already ended
            send(self._connection, _QUIT)
        self._connection.close()
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(GRACE)

    def pay_by(self, scorer: Scorer) -> None:
        if scorer is not self._scorer:
            self._scorer = scorer
            self.call("pay_by", scorer.thresholds)

    def step(self, action: np.ndarray) -> None:
        self._arrays.action[:] = action
        self._begin()
        try:
            send(self._connection, _STEP)
            self._wait()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        finally:
            self._awaited = False

    def play(self, actions: Iterable[np.ndarray]) -> None:
        """Play the steps of a rollout, or its first ones, again."""
        steps = 0
        for action in actions:
            self.step(action)
            steps += 1
        if _lost(self._arrays, steps):
            raise _GoneError("lost a worker of its games", lacked_memory=True)

    def call(self, method: str, *arguments: Any) -> Any:
        self._begin()
        try:
            if not self._ready:
                self._wait()  # until the games have started and the program over skills is loaded
                self._ready = True
            send(self._connection, _CALL)
            self._connection.send((method, arguments))
            self._wait()
            return self._connection.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of a message
            raise self._gone() from error
        finally:
            self._awaited = False

    def _wait(self) -> None:
        """Wait until the order is done; meanwhile answer requests for scores."""
        while (answer := receive(self._connection, 1)) != _DONE:
            self._signs += 1
            if answer == _ASK:
                asked = self._connection.recv()
                self._awaited = False
                scores = self._scorer.score(*asked)
                self._awaited = True
                self._connection.send(scores)
            elif answer == _FAILED:
                raise self._connection.recv()

    def _begin(self) -> None:
        self._signs += 1
        self._awaited = True

    def _gone(self) -> _GoneError:
        self._process.join(1)
        if self._hung:
            return _GoneError(f"did not answer for {self._patience:g} s and was stopped", lacked_memory=False)
        return _GoneError(how_it_ended(self._process), may_lack_memory(self._process))

    def _stop_if_it_hangs(self) -> None:
        seen, waited = 0, 0.0
        while not self._closed.wait(_SLICE):  # of a stop of this process, one slice counts
            waited = waited + _SLICE if self._awaited and self._signs == seen else 0.0
            seen = self._signs
            if waited >= self._patience:
                self._hung = True
                self._process.kill()
                return


def _lost(arrays: Arrays, steps: int) -> bool:
    """Whether games were lost in the first steps of a rollout."""
    return bool((arrays.ended[:, :steps] == Ending.LOST).any())


def _added(one: Seconds, other: Seconds) -> Seconds:
    total = Seconds()
    for name, value in vars(one).items():
        setattr(total, name, value + getattr(other, name))
    return total


def _work(connection: Connection, files: Sequence[SharedFile], plan: Plan, thresholds: np.ndarray) -> None:
    """Carry out orders until the learner quits or ends."""
    ends_with_its_parent()

    def ask(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        send(connection, _ASK)
        connection.send((messages, changes))
        scores: np.ndarray = connection.recv()
        return scores

    def alive() -> None:
        send(connection, _ALIVE)

    memory, finals = (file.detach() for file in files)
    arrays = Arrays(plan, (memory, finals))
    try:
        with Environment(plan, arrays, Scorer(ask, thresholds), alive) as environment:
            send(connection, _DONE)
            while (order := receive(connection, 1)) != _QUIT:
                if order == _STEP:
                    environment.step()
                    send(connection, _DONE)
                else:
                    method, arguments = connection.recv()
                    if method == "pay_by":
                        arguments = (Scorer(ask, *arguments),)
                    result = getattr(environment, method)(*arguments)
                    send(connection, _DONE)
                    connection.send(result)
    except (EOFError, ConnectionError):
        pass  # the learner has ended
    except UserError as error:
        _fail(connection, error)
    except Exception as error:
        failed = RuntimeError(f"an environment failed:\n{traceback.format_exc()}")
        _fail(connection, in_words(error) or failed)


def _fail(connection: Connection, error: Exception) -> None:
    send(connection, _FAILED)
    connection.send(error)
