"""The collected observations, and the distinct items that are left when each is counted once.

An observation is what a reward model sees of a step: the message and the codes of what changed. The file
`observations.npz` tells more of each step, for whoever chooses among them: `events` int8 [S, E], how often
each of `event_names` [E] happened, and `depth` int8 [S], -1 where a recording does not show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack import events
from maestromotif.nethack.events import EVENTS
from maestromotif.preferences.caption import COLUMNS, caption

DEPTH = COLUMNS.index("depth")
SOURCES = ("explorer", "random", "arena", "recordings")
EXPLORER, RANDOM, ARENA, RECORDINGS = range(len(SOURCES))  # codes of `source`


@dataclass(frozen=True)
class Observations:
    """S steps of play, in the order in which they happened."""

    messages: np.ndarray  # S256 [M], distinct
    message_id: np.ndarray  # int32 [S]
    changes: np.ndarray  # int8 [S, 4], columns as in caption.COLUMNS
    source: np.ndarray  # int8 [S]: index of SOURCES


@dataclass(frozen=True)
class Items:
    """I distinct pairs of message and changes, ordered by message, then by changes."""

    messages: np.ndarray  # S256 [M]
    message_id: np.ndarray  # int32 [I]
    changes: np.ndarray  # int8 [I, 4], canonical
    count: np.ndarray  # int64 [I]: steps on which the item was seen

    def __len__(self) -> int:
        return len(self.message_id)

    def message(self, item: int) -> bytes:
        return bytes(self.messages[self.message_id[item]])

    def caption(self, item: int, spoken: Sequence[str]) -> str:
        """The item in English; the message as `text`."""
        return caption(text(self.message(item)), self.changes[item].tolist(), spoken)

    def message_list(self) -> list[bytes]:
        """The message of every item."""
        return [bytes(message) for message in self.messages[self.message_id]]


def event_kinds(items: Items) -> np.ndarray:
    """Of each item, int64 [I], the rarest event that its message tells (index of `EVENTS`); -1 for none."""
    told = np.array([events.read(bytes(message)).counts > 0 for message in items.messages])  # [M, E]
    told = told.reshape(len(items.messages), len(EVENTS))[items.message_id]
    rarity = np.where(told, told.sum(0), len(items) + 1)
    kinds: np.ndarray = np.where(told.any(1), rarity.argmin(1), -1)
    return kinds


def text(message: bytes) -> str:
    """A message as text. NetHack writes ASCII; any other byte becomes the Latin-1 character of its number."""
    return message.decode("latin-1")


def load(path: Path) -> Observations:
    """Reads `observations.npz`. Raises UserError if a part is missing or the parts do not fit each other."""
    try:
        with np.load(path) as file:
            parts = {name: file[name] for name in ("messages", "message_id", "changes", "source")}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a file of observations: {error}; run `collect` again") from error
    observations = Observations(**parts)
    steps = len(observations.message_id)
    if observations.changes.shape != (steps, len(COLUMNS)) or len(observations.source) != steps:
        raise UserError(
            f"{path}: message_id has {steps} steps, changes {observations.changes.shape}, "
            f"source {observations.source.shape}; run `collect` again"
        )
    return observations


def canonical(changes: np.ndarray, spoken: Sequence[str]) -> np.ndarray:
    """int8 [n, 4] -> int8 [n, 4]: what a caption tells of changes, and so what a reward may depend on.

    Columns that are not in `spoken` become 0. Where the depth changed and is spoken of, the others become 0
    too: on arrival everything on a level is new and the agent stands on stairs, which is no event beside
    the arrival.
    """
    kept = np.array(changes, np.int8, ndmin=2)
    for column, name in enumerate(COLUMNS):
        if name not in spoken:
            kept[:, column] = 0
    others = [column for column in range(len(COLUMNS)) if column != DEPTH]
    moved = kept[:, DEPTH] != 0
    kept[np.ix_(moved, others)] = 0
    return kept


def distinct(observations: Observations, spoken: Sequence[str]) -> Items:
    """The distinct items among the observations, with changes made canonical for `spoken`."""
    changes = canonical(observations.changes, spoken)
    rows = np.column_stack([observations.message_id, changes.astype(np.int32)])
    items, count = np.unique(rows, axis=0, return_counts=True)
    return Items(
        messages=observations.messages,
        message_id=items[:, 0].astype(np.int32),
        changes=items[:, 1:].astype(np.int8),
        count=count,
    )
