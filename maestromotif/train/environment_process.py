"""An environment in its own process, so that several environments do not share one interpreter lock.

The data of every step is in shared memory; one byte each way signals that it is ready. The reward models are
in the learner's process: the environment requests scores only for observations that are new to it.
"""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np

from maestromotif.agent.reward import Scorer
from maestromotif.errors import UserError
from maestromotif.nethack.pool.pipe import receive, send
from maestromotif.nethack.pool.processes import GRACE, SharedFile, ends_with_its_parent, start
from maestromotif.pipeline.refused import in_words
from maestromotif.train.environment import Arrays, Environment, Finished, Plan

# Orders: play a step; call a method, whose name and arguments follow; quit.
_STEP, _CALL, _QUIT = b"s", b"c", b"q"
# Answers: done (after a call, its result follows); a request for scores of the observations that follow;
# failed (the exception follows).
_DONE, _ASK, _FAILED = b"k", b"a", b"e"


class EnvironmentProcess:
    """`Environment` in another process. A context manager.

    scorer: gives the rewards. Raises UserError like `Environment`, and if the process has ended.
    """

    def __init__(self, plan: Plan, scorer: Scorer) -> None:
        self._scorer = scorer
        self.arrays = Arrays(plan)
        self._connection, theirs = Pipe()
        # Not a daemon: it has child processes. It ends on request, or when this process ends.
        self._process = start(
            lambda context: context.Process(
                target=_work,
                args=(theirs, tuple(map(SharedFile, self.arrays.files)), plan, scorer.thresholds),
                name=f"environment-{plan.first_game}",
            )
        )
        theirs.close()

    def __enter__(self) -> "EnvironmentProcess":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ConnectionError):  # it has already ended
            send(self._connection, _QUIT)
        self._connection.close()
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(GRACE)
        self.arrays.close()

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._wait()  # until the games have started and the program over skills is loaded
        self._call("begin")

    def pay_by(self, scorer: Scorer) -> None:
        """Use this scorer from now on; does nothing if it is already in use."""
        if scorer is not self._scorer:
            self._scorer = scorer
            self._call("pay_by", scorer.thresholds)

    def step(self, action: np.ndarray) -> None:
        """Play one action per game, int [n]; the results are in `arrays`."""
        self.arrays.action[:] = action
        with self._gone_is_an_error():
            send(self._connection, _STEP)
        self._wait()

    def finish_rollout(self, met: bool, snapshot: bool, paid: bool = False) -> Finished:
        """The summary of the rollout; see `Environment.finish_rollout`."""
        finished: Finished = self._call("finish_rollout", met, snapshot, paid)
        return finished

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a snapshot instead of `begin`; the plan must hold the snapshot's program."""
        self._wait()
        self._call("restore", snapshot)

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._gone_is_an_error():
            send(self._connection, _CALL)
            self._connection.send((method, arguments))
        self._wait()
        with self._gone_is_an_error():
            return self._connection.recv()

    def _wait(self) -> None:
        """Wait until the order is done; meanwhile answer requests for scores."""
        with self._gone_is_an_error():
            while (answer := receive(self._connection, 1)) == _ASK:
                self._connection.send(self._scorer.score(*self._connection.recv()))
            if answer == _FAILED:
                raise self._connection.recv()

    @contextmanager
    def _gone_is_an_error(self) -> Iterator[None]:
        """A process can end between any two messages: before an order is sent, or while it runs."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            self._process.join(1)
            code = self._process.exitcode
            raise UserError(
                f"the process {self._process.name} of the training died (exit code {code}); if memory is too "
                "small, lower nethack.games; start the same command again to go on"
            ) from error


def _work(connection: Connection, files: Sequence[SharedFile], plan: Plan, thresholds: np.ndarray) -> None:
    """Carry out orders until the learner quits or ends."""
    ends_with_its_parent()

    def ask(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        send(connection, _ASK)
        connection.send((messages, changes))
        scores: np.ndarray = connection.recv()
        return scores

    memory, finals = (file.detach() for file in files)
    arrays = Arrays(plan, (memory, finals))
    try:
        with Environment(plan, arrays, Scorer(ask, thresholds)) as environment:
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
