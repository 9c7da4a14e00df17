"""Many games stepped together by worker processes.

NetHack writes each game's observation directly into shared memory, so nothing is copied or pickled on the way
from the game to the learner. A game that ends begins its next episode at once; `final` keeps the last
observation of the ended episode, and `ended` says how it ended. Everything is a function of (purpose, seed,
actions): the number of workers, the loader and the division into parts change nothing. `snapshot` and
`restore` bring games back by playing their actions again.

The games may be divided into parts that are stepped in turn. Every worker has games of each part, so all
workers play one part while the policy chooses actions for another.
"""

import logging
import multiprocessing as mp
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.machine import available_cores, memory
from maestromotif.nethack import arena as arenas
from maestromotif.nethack.action_log import ActionLog, Snapshot
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.engine.loader import Loader, choose
from maestromotif.nethack.game import End, Pages, Setup
from maestromotif.nethack.observation import ENGINE, FINAL, Block, bytes_of
from maestromotif.nethack.pool.capacity import check_room
from maestromotif.nethack.pool.pipe import receive, send
from maestromotif.nethack.pool.processes import SharedFile, how_it_ended, may_lack_memory, start
from maestromotif.nethack.pool.worker import (
    DONE,
    IDLE,
    LOST,
    QUIT,
    RESET,
    STEP,
    USERS,
    Plan,
    files_of,
    layout,
    work,
)
from maestromotif.nethack.rcfile import CHARACTER, write_options
from maestromotif.nethack.seeds import EpisodeSeeds, Purpose
from maestromotif.nethack.temporary import no_room, scratch, temporary_folder
from maestromotif.nethack.tracker import TRACKED
from maestromotif.nethack.truth import TRUTH

__all__ = ["IDLE", "GamePool", "check_pools", "open_pool"]

log = logging.getLogger("maestromotif")

Arenas = str | Sequence[str | None] | None

_TRIES = 3
PATIENCE = 300.0  # seconds
_LITTLE = 200_000  # bytes: less room for temporary files than this is a likely reason of trouble


class _LostError(Exception):
    """The games of a worker cannot go on; says why."""


