"""A worker process: plays its games on command and writes their observations into shared memory."""

import os
import shutil
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import BrokenGameError, End, Setup
from maestromotif.nethack.marks import Marks
from maestromotif.nethack.observation import COLUMNS, ENGINE, FINAL, ROWS, Block, Layout, engine_layout
from maestromotif.nethack.pool.pipe import receive, send
from maestromotif.nethack.pool.processes import SharedFile, ends_with_its_parent
from maestromotif.nethack.seeds import EpisodeSeeds, Purpose, episode_seeds
from maestromotif.nethack.state import CHANGES
from maestromotif.nethack.temporary import no_room
from maestromotif.nethack.tracker import TRACKED, Tracker
from maestromotif.nethack.truth import TRUTH
from maestromotif.nethack.useless import Useless
from maestromotif.pipeline.refused import in_words, is_disk_full

IDLE = -1  # the action that leaves a game untouched
CAUSE_BYTES = 128

# Orders to a worker: one byte and the number of a part. Its answers: one byte (`pipe.py`). After FAILED the
# connection's own message says why: what kind of failure, and a text.
RESET, STEP, QUIT = b"r", b"s", b"q\0"
DONE, FAILED = b"k", b"e"
LOST, USERS, OURS = b"l", b"u", b"o"  # the games cannot go on; the user can put it right; a traceback


@dataclass(frozen=True)
class Plan:
    """What a worker must know about the pool."""

    games: int
    first_game: int  # its number among the games of all pools
    purpose: Purpose
    seed: int
    max_steps: int
    observe: tuple[str, ...]  # NLE observations in addition to ENGINE
    levels: int | None
    recall: bool  # whether to keep `marks` and `allowed`
    setups: tuple[Setup, ...]  # by game
    seeds: tuple[tuple[EpisodeSeeds, ...], ...] | None = None  # by game and episode, instead of by purpose


def layout(observe: tuple[str, ...]) -> Layout:
    """The arrays of the pool's shared memory."""
    engine = engine_layout(ENGINE + observe)
    ours: Layout = {
        "action": ((), np.dtype(np.int32)),
        "ended": ((), np.dtype(np.uint8)),
        "episode": ((), np.dtype(np.int64)),
        "state": ((len(TRACKED),), np.dtype(np.int32)),
        "changes": ((len(CHANGES),), np.dtype(np.int8)),
        "events": ((len(EVENTS),), np.dtype(np.int16)),
        "cause": ((), np.dtype(f"S{CAUSE_BYTES}")),
        "truth": ((len(TRUTH),), np.dtype(np.int32)),
        "marks": ((ROWS, COLUMNS), np.dtype(np.uint8)),
        "allowed": ((len(NAMES),), np.dtype(np.bool_)),
    }
    shown = {**engine, **ours}
    final = {f"final_{name}": shown[name] for name in (*FINAL, "state", "marks", "truth")}
    return {**engine, **ours, **final}


