"""Demonstrations are played again, to see what the policy would have seen: the network's glance of each step.

Glances are kept in memory-mapped files, so that their number is limited by the disk. Recordings hold only
seeds and actions, so the same demonstrations serve any network.
"""

import errno
import json
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.messages import MessageTable
from maestromotif.agent.network import ActorCritic, unpack
from maestromotif.config.schema import Config
from maestromotif.demonstrate.recordings import Recording
from maestromotif.errors import UserError
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool, open_pool
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.refused import disk_full, is_disk_full
from maestromotif.pipeline.store import writing

_DONE = "done.json"
_TRIES = 3  # at games that are lost with a dead worker
_TOLD = ("skills", "labels")

_Look = Callable[[np.ndarray, np.ndarray], Any]  # (block, last action int32 [n]) -> glance


class Steps(NamedTuple):
    """All S steps of the recordings, one recording after the other."""

    glance: Any  # leaves [S, ...]
    first: np.ndarray  # bool [S]: the step begins a recording
    skill: np.ndarray  # int32 [S]
    label: np.ndarray  # int32 [S]; -1: no label


class Again:
    """Plays recordings again. The glances of their steps go to memory-mapped files in `folder`.

    hidden: bool [E], recordings in which the network does not see its last action.
    """

    def __init__(
        self,
        config: Config,
        network: ActorCritic,
        recordings: Sequence[Recording],
        hidden: np.ndarray,
        folder: Path,
    ) -> None:
        self._config, self._network, self._folder = config, network, folder
        self._recordings, self._hidden = recordings, hidden
        self._lengths = np.array([len(one.actions) for one in recordings])
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])

    def steps(self, progress: Progress) -> Steps:
        """All steps. If their files are complete, nothing is played.

        Raises UserError if a game does not play as recorded.
        """
        done, recordings = self._folder / _DONE, self._recordings
        self._glance = self._files("r" if done.is_file() else "w+")
        if done.is_file():
            progress.advance(int(self._starts[-1]))
        else:
            self._play_all(progress)
            for leaf in jax.tree.leaves(self._glance):
                leaf.flush()
            with writing(done) as file:
                file.write(json.dumps({"steps": int(self._starts[-1])}).encode())
        first = np.zeros(self._starts[-1], bool)
        first[self._starts[:-1]] = True
        skill, label = (np.concatenate([getattr(one, name) for one in recordings]) for name in _TOLD)
        return Steps(self._glance, first, skill, label)

    def _files(self, mode: Literal["r", "w+"]) -> Any:
        """A glance of arrays [S, ...]."""
        layout = Block(1, self._network.form)
        block, last = jnp.zeros(layout.size, jnp.uint8), jnp.zeros(1, jnp.int32)
        leaves, structure = jax.tree.flatten(
            jax.eval_shape(lambda: self._network.glance(unpack(layout, block), last))
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number, leaf in enumerate(leaves):
            path, shape = self._folder / f"{number}.npy", (int(self._starts[-1]), *leaf.shape[1:])
            files.append(np.lib.format.open_memmap(path, mode, leaf.dtype, shape))
            if mode == "w+":
                _take_room(path)
        return jax.tree.unflatten(structure, files)

    def _play_all(self, progress: Progress) -> None:
        """Recordings that begin in the same arena are played together, in waves of about the same length."""
        recordings, longest = self._recordings, int(self._lengths.max())
        order = sorted(range(len(recordings)), key=lambda e: (recordings[e].arena or "", -self._lengths[e]))
        for arena, numbers in groupby(order, key=lambda e: recordings[e].arena):
            group = list(numbers)
            games = min(self._config.nethack.games, len(group))
            waves = [group[start : start + games] for start in range(0, len(group), games)]
            # Games that are left over in the last wave stand still in one of its episodes.
            seeds = [[recordings[wave[game % len(wave)]].seeds for wave in waves] for game in range(games)]
            look = _look(self._network, games)
            with open_pool(self._config, "train", games, longest + 1, arena=arena, seeds=seeds) as pool:
                for number, wave in enumerate(waves):
                    self._play(pool, look, number, wave)
                    progress.advance(int(self._lengths[wave].sum()))

    def _play(self, pool: GamePool, look: _Look, number: int, wave: list[int]) -> None:
        for _ in range(_TRIES):
            pool.reset(number)
            if self._play_wave(pool, look, wave):
                return
        raise UserError(
            f"clone: workers died in each of {_TRIES} attempts at {pool.games} games; memory may be too "
            "small: lower nethack.games or nethack.workers"
        )

    def _play_wave(self, pool: GamePool, look: _Look, wave: list[int]) -> bool:
        """Play the recordings `wave` in the first games of the pool. False if a worker died."""
        games, form, messages = len(wave), self._network.form, MessageTable()
        layout = Block(pool.games, form)
        lengths, places, unseen = self._lengths[wave], self._starts[wave], self._hidden[wave]
        actions = np.full((lengths.max(), pool.games), IDLE, np.int32)
        skills = np.zeros((lengths.max(), pool.games), np.int32)
        for game, (number, length) in enumerate(zip(wave, lengths, strict=True)):
            actions[:length, game] = self._recordings[number].actions
            skills[:length, game] = self._recordings[number].skills
        last = np.full(pool.games, -1, np.int32)
        for t, action in enumerate(actions):
            text = pool.obs["message"]
            block, views = layout.allocate()
            message = messages.show(form.message, text)
            now = pool.obs, pool.state, message, np.full(pool.games, t == 0), skills[t]
            fill(views, *now, pool.marks, pool.allowed, slice(None))
            seen = look(block, last)
            playing = np.flatnonzero(t < lengths)
            for file, leaf in zip(jax.tree.leaves(self._glance), jax.tree.leaves(seen), strict=True):
                file[places[playing] + t] = np.asarray(leaf)[playing]
            pool.step(action)
            if (pool.ended == End.LOST).any():
                return False
            last = action.copy()
            last[:games][unseen] = -1
            over = pool.ended[:games] != End.NOT
            for game in np.flatnonzero((t + 1 == lengths) | (over & (t + 1 < lengths))).tolist():
                shown = checksum(pool.final if over[game] else pool.obs, game)
                recording = self._recordings[wave[game]]
                if t + 1 < lengths[game] or shown != recording.check:
                    raise UserError(
                        f"demonstrations: the episode with the seeds {tuple(recording.seeds)} does not play "
                        f"as recorded (seen after {t + 1} of {lengths[game]} steps): NLE or an arena has "
                        "changed since; make the demonstrations again"
                    )
        return True


def _take_room(path: Path) -> None:
    """Take a file's blocks now: where there are none left, writing to a mapped file kills the process.

    Raises UserError if the disk is full.
    """
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(path, error) from error
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that reserves nothing
                raise


def _look(network: ActorCritic, games: int) -> _Look:
    layout = Block(games, network.form)
    return jax.jit(lambda block, last: network.glance(unpack(layout, block), last))
