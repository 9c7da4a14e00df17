"""What is observed of a game: names, shapes and dtypes, and the block of shared memory that holds all games.

The arrays have a leading game axis. NetHack itself writes its part straight into the block.
"""

from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from nle.nethack import OBSERVATION_DESC

ROWS, COLUMNS = 21, 79
MESSAGE_BYTES = 256

# Written by NetHack at every step. Inventory glyphs tell what an item is, whatever its appearance.
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
# Asked for only where a replay is recorded: it costs a quarter of the game's speed.
SCREEN = ("tty_chars", "tty_colors", "tty_cursor")

# The part of an episode's last observation that is kept when the game goes on with the next episode.
FINAL = ("chars", "colors", "blstats", "message")

# Indices of blstats (NLE 1.3.0, `nle.nethack.NLE_BL_*`).
X, Y, HP, MAX_HP, DEPTH, GOLD, ENERGY, XP_LEVEL, TURN, HUNGER, DUNGEON, LEVEL = (
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
)

Layout = Mapping[str, tuple[tuple[int, ...], np.dtype]]


def engine_layout(names: tuple[str, ...]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype, for one game, of each named NLE observation."""
    return {
        name: (tuple(OBSERVATION_DESC[name]["shape"]), np.dtype(OBSERVATION_DESC[name]["dtype"]))
        for name in names
    }


class Block:
    """Named arrays `[games, ...]` in one piece of shared memory.

    The creator must call `unlink` once; everybody who attaches calls `close`.
    """

    def __init__(self, layout: Layout, games: int, name: str | None = None) -> None:
        offsets, size = {}, 0
        for key, (shape, dtype) in layout.items():
            offsets[key] = size
            bytes_needed = games * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            size += -(-bytes_needed // 64) * 64
        # A spawned worker shares its parent's resource tracker, so attaching registers nothing twice.
        self.memory = SharedMemory(name, create=name is None, size=size)
        self.arrays = {
            key: np.ndarray((games, *shape), dtype, self.memory.buf, offsets[key])
            for key, (shape, dtype) in layout.items()
        }

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def close(self) -> None:
        """Let go of the memory; arrays that somebody still holds keep their part of it alive."""
        self.arrays.clear()
        with suppress(BufferError):
            self.memory.close()

    def unlink(self) -> None:
        self.memory.unlink()
