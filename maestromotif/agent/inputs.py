"""The data that goes from the games to the device: integers as NetHack wrote them, one block per step.

The host computes nothing that the device can compute: the jitted step crops the maps and scales statistics
and senses. One block is one transfer, and its size is the traffic. The processes of the games pack it,
without JAX.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from maestromotif.agent.messages import WORDS
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.observation import COLUMNS, INVENTORY, MESSAGE_BYTES, ROWS
from maestromotif.nethack.tracker import SENSES

BLSTATS = 27
FEW = 8  # last observations of truncated episodes whose values one call computes
_FLAGS = ("downstairs_seen", "upstairs_seen", "on_downstairs", "on_upstairs")
SENSED = (*SENSES, *_FLAGS)

# How a trunk reads messages: hashed words or single characters.
MessageForm = Literal["words", "characters"]
_MESSAGE: dict[MessageForm, tuple[int, type]] = {
    "words": (WORDS, np.uint16),
    "characters": (MESSAGE_BYTES, np.uint8),
}


class Form(NamedTuple):
    """Which inputs a network reads: how messages are encoded, and whether there are marks of the map."""

    message: MessageForm
    marks: bool = False


Array = Any  # on the host or on the device


class Inputs(NamedTuple):
    """The network's inputs for n games, as integers."""

    chars: Array  # uint8 [n, 21, 79]
    colors: Array  # uint8 [n, 21, 79]
    blstats: Array  # int32 [n, 27], raw
    message: Array  # uint16 [n, WORDS] hashed words, or uint8 [n, 256] characters
    senses: Array  # int32 [n, 9]: offsets of remembered stairs, steps without moving, stairs seen, stood on
    inventory: Array  # uint8 [n, 55]: the class of each item
    marks: Array  # uint8 [n, 21, 79], bits of `nethack.marks`; [n, 0, 0] if the network does not read them
    allowed: Array  # bool [n, all actions]: actions that are not useless (`nethack.useless`)
    first: Array  # bool [n]: the observation begins an episode
    skill: Array  # int32 [n]: the one that acts


class Block:
    """The layout of `Inputs` of n games in one array of `size` bytes."""

    def __init__(self, games: int, form: Form) -> None:
        length, kind = _MESSAGE[form.message]
        fields: list[tuple[tuple[int, ...], type]] = [
            ((ROWS, COLUMNS), np.uint8),
            ((ROWS, COLUMNS), np.uint8),
            ((BLSTATS,), np.int32),
            ((length,), kind),
            ((len(SENSED),), np.int32),
            ((INVENTORY,), np.uint8),
            ((ROWS, COLUMNS) if form.marks else (0, 0), np.uint8),
            ((len(NAMES),), np.bool_),
            ((), np.bool_),
            ((), np.int32),
        ]
        self.parts: list[tuple[slice, tuple[int, ...], np.dtype]] = []  # place, shape and dtype of each field
        self.size = 0
        for shape, kind in fields:
            start, dtype = self.size, np.dtype(kind)
            self.size += games * int(np.prod(shape)) * dtype.itemsize
            self.parts.append((slice(start, self.size), (games, *shape), dtype))

    def allocate(self) -> tuple[np.ndarray, Inputs]:
        """A new block uint8 [size], and views of its parts to fill."""
        block = np.empty(self.size, np.uint8)
        return block, self.views(block)

    def views(self, block: np.ndarray) -> Inputs:
        """The parts of a block, as arrays that share its memory."""
        return Inputs(*(block[place].view(dtype).reshape(shape) for place, shape, dtype in self.parts))


def fill(
    views: Inputs,
    obs: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    message: np.ndarray,
    first: np.ndarray,
    skill: np.ndarray,
    marks: np.ndarray,
    allowed: np.ndarray,
    rows: slice | np.ndarray,
) -> None:
    """Write what the games `rows` show to a block's views; message, first and skill are those rows'."""
    for name in ("chars", "colors", "blstats"):
        getattr(views, name)[...] = obs[name][rows]
    views.inventory[...] = obs["inv_oclasses"][rows]
    for column, name in enumerate(SENSED):
        views.senses[:, column] = state[name][rows]
    views.message[...] = message
    views.first[...] = first
    views.skill[...] = skill
    views.allowed[...] = allowed[rows]
    if views.marks.size:
        views.marks[...] = marks[rows]