class GamePool:
    """N games in W processes.

    `obs[name]` [N, ...]: NLE observations (`observation.ENGINE` and those of `observe`).
    `state[name]` int32 [N]: tracked fields of GameState and the policy's senses (`tracker.TRACKED`).
    `changes` int8 [N, C] and `events` int16 [N, E]: what happened on the last step (`state.CHANGES`, and how
    often each of `events.EVENTS` did).
    `marks` uint8 [N, 21, 79] and `allowed` bool [N, actions]: what a player remembers of the level
    (`marks.Marks`), and the actions that are not useless now (`useless.Useless`). Kept only with `recall`;
    else all marks are 0 and all actions are allowed.
    `truth[name]` int32 [N]: what the game itself knows of the episode's dungeon (`truth.TRUTH`), from its
    beginning on. It is for judges of tasks; nothing that plays may read it.
    `ended` uint8 [N]: `game.End` of the last step. Where it is not 0, `final[name]`, `final_state[name]`,
    `final_marks` and `final_truth[name]` hold those of the ended episode's end; all other arrays except
    `changes` and `events` then hold the first ones of the next. `cause` S128 [N]: the cause of death in
    NetHack's words.
    For a game that is LOST with its worker, `final` and `final_state` hold what was seen last.

    The arrays are views of shared memory. The next step overwrites them, so copy what you keep.

    games: N. purpose, seed: determine the episodes' seeds (`seeds.episode_seeds`). max_steps: most steps of
    an episode. workers: W; None: one per core that this process may use. observe: further NLE observations.
    levels: number of dungeons; None: a new one every episode. arena: name or path of the arena in which
    episodes begin, for all games or one entry per game (`starts`); None: the dungeon. parts: number of groups
    that the games are divided into; `rows[part]` is the slice of the N games in each. first_game: number of
    the first of these games among those of all processes; it determines seeds. loader: see `engine.loader`.
    recall: whether to keep `marks` and `allowed`. character, options: see `rcfile.write_options`. seeds: of
    each game, those of its episodes in turn, then from the first again; None: those of purpose and seed.
    leave: whether the agent answers the question whether to leave the dungeon (`actions.LEAVE_QUESTION`), and
    so can end its episode with `End.LEFT`; else the answer is no. patience: seconds that a worker may take
    for a step or to start; one that takes longer is replaced.

    A worker that dies, hangs, or whose temporary files were removed is replaced, and its games are LOST.
    Raises UserError, before any game starts, for what does not exist or does not fit on this machine; later
    if a worker dies again as soon as it is replaced, or if there is no room for temporary files.
    """

    def __init__(
        self,
        games: int,
        purpose: Purpose,
        seed: int,
        max_steps: int,
        workers: int | None = None,
        *,
        observe: tuple[str, ...] = (),
        levels: int | None = None,
        arena: Arenas = None,
        parts: int = 1,
        first_game: int = 0,
        loader: Loader = "auto",
        character: str = CHARACTER,
        options: Path | None = None,
        pages: Pages = "last",
        recall: bool = False,
        seeds: Sequence[Sequence[EpisodeSeeds]] | None = None,
        leave: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self.starts = [arena] * games if arena is None or isinstance(arena, str) else list(arena)
        if len(self.starts) != games:
            raise UserError(f"{games} games need one arena each, but {len(self.starts)} are given")
        if not 1 <= parts <= games:
            raise UserError(f"{games} games cannot be divided into {parts} parts; use 1 to {games}")
        observe = tuple(name for name in observe if name not in ENGINE)
        arrays_of = layout(observe)
        chosen = choose(loader)
        workers = min(games // parts, workers or available_cores())
        check_room(games, workers, games * _bytes_a_game(observe), chosen, len({*self.starts} - {None}))
        self.games, self.recall, self._patience = games, recall, patience
        self.lost = 0  # episodes lost with a dead worker
        self._played = ActionLog(games)
        self._unreported = np.zeros(games, bool)  # lost games that `ended` has not reported yet
        self._processes: list[mp.process.BaseProcess] = []
        self._connections: list[Connection] = []
        self._pending: list[deque[int]] = []  # of each worker, parts without an answer yet
        self._lacked_memory = False  # perhaps, the worker that ended last
        self._lock: int | None
        self._folder, self._lock = temporary_folder()
        try:
            try:
                self._block = Block(arrays_of, games)
            except OSError as error:
                raise UserError(f"nethack.games: no shared memory for {games} games: {error}") from error
            self._view(observe)

            def setups() -> tuple[Setup, ...]:
                """Of each game, with the files that they need, which this writes into the pool's folder."""
                own_options = write_options(self._folder, character, options)
                setup = Setup(chosen, own_options, self._folder, pages=pages, leave=leave)
                built = {
                    start: None if start is None else arenas.build(start, self._folder / f"arena-{number}")
                    for number, start in enumerate(dict.fromkeys(self.starts))
                }
                return tuple(replace(setup, arena=built[start]) for start in self.starts)

            own = None if seeds is None else tuple(tuple(episodes) for episodes in seeds)
            self._setups = setups
            self._plan = Plan(
                games, first_game, purpose, seed, max_steps, observe, levels, recall, self._written(), own
            )
            self.rows = _shares(slice(0, games), parts)
            self._of_worker = list(zip(*(_shares(rows, workers) for rows in self.rows), strict=True))
            self._start_all(workers)
        except BaseException:
            self.close()
            raise

    def _view(self, observe: tuple[str, ...]) -> None:
        """Make the public arrays, which are views of the block."""
        arrays = self._block.arrays
        self.obs: Mapping[str, np.ndarray] = {name: arrays[name] for name in (*ENGINE, *observe)}
        self.state = {name: arrays["state"][:, i] for i, name in enumerate(TRACKED)}
        self.final_state = {name: arrays["final_state"][:, i] for i, name in enumerate(TRACKED)}
        self.final = {name: arrays[f"final_{name}"] for name in FINAL}
        self.final_marks = arrays["final_marks"]
        self.truth = {name: arrays["truth"][:, i] for i, name in enumerate(TRUTH)}
        self.final_truth = {name: arrays["final_truth"][:, i] for i, name in enumerate(TRUTH)}
        self.changes, self.events = arrays["changes"], arrays["events"]
        self.marks, self.allowed = arrays["marks"], arrays["allowed"]
        self.ended, self.cause, self.episode = arrays["ended"], arrays["cause"], arrays["episode"]

    def reset(self, episode: np.ndarray | int = 0) -> None:
        """Begin the given episode in every game (numbers from 0, int [N] or one for all).

        Raises UserError if workers die in every attempt.
        """
        self._played.clear(np.arange(self.games))
        for _ in range(_TRIES):
            self._unreported[:] = False
            self.episode[:] = episode
            for part in range(len(self.rows)):
                self._order(RESET, part)
            for part in range(len(self.rows)):
                self._collect(part)
            self.ended[:] = End.NOT
            if not self._unreported.any():  # else a worker died, and its games are in another episode
                return
        raise UserError(
            f"workers of the games died in each of {_TRIES} attempts to begin episodes{self._hint()}"
        )

    def step(self, actions: np.ndarray) -> None:
        """Play one action (int [N], `IDLE` leaves a game untouched) in every game.

        Raises ValueError for an action that does not exist, UserError and RuntimeError if a worker fails.
        """
        _check(actions)  # of all parts before any begins
        for part, rows in enumerate(self.rows):
            self._begin(actions[rows], part)
        for part in range(len(self.rows)):
            self.finish(part)

    def begin(self, actions: np.ndarray, part: int) -> None:
        """Start one action (int [n]) in every game of a part; `finish` must follow.

        Until then the part's arrays may change at any time; those of other parts do not.
        """
        _check(actions)
        self._begin(actions, part)

    def _begin(self, actions: np.ndarray, part: int) -> None:
        rows = self.rows[part]
        # A game that was lost in the meantime no longer shows what its action was chosen for.
        played = np.where(self._unreported[rows], IDLE, actions)
        self._block["action"][rows] = played
        moved = np.flatnonzero(played != IDLE)
        self._played.add(rows.start + moved, played[moved])
        self._order(STEP, part)

    def finish(self, part: int) -> None:
        """Wait until all games of the part have played."""
        rows = self.rows[part]
        self._collect(part)
        unreported = self._unreported[rows]
        if unreported.any():
            self.ended[rows][unreported] = End.LOST
            unreported[:] = False
        self._played.clear(rows.start + np.flatnonzero(self.ended[rows]))

    def snapshot(self) -> Snapshot:
        """The state of all games, for `restore`. Do not call it between `begin` and `finish`."""
        return Snapshot(self.episode.copy(), self._played.actions())

    def restore(self, snapshot: Snapshot, after_a_step: Callable[[], None] = lambda: None) -> None:
        """Bring all games back to where they were. It takes as long as their episodes took to play.

        Raises UserError like `step`, and RuntimeError if the games do not replay as they were played.
        """
        self.reset(snapshot.episode)
        length = max(map(len, snapshot.actions), default=0)
        played = np.full((length, self.games), IDLE, np.int32)
        for game, actions in enumerate(snapshot.actions):
            played[: len(actions), game] = np.frombuffer(actions, np.uint8)
        for row in played:
            self.step(row)
            after_a_step()
        if not np.array_equal(self.episode, snapshot.episode):
            raise RuntimeError("games did not replay as recorded; was NLE replaced since?")

    def close(self) -> None:
        """Stop the workers and release the arrays. Safe to call twice."""
        for connection in self._connections:
            with suppress(ConnectionError):  # the worker is already dead
                send(connection, QUIT)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join(10)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)  # workers that were killed could not remove theirs
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if hasattr(self, "_block"):
            for views in (self.state, self.final_state, self.final, self.truth, self.final_truth):
                views.clear()
            self.obs = {}
            self.changes = self.events = self.ended = self.cause = self.episode = np.empty(0)
            self.marks = self.allowed = self.final_marks = np.empty(0)
            self._block.close()
            del self._block

    def __enter__(self) -> "GamePool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_all(self, workers: int) -> None:
        for w in range(workers):
            self._start(w)
        for w in range(workers):
            try:
                self._answer(w)
            except (EOFError, ConnectionError, TimeoutError, _LostError) as error:
                raise UserError(
                    f"worker {w} of the games {self._ended(w, error)} at its start{self._hint()}"
                ) from error

    def _start(self, w: int) -> None:
        ours, theirs = Pipe()
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"worker-{w}-", dir=self._folder))
        except OSError as error:
            raise no_room(self._folder, error) from error
        plan = replace(self._plan, setups=tuple(replace(one, folder=folder) for one in self._plan.setups))
        process = start(
            lambda context: context.Process(
                target=work,
                args=(theirs, SharedFile(self._block.file), self._of_worker[w], plan),
                name=f"games-{w}",
                daemon=True,
            )
        )
        theirs.close()
        self._processes[w : w + 1] = [process]
        self._connections[w : w + 1] = [ours]
        self._pending[w : w + 1] = [deque()]

    def _order(self, order: bytes, part: int) -> None:
        for connection, pending in zip(self._connections, self._pending, strict=True):
            pending.append(part)
            with suppress(ConnectionError):  # a dead worker is noticed when it is asked for its answer
                send(connection, order + bytes([part]))

    def _collect(self, part: int) -> None:
        """Wait until every worker has finished its orders for this part."""
        for w, pending in enumerate(self._pending):
            try:
                while part in pending:
                    self._answer(w)
                    pending.popleft()
            except (EOFError, ConnectionError, TimeoutError, _LostError) as error:
                self._replace(w, error)

    def _answer(self, w: int) -> None:
        """Wait for a worker's answer. Raises EOFError or ConnectionError if it is dead, TimeoutError if it
        hangs, _LostError if its games cannot go on, UserError and RuntimeError for other failures.
        """
        if receive(self._connections[w], 1, self._patience) != DONE:
            said = self._connections[w].recv_bytes()
            kind, text = said[:1], said[1:].decode()
            if kind == LOST:
                raise _LostError(text)
            raise (
                UserError(text) if kind == USERS else RuntimeError(f"worker {w} of the games failed:\n{text}")
            )

    def _ended(self, w: int, error: Exception) -> str:
        """What happened to a worker, which is gone when this returns."""
        process = self._processes[w]
        hung = isinstance(error, TimeoutError)
        if hung:
            process.kill()
        process.join(10)
        self._lacked_memory = not hung and may_lack_memory(process)
        if hung:
            return f"did not answer for {self._patience:g} s and was stopped"
        if isinstance(error, _LostError):
            return f"cannot go on: {error}"
        return how_it_ended(process)

    def _hint(self) -> str:
        """What may be the reason of the last worker's death, for the end of a message."""
        free, there = memory(), self._folder if self._folder.exists() else self._folder.parent
        if (room := shutil.disk_usage(there).free) < _LITTLE:
            return f"; {there} has {room / 1e6:.1f} MB left: set TMPDIR to another folder"
        if not self._lacked_memory:
            return ""
        left = "" if free is None else f" ({free[1] / 1e9:.1f} GB are free)"
        return f"; if memory is too small{left}, lower nethack.games or nethack.workers"

    def _written(self) -> tuple[Setup, ...]:
        """The setups of the games, with their files in the pool's folder. Raises UserError."""
        try:
            return self._setups()
        except OSError as error:
            raise no_room(self._folder, error) from error

    def _mend_folder(self) -> None:
        """Make the pool's folder again if somebody has removed it, or a file that all games need."""
        if all(path.exists() for path in files_of(self._plan)):
            return
        gone = self._folder
        shutil.rmtree(gone, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._folder, self._lock = temporary_folder()
        log.warning("%s, the folder of the games' temporary files, was removed; now: %s", gone, self._folder)
        self._plan = replace(self._plan, setups=self._written())

    def _replace(self, w: int, error: Exception) -> None:
        """Replace a worker that is dead or cannot go on; its games begin their next episodes."""
        happened = self._ended(w, error)
        self._connections[w].close()
        games = np.concatenate([np.arange(rows.start, rows.stop) for rows in self._of_worker[w]])
        log.warning("worker %d %s; the episodes of its %d games are lost", w, happened, len(games))
        self._mend_folder()
        self.lost += len(games)
        arrays = self._block.arrays
        for name in ("state", "marks", "truth"):
            arrays[f"final_{name}"][games] = arrays[name][games]
        for name in FINAL:
            arrays[f"final_{name}"][games] = arrays[name][games]
        self._start(w)
        try:
            self._answer(w)
            self.episode[games] += 1
            for part in range(len(self.rows)):
                send(self._connections[w], RESET + bytes([part]))
                self._answer(w)
        except (EOFError, ConnectionError, TimeoutError, _LostError) as again:
            raise UserError(
                f"worker {w} of the games {happened}; the one that took its place {self._ended(w, again)}"
                f"{self._hint()}"
            ) from again
        self.changes[games] = 0
        self.events[games] = 0
        self._unreported[games] = True
        self._played.clear(games)


def open_pool(
    config: Config,
    purpose: Purpose,
    games: int,
    max_steps: int,
    levels: int | None = None,
    arena: Arenas = None,
    first_game: int = 0,
    seeds: Sequence[Sequence[EpisodeSeeds]] | None = None,
    leave: bool = False,
) -> GamePool:
    """A pool of games as the config's section `nethack` describes them, with the seeds of `run.seed`.

    The other parameters are those of `GamePool`. Raises UserError as it does.
    """
    settings = config.nethack
    return GamePool(
        games,
        purpose,
        config.run.seed,
        max_steps,
        settings.workers,
        levels=levels,
        arena=arena,
        first_game=first_game,
        loader=settings.loader,
        character=settings.character,
        options=Path(settings.options) if settings.options else None,
        pages=settings.pages,
        recall=config.train.network.recalls,
        seeds=seeds,
        leave=leave,
    )


def check_pools(config: Config, pools: int) -> None:
    """Raises UserError if the config's games, in `pools` pools at once, do not fit on this machine."""
    settings = config.nethack
    workers = pools * min(settings.games // pools, settings.workers or available_cores())
    check_room(settings.games, workers, settings.games * _bytes_a_game(()), choose(settings.loader))


def check_options(config: Config) -> None:
    """Raises UserError as `write_options` does for the config's hero and options file."""
    with scratch() as folder:
        options = config.nethack.options
        write_options(folder, config.nethack.character, None if options is None else Path(options))


def _bytes_a_game(observe: tuple[str, ...]) -> int:
    """Bytes of shared memory per game."""
    return sum(bytes_of(*array) for array in layout(observe).values())


def _shares(games: slice, count: int) -> list[slice]:
    """Divides games into so many shares, as even as can be."""
    number = games.stop - games.start
    bounds = [games.start + number * share // count for share in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def _check(actions: np.ndarray) -> None:
    if actions.min() < IDLE or actions.max() >= len(NAMES):
        raise ValueError(f"actions must be {IDLE} or lie in 0..{len(NAMES) - 1}: {actions}")
