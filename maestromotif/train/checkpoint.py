"""Checkpoints of a training run: a thread writes them during training, and each is complete or ignored.

    <folder>/<updates>/<process>-of-<processes>.msgpack

A checkpoint has one file per process, with the state of that process's games. Process 0's file also holds
the state that all processes share. A folder that lacks a file, because a process was killed, is ignored.
"""

import shlex
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from maestromotif.machine import give_back_memory
from maestromotif.pipeline.store import writing
from maestromotif.pipeline.trees import read_tree, refusing, tree_bytes

FOLDER = ".scratch/checkpoints"  # in the work folder of `train`


class Checkpoints:
    """The checkpoints of one process. A context manager; on exit it waits for pending writes.

    keep: how many of the newest to keep.
    """

    def __init__(self, folder: Path, keep: int, process: int = 0, processes: int = 1) -> None:
        self._folder, self._keep = folder, keep
        self._process, self._processes = process, processes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def latest(self) -> int | None:
        """Number of updates at the newest checkpoint; None if there is no checkpoint."""
        found = self.complete()
        return found[-1] if found else None

    def file(self, updates: int) -> Path:
        """Path of this process's file in the checkpoint after `updates` updates."""
        return self._path(updates, self._process)

    def load(self, updates: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments `common` and `own` of `save`. Raises UserError if a file cannot be read."""
        common = _read(self._path(updates, 0))
        own = common if self._process == 0 else _read(self._path(updates, self._process))
        return dict(common["common"]), dict(own["own"])

    def save(self, updates: int, common: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        """Start to write a checkpoint, after the previous write is done. Do not change the arrays afterwards.

        common: the same in all processes; process 0 writes it. own: of this process. Both are trees of types
        that msgpack writes, with string keys. Raises the error of the previous write if it failed.
        """
        self.wait()
        self._writing = self._writer.submit(self._write, updates, dict(common), dict(own))

    def wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown()

    def _write(self, updates: int, common: dict[str, Any], own: dict[str, Any]) -> None:
        state = {"own": own, "common": common if self._process == 0 else {}}
        with writing(self._path(updates, self._process)) as file:
            file.write(tree_bytes(state))
        if self._process == 0:
            # Process 0 removes only what is older than the newest complete ones: others may lag behind.
            for old in self.complete()[: -self._keep]:
                shutil.rmtree(self._folder / f"{old:010d}", ignore_errors=True)
        give_back_memory()

    def _path(self, updates: int, process: int) -> Path:
        return self._folder / f"{updates:010d}" / f"{process}-of-{self._processes}.msgpack"

    def complete(self) -> list[int]:
        """Update numbers of all complete checkpoints, in order."""
        if not self._folder.is_dir():
            return []
        numbers = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
        return [n for n in numbers if all(self._path(n, p).is_file() for p in range(self._processes))]


def _read(path: Path) -> dict[str, Any]:
    remedy = f"remove {shlex.quote(str(path.parent))} to resume from the previous one"
    state = read_tree(path, "a checkpoint", "common", "own", remedy=remedy)
    with refusing(path, "a checkpoint", remedy):
        if not all(isinstance(state[part], dict) for part in ("common", "own")):
            raise TypeError("'common' and 'own' must be maps")
    return state
