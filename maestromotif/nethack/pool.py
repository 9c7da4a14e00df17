"""Many games stepped together by worker processes.

NetHack writes each game's observation straight into shared memory, so nothing is copied or pickled on the way
from the game to the learner. A game that ends begins its next episode at once; the last observation of the
ended one is kept in `final`, and `ended` says how it ended. Everything is a function of (purpose, seed,
actions): the number of workers changes nothing, and `snapshot` / `restore` bring games back by playing their
actions again.
"""

import logging
import multiprocessing as mp
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.game import End, Game, write_options
from maestromotif.nethack.keys import NUM_ACTIONS
from maestromotif.nethack.observation import ENGINE, FINAL, SCREEN, Block, Layout, engine_layout
from maestromotif.nethack.seeds import Purpose, episode_seeds
from maestromotif.nethack.state import CHANGES, TRACKED, Tracker

log = logging.getLogger("maestromotif")
IDLE = -1  # the action that leaves a game untouched


def _layout(screen: bool) -> Layout:
    engine = engine_layout(ENGINE + SCREEN if screen else ENGINE)
    ours: Layout = {
        "action": ((), np.dtype(np.int32)),
        "ended": ((), np.dtype(np.uint8)),
        "episode": ((), np.dtype(np.int64)),
        "state": ((len(TRACKED),), np.dtype(np.int32)),
        "changes": ((len(CHANGES),), np.dtype(np.int8)),
        "final_state": ((len(TRACKED),), np.dtype(np.int32)),
    }
    final = {f"final_{name}": engine[name] for name in FINAL}
    return {**engine, **ours, **final}


class _Rows:
    """The games of one worker, rows `first` to `last` of the block."""

    def __init__(self, block: Block, first: int, last: int, plan: "Plan", folder: Path) -> None:
        self._plan, self._first = plan, first
        self._arrays = {name: array[first:last] for name, array in block.arrays.items()}
        # NLE makes a folder a game with `tempfile`; in ours they vanish with the worker.
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        options = write_options(folder)
        engine = ENGINE + SCREEN if plan.screen else ENGINE
        self._games = [
            Game({name: self._arrays[name][i] for name in engine}, options) for i in range(last - first)
        ]
        self._tracker = Tracker(self._arrays["state"], self._arrays["changes"])

    def reset(self) -> None:
        """Begin, in every game, the episode whose number stands in the block."""
        for i in range(len(self._games)):
            self._begin(i)

    def step(self) -> None:
        arrays, games, limit = self._arrays, self._games, self._plan.max_steps
        actions, ended = arrays["action"].tolist(), arrays["ended"]
        ended[:] = End.NOT
        arrays["changes"][:] = 0
        moved = arrays["action"] != IDLE
        for i, action in enumerate(actions):
            if action != IDLE:
                ended[i] = games[i].step(action)
        # A game that is over shows nothing that could be tracked: its state stays that of the step before.
        self._tracker.update(arrays, [game.text for game in games], moved & (ended == End.NOT))
        arrays["final_state"][:] = arrays["state"]
        ended[moved & (ended == End.NOT) & (arrays["state"][:, TRACKED.index("step")] >= limit)] = (
            End.TRUNCATED
        )
        for i in np.flatnonzero(ended).tolist():
            if ended[i] == End.TRUNCATED:
                games[i].keep_final()
            for name in FINAL:
                arrays[f"final_{name}"][i] = games[i].final[name]
            changes = arrays["changes"][i].copy()
            arrays["episode"][i] += 1
            self._begin(i)
            arrays["changes"][i] = changes  # those of the step that ended the episode

    def close(self) -> None:
        for game in self._games:
            game.close()

    def _begin(self, i: int) -> None:
        plan = self._plan
        episode = int(self._arrays["episode"][i])
        self._games[i].reset(episode_seeds(plan.purpose, plan.seed, self._first + i, episode, plan.levels))
        self._tracker.begin(i, self._arrays)


@dataclass(frozen=True)
class Plan:
    """What a worker must know of the pool."""

    purpose: Purpose
    seed: int
    max_steps: int
    screen: bool
    levels: int | None


def _work(
    connection: Connection, memory: str, games: int, first: int, last: int, plan: Plan, folder: str
) -> None:
    """A worker process: obeys `r`eset, `s`tep and `q`uit, answers `k` when done or a traceback."""
    rows = None
    block = Block(_layout(plan.screen), games, memory)
    try:
        rows = _Rows(block, first, last, plan, Path(folder))
        connection.send_bytes(b"k")
        while (order := connection.recv_bytes()) != b"q":
            rows.reset() if order == b"r" else rows.step()
            connection.send_bytes(b"k")
    except (EOFError, ConnectionError):
        pass  # the parent is gone
    except Exception:
        connection.send_bytes(b"e" + traceback.format_exc().encode())
    finally:
        if rows is not None:
            rows.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Snapshot:
    """Enough to bring every game back: the episode each is in, and its actions since that began."""

    episode: np.ndarray  # int64 [N]
    actions: list[bytes]  # a byte a step, for each game


