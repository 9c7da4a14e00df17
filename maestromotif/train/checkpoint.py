"""Checkpoints of a training run: written beside it while it goes on, each whole or not there.

    <folder>/<updates>/<process>-of-<processes>.msgpack

A checkpoint has one file of every process: the games are its own, and the first one's also holds what all
have in common. A folder that lacks a file, because a process was killed first, is no checkpoint.
"""

import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flax import serialization

from maestromotif.errors import UserError
from maestromotif.pipeline.store import writing


class Checkpoints:
    """Those of one process; a context manager, which waits for what is being written.

    keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int, process: int = 0, processes: int = 1) -> None:
        self._folder, self._keep = folder, keep
        self._process, self._processes = process, processes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def latest(self) -> int | None:
        """Updates after which the newest checkpoint was written; None where there is none."""
        found = self._whole()
        return found[-1] if found else None

    def file(self, updates: int) -> Path:
        """Of this process, in the checkpoint after so many updates."""
        return self._path(updates, self._process)

    def load(self, updates: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `save` was given: common and own. Raises UserError where a file cannot be read."""
        common = _read(self._path(updates, 0))
        own = common if self._process == 0 else _read(self._path(updates, self._process))
        return common["common"], own["own"]

    def save(self, updates: int, common: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        """Begin to write; waits for the one before. The arrays must not change any more.

        common: the same in all processes, written by the first. own: of this process. Trees of what msgpack
        writes, with string keys. Raises what went wrong with the one before.
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
            file.write(serialization.msgpack_serialize(state))
        if self._process == 0:
            # By whoever is first, only what is older than enough whole ones: the others may lag behind.
            for old in self._whole()[: -self._keep]:
                shutil.rmtree(self._folder / f"{old:010d}", ignore_errors=True)

    def _path(self, updates: int, process: int) -> Path:
        return self._folder / f"{updates:010d}" / f"{process}-of-{self._processes}.msgpack"

    def _whole(self) -> list[int]:
        """Numbers of all checkpoints that no process's file is missing of, in order."""
        if not self._folder.is_dir():
            return []
        numbers = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
        return [n for n in numbers if all(self._path(n, p).is_file() for p in range(self._processes))]


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = serialization.msgpack_restore(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read as a checkpoint: {error}; remove {path.parent} to go on from the one "
            "before"
        ) from error
    return state