class _Rows:
    """Games `first` to `last` of the block, which are stepped together."""

    def __init__(self, block: Block, first: int, last: int, plan: Plan) -> None:
        self._plan, self._first = plan, first
        arrays = self._arrays = {name: array[first:last] for name, array in block.arrays.items()}
        engine = ENGINE + plan.observe
        self.games = [
            plan.setups[first + i].open({name: arrays[name][i] for name in engine})
            for i in range(last - first)
        ]
        self._tracker = Tracker(arrays["state"], arrays["changes"], arrays["events"])
        self._recall = plan.recall
        if plan.recall:
            state = {name: arrays["state"][:, i] for i, name in enumerate(TRACKED)}
            self._marks = Marks(arrays["marks"], [game.searches for game in self.games])
            leave = plan.setups[first].leave
            self._useless = Useless(arrays["allowed"], state, arrays["events"], self._marks, leave)
        else:
            arrays["allowed"][:] = True
        self._steps = arrays["state"][:, TRACKED.index("step")]

    def reset(self) -> None:
        """Begin in every game the episode whose number is in the block."""
        for i in range(len(self.games)):
            self._begin(i)

    def step(self) -> None:
        arrays, games, limit = self._arrays, self.games, self._plan.max_steps
        actions, ended = arrays["action"].tolist(), arrays["ended"]
        ended[:] = End.NOT
        arrays["changes"][:] = 0
        arrays["events"][:] = 0
        moved = arrays["action"] != IDLE
        for i, action in enumerate(actions):
            if action != IDLE and (end := games[i].step(action)):
                ended[i] = end
                self._tracker.over(i, games[i].text, end is End.DEATH)
        # A game that is over shows nothing to track: its state stays that of the previous step.
        goes_on = moved & (ended == End.NOT)
        self._tracker.update(arrays, [game.text for game in games], goes_on, arrays["action"])
        if self._recall:
            self._marks.update(arrays, arrays["action"], goes_on)
            self._useless.update(arrays, arrays["action"], goes_on)
        if self._steps.max() >= limit:
            ended[goes_on & (self._steps >= limit)] = End.TRUNCATED
        for i in ended.nonzero()[0].tolist():
            self._end(i)

    def _end(self, i: int) -> None:
        """Keep what the last step of the episode showed, and begin the next episode."""
        arrays, game = self._arrays, self.games[i]
        if arrays["ended"][i] == End.TRUNCATED:
            game.keep_final()
        arrays["cause"][i] = game.cause() if arrays["ended"][i] == End.DEATH else b""
        for name in ("state", "marks", "truth"):
            arrays[f"final_{name}"][i] = arrays[name][i]
        for name in FINAL:
            arrays[f"final_{name}"][i] = game.final[name]
        changes, events = arrays["changes"][i].copy(), arrays["events"][i].copy()
        arrays["episode"][i] += 1
        self._begin(i)
        arrays["changes"][i], arrays["events"][i] = changes, events

    def close(self) -> None:
        for game in self.games:
            game.close()

    def _begin(self, i: int) -> None:
        plan = self._plan
        game, episode = self._first + i, int(self._arrays["episode"][i])
        if plan.seeds is None:
            seeds = episode_seeds(plan.purpose, plan.seed, plan.first_game + game, episode, plan.levels)
        else:
            seeds = plan.seeds[game][episode % len(plan.seeds[game])]
        self.games[i].reset(seeds)
        self._arrays["truth"][i] = self.games[i].truth()
        self._tracker.begin(i, self._arrays, self.games[i].starting_letters)
        if self._recall:
            self._marks.begin(i, self._arrays)
            self._useless.begin(i, self._arrays)


def work(connection: Connection, memory: SharedFile, parts: Sequence[slice], plan: Plan) -> None:
    """Follow orders until QUIT or until the parent is gone.

    parts: the games of each part; parts are stepped in turn. Results are written into the block.
    An answer says that they are complete, or why not.
    """
    ends_with_its_parent()
    folder = plan.setups[0].folder
    # NLE makes a folder per game with `tempfile`; inside ours they are removed with the worker.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    rows: list[_Rows] = []
    block = Block(layout(plan.observe), plan.games, memory.detach())
    try:
        for part in parts:
            rows.append(_Rows(block, part.start, part.stop, plan))
        send(connection, DONE)
        while (order := receive(connection, 2)) != QUIT:
            own = rows[order[1]]
            own.reset() if order[:1] == RESET else own.step()
            send(connection, DONE)
    except (EOFError, ConnectionError):
        pass  # the parent is gone
    except Exception as error:
        with suppress(ConnectionError):  # the parent is gone
            send(connection, FAILED)
            connection.send_bytes(_failure(error, folder, plan, rows))
    finally:
        for own in rows:
            own.close()
        shutil.rmtree(folder, ignore_errors=True)


def _failure(error: Exception, folder: Path, plan: Plan, rows: list[_Rows]) -> bytes:
    if isinstance(error, OSError) and is_disk_full(error):
        error = no_room(folder, error)
    error = in_words(error, folder) or error
    if isinstance(error, UserError):
        return USERS + str(error).encode()
    if isinstance(error, BrokenGameError):
        return LOST + f"NetHack says: {error}".encode()
    own = [game.folder() for part in rows for game in part.games]
    if missing := next((path for path in (*files_of(plan), *own) if not path.exists()), None):
        return LOST + f"{missing} was removed".encode()
    return OURS + traceback.format_exc().encode()


def files_of(plan: Plan) -> set[Path]:
    """The files and folders of a pool that all its games need."""
    data = {setup.arena.hackdir / "nhdat" for setup in plan.setups if setup.arena is not None}
    return data | {Path(setup.options.removeprefix("@")) for setup in plan.setups}
