"""Observations of a game: names, shapes and dtypes, and the block of shared memory that holds all games.

The arrays have a leading game axis. NetHack writes its part directly into the block.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np
from nle.nethack import OBSERVATION_DESC

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.engine.memory import file_in_memory

ROWS, COLUMNS = 21, 79
MESSAGE_BYTES = 256
INVENTORY = 55  # maximum number of items

# Written by NetHack at every step. Inventory glyphs give an item's true kind, not its appearance.
ENGINE = (
    "glyphs",
    "chars",
    "colors",
    "blstats",
    "message",
    "misc",
    "program_state",
    "inv_glyphs",
    "inv_letters",
    "inv_oclasses",
)
# Only for recording replays: it costs a quarter of the game's speed.
SCREEN = ("tty_chars", "tty_colors", "tty_cursor")

# The part of an episode's last observation that is kept when the next episode begins.
FINAL = ("chars", "colors", "blstats", "message", "inv_oclasses")

# Indices of blstats (NLE 1.3.0, `nle.nethack.NLE_BL_*`).
X, Y, HP, MAX_HP, DEPTH, GOLD, ENERGY, XP_LEVEL, TURN, HUNGER, DUNGEON, LEVEL, CONDITION = (
    0,
    1,
    10,
    11,
    12,
    13,
    14,
    18,
    20,
    21,
    23,
    24,
    25,
)

Layout = Mapping[str, tuple[tuple[int, ...], np.dtype]]


def engine_layout(names: Iterable[str]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype, for one game, of each named NLE observation. Raises UserError for an unknown name."""
    layout = {}
    for name in names:
        if name not in OBSERVATION_DESC:
            hint = did_you_mean(name, sorted(OBSERVATION_DESC))
            raise UserError(f"NLE has no observation {name!r}{hint}")
        description = OBSERVATION_DESC[name]
        layout[name] = (tuple(description["shape"]), np.dtype(description["dtype"]))
    return layout


class Block:
    """Named arrays `[games, ...]` in one block of memory that processes share.

    The memory has no name, so nothing is left behind: it is freed when the last process closes its file.
    `file` attaches to the block of another process; without it a new one is made. Raises OSError if there is
    not enough memory.
    """

    def __init__(self, layout: Layout, games: int, file: int | None = None) -> None:
        offsets, size = {}, 0
        for key, (shape, dtype) in layout.items():
            offsets[key] = size
            size += -(-games * bytes_of(shape, dtype) // 64) * 64
        self.file = _anonymous_file(size) if file is None else file
        self._memory = mmap.mmap(self.file, size)
        self.arrays = {
            key: np.ndarray((games, *shape), dtype, self._memory, offsets[key])
            for key, (shape, dtype) in layout.items()
        }

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def close(self) -> None:
        """Release the memory; arrays that are still in use keep it alive."""
        self.arrays.clear()
        os.close(self.file)


def bytes_of(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def _anonymous_file(size: int) -> int:
    """A file of zeros without a name, in memory if the system allows it. Raises OSError."""
    try:
        file = file_in_memory("maestromotif")
    except OSError:
        pass
    else:
        os.truncate(file, size)
        return file
    # Its blocks are taken now: where there are none left, a later write would kill the process.
    for folder in ("/dev/shm", tempfile.gettempdir()):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder) as unlinked:
            os.posix_fallocate(unlinked.fileno(), 0, size)
            return os.dup(unlinked.fileno())
    raise OSError(errno.ENOSPC, f"no room for {size / 1e6:.0f} MB in /dev/shm or {tempfile.gettempdir()}")