class GamePool:
    """N games in W processes.

    `obs[name]` [N, ...]: NLE observations (`observation.ENGINE`, with `screen` also `observation.SCREEN`).
    `state[name]` int32 [N]: tracked fields of GameState and the offsets of the stairs (`state.TRACKED`).
    `changes` int8 [N, 4]: what happened on the last step (`state.CHANGES`).
    `ended` uint8 [N]: `game.End` of the last step. Where it is not 0, `final[name]` and `final_state[name]`
    hold the last observation and state of the ended episode, and all the others the first ones of the next.
    For a game that is LOST they hold what they held before.

    The arrays are views of shared memory: they change with the next step, so copy what is kept.
    """

    def __init__(
        self,
        games: int,
        purpose: Purpose,
        seed: int,
        max_steps: int,
        workers: int | None = None,
        screen: bool = False,
        levels: int | None = None,
    ) -> None:
        self.games = games
        self.lost = 0  # episodes lost with a dead worker
        self._plan = Plan(purpose, seed, max_steps, screen, levels)
        try:
            self._block = Block(_layout(screen), games)
        except OSError as error:
            raise UserError(f"nethack.games: {games} games do not fit into shared memory: {error}") from error
        arrays = self._block.arrays
        self.obs: Mapping[str, np.ndarray] = {
            name: arrays[name] for name in (*ENGINE, *(SCREEN if screen else ()))
        }
        self.state = {name: arrays["state"][:, i] for i, name in enumerate(TRACKED)}
        self.final_state = {name: arrays["final_state"][:, i] for i, name in enumerate(TRACKED)}
        self.final = {name: arrays[f"final_{name}"] for name in FINAL}
        self.changes, self.ended, self.episode = arrays["changes"], arrays["ended"], arrays["episode"]
        self._log: list[bytearray] = [bytearray() for _ in range(games)]
        workers = min(games, workers or os.cpu_count() or 1)
        bounds = [games * i // workers for i in range(workers + 1)]
        self._ranges = list(pairwise(bounds))
        # Spawned, not forked: the learner's threads must not be copied into a game.
        self._context = mp.get_context("spawn")
        self._processes: list[mp.process.BaseProcess] = []
        self._folders: list[str] = []
        self._connections: list[Connection] = []
        try:
            for w in range(workers):
                self._start(w)
            for w in range(workers):
                self._answer(w)
        except BaseException:
            self.close()
            raise

    def reset(self, episode: np.ndarray | int = 0) -> None:
        """Begin the given episode in every game (numbers from 0, int [N] or one for all)."""
        self.episode[:] = episode
        for actions in self._log:
            actions.clear()
        self._order(b"r")
        self.ended[:] = End.NOT

    def step(self, actions: np.ndarray) -> None:
        """Play one action (int [N], `IDLE` leaves a game untouched) in every game.

        Raises ValueError for an action that does not exist, RuntimeError when a worker fails.
        """
        if ((actions < IDLE) | (actions >= NUM_ACTIONS)).any():
            raise ValueError(f"actions must be {IDLE} or lie in 0..{NUM_ACTIONS - 1}: {actions}")
        self._block["action"][:] = actions
        for log_of_game, action in zip(self._log, actions.tolist(), strict=True):
            if action != IDLE:
                log_of_game.append(action)
        self._order(b"s")
        for game in np.flatnonzero(self.ended):
            self._log[game].clear()

    def snapshot(self) -> Snapshot:
        return Snapshot(self.episode.copy(), [bytes(actions) for actions in self._log])

    def restore(self, snapshot: Snapshot) -> None:
        """Bring all games back to where they were; takes as long as their episodes took to play."""
        self.reset(snapshot.episode)
        length = max(map(len, snapshot.actions), default=0)
        played = np.full((length, self.games), IDLE, np.int32)
        for game, actions in enumerate(snapshot.actions):
            played[: len(actions), game] = np.frombuffer(actions, np.uint8)
        for row in played:
            self.step(row)
        if not np.array_equal(self.episode, snapshot.episode):
            raise RuntimeError("games did not replay as recorded; was NLE replaced since?")

    def close(self) -> None:
        for connection in self._connections:
            with suppress(ConnectionError):  # the worker is dead already
                connection.send_bytes(b"q")
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)  # workers that were killed could not do it
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._processes.clear()
        self._folders.clear()
        for views in (self.state, self.final_state, self.final):
            views.clear()
        self.obs, self.changes, self.ended, self.episode = {}, *(np.empty(0),) * 3
        self._block.unlink()
        self._block.close()

    def __enter__(self) -> "GamePool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, w: int) -> None:
        ours, theirs = self._context.Pipe()
        first, last = self._ranges[w]
        folder = tempfile.mkdtemp(prefix="maestromotif-")
        process = self._context.Process(
            target=_work,
            args=(theirs, self._block.memory.name, self.games, first, last, self._plan, folder),
            name=f"games-{first}-{last}",
            daemon=True,
        )
        self._folders[w : w + 1] = [folder]
        # Ctrl-C reaches every process of the terminal. Workers inherit this mask and end when told to.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._processes[w : w + 1] = [process]
        self._connections[w : w + 1] = [ours]

    def _order(self, order: bytes) -> None:
        for connection in self._connections:
            with suppress(ConnectionError):  # a dead worker is noticed when it is asked for its answer
                connection.send_bytes(order)
        for w in range(len(self._connections)):
            try:
                self._answer(w)
            except (EOFError, ConnectionError):
                self._replace(w)

    def _answer(self, w: int) -> None:
        answer = self._connections[w].recv_bytes()
        if answer != b"k":
            raise RuntimeError(f"worker of games {self._ranges[w]} failed:\n{answer[1:].decode()}")

    def _replace(self, w: int) -> None:
        """A worker died: start another, whose games begin their next episodes."""
        first, last = self._ranges[w]
        self._processes[w].join()
        code = self._processes[w].exitcode
        self._connections[w].close()
        shutil.rmtree(self._folders[w], ignore_errors=True)
        log.warning(
            "worker of games %d to %d died (exit code %s); its episodes are lost", first, last - 1, code
        )
        self.lost += last - first
        self._start(w)
        try:
            self._answer(w)
            self.episode[first:last] += 1
            self._connections[w].send_bytes(b"r")
            self._answer(w)
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(
                f"the worker of games {first} to {last - 1} died twice; out of memory?"
            ) from error
        self.changes[first:last] = 0
        self.ended[first:last] = End.LOST
