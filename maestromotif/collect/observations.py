"""The collected observations, and the distinct items among them.

An observation is what a reward model sees of a step: the message and the codes of what changed. The file
`observations.npz` has more on each step, so that steps can be selected: `events` int8 [S, E], how often each
of `event_names` [E] happened; `depth` int8 [S], -1 where a recording does not show it; `status` and
`episode`, from which captions can tell a judge about statistics (`statistics.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maestromotif.collect.captions import Telling, caption
from maestromotif.collect.statistics import NUMBERS, codes
from maestromotif.errors import UserError
from maestromotif.nethack import events
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE, FIRST_COLUMNS, columns_of
from maestromotif.reading import INTEGER, read_arrays

FILE = "observations.npz"
EPISODES = "episodes.json"  # a row an episode: source, steps, deepest, end, cause of death

SOURCES = ("explorer", "random", "arena", "recordings")
EXPLORER, RANDOM, ARENA, RECORDINGS = range(len(SOURCES))  # codes of `source`


@dataclass(frozen=True)
class Observations:
    """S steps, in order of play."""

    messages: np.ndarray  # S256 [M], distinct
    message_id: np.ndarray  # int32 [S]
    changes: np.ndarray  # int8 [S, C], columns as in nethack.state.CHANGES
    source: np.ndarray  # int8 [S]: index of SOURCES
    status: np.ndarray | None = None  # int32 [S, 5], see `statistics.py`; None in files of earlier versions
    episode: np.ndarray | None = None  # int32 [S]; likewise


@dataclass(frozen=True)
class Items:
    """I distinct observations as captions describe them, sorted by message, changes and statistics."""

    messages: np.ndarray  # S256 [M]
    message_id: np.ndarray  # int32 [I]
    changes: np.ndarray  # int8 [I, columns_of(spoken)], canonical
    count: np.ndarray  # int64 [I]: steps on which the item was seen
    statistics: dict[str, np.ndarray] = field(default_factory=dict)  # int8 [I], codes of each one in captions
    horizon: int = 1  # steps over which these changed

    def __len__(self) -> int:
        return len(self.message_id)

    def message(self, item: int) -> bytes:
        return bytes(self.messages[self.message_id[item]])

    def caption(self, item: int, spoken: Sequence[str], telling: Telling = "events") -> str:
        """The item in English; `text` decodes its message."""
        statistics = {name: int(code[item]) for name, code in self.statistics.items()}
        message, changes = text(self.message(item)), self.changes[item].tolist()
        return caption(message, changes, spoken, statistics, self.horizon, telling)

    def message_list(self) -> list[bytes]:
        """The message of every item."""
        return [bytes(message) for message in self.messages[self.message_id]]


def rarest_told(items: Items) -> np.ndarray:
    """int64 [I]: a number for the rarest thing that each item tells.

    That is an event of its message, a code of a change, or a code of a statistic. Of the items that tell
    nothing, those with a message have one number and those without another.
    """
    events_m = np.array([events.read(bytes(message)).counts > 0 for message in items.messages])
    told = [events_m.reshape(len(items.messages), len(EVENTS))[items.message_id]]
    for codes_i in (*items.changes.T, *items.statistics.values()):
        told.append(codes_i[:, None] == np.arange(1, codes_i.max(initial=0) + 1))
    silent_m = np.array([not bytes(message).strip() for message in items.messages], bool)
    silent = silent_m[items.message_id][:, None]
    told_ij = np.concatenate([*told, silent, ~silent], axis=1)
    rarity = told_ij.sum(0)
    rarity[-2:] += len(items) * 2  # only of items that tell nothing else
    rarest: np.ndarray = np.where(told_ij, rarity, np.iinfo(np.int64).max).argmin(1)
    return rarest


def text(message: bytes) -> str:
    """A message decoded as Latin-1. NetHack writes ASCII; Latin-1 also accepts every other byte."""
    return message.decode("latin-1")


def load(folder: Path) -> Observations:
    """Reads `observations.npz` in `folder`. Raises UserError if an array is missing or shapes differ."""
    path = folder / FILE
    parts = read_arrays(
        path,
        {"messages": "S", "message_id": INTEGER, "changes": INTEGER, "source": INTEGER},
        optional={"status": INTEGER, "episode": INTEGER},
        remedy="run `collect` again",
    )
    changes = parts["changes"]
    if changes.ndim == 2 and FIRST_COLUMNS <= changes.shape[1] < len(CHANGES):  # of an earlier version
        parts["changes"] = np.pad(changes, ((0, 0), (0, len(CHANGES) - changes.shape[1])))
    observations = Observations(**parts)
    steps = len(observations.message_id)
    ids = observations.message_id
    if ids.dtype.kind != "i" or (steps and not 0 <= ids.min() <= ids.max() < len(observations.messages)):
        raise UserError(f"{path}: damaged: message_id names messages that are not there; run `collect` again")
    if observations.changes.shape != (steps, len(CHANGES)) or len(observations.source) != steps:
        raise UserError(
            f"{path}: shapes differ: message_id has {steps} steps, changes {observations.changes.shape}, "
            f"source {observations.source.shape}; run `collect` again"
        )
    status, episode = observations.status, observations.episode
    if status is not None and (status.shape != (steps, len(NUMBERS)) or episode is None):
        raise UserError(
            f"{path}: shapes differ: message_id has {steps} steps, status {status.shape}; run `collect` again"
        )
    return observations


def event_steps(folder: Path) -> dict[str, np.ndarray]:
    """On which steps each event happened: name -> bool [S]. Raises UserError if the file has no events."""
    path = folder / FILE
    remedy = "if an earlier version made it, it has no events of its steps; run `collect` again"
    found = read_arrays(path, {"events": INTEGER, "event_names": "S"}, remedy=remedy)
    names = np.char.decode(found["event_names"].astype("S"), "ascii").tolist()
    return {name: found["events"][:, column] > 0 for column, name in enumerate(names)}


def canonical(changes: np.ndarray, spoken: Sequence[str]) -> np.ndarray:
    """int8 [n, c] -> int8 [n, columns_of(spoken)]: changes that captions tell and rewards depend on.

    Columns that are not in `spoken` or that `changes` lacks become 0. If the depth changed and is in
    `spoken`, the others become 0 too: on arrival everything on a level is new and the agent stands on
    stairs, which adds nothing to the arrival.
    """
    given = np.array(changes, np.int8, ndmin=2)
    kept = np.zeros((len(given), columns_of(spoken)), np.int8)
    for column, name in enumerate(CHANGES):
        if name in spoken and column < given.shape[1]:
            kept[:, column] = given[:, column]
    others = [column for column in range(kept.shape[1]) if column != DEPTH_CHANGE]
    moved = kept[:, DEPTH_CHANGE] != 0
    kept[np.ix_(moved, others)] = 0
    return kept


def distinct(
    observations: Observations, spoken: Sequence[str], statistics: Sequence[str] = (), horizon: int = 1
) -> Items:
    """The distinct items among the observations, with changes made canonical for `spoken`.

    statistics: names of the statistics in captions, over `horizon` steps. Raises UserError if an earlier
    version collected the observations without them.
    """
    columns = [observations.message_id[:, None], canonical(observations.changes, spoken)]
    if statistics:
        if observations.status is None or observations.episode is None:
            raise UserError(
                f"annotate.statistics: {', '.join(statistics)}: the observations were collected by an "
                "earlier version without statistics; run `collect` again, or leave annotate.statistics empty"
            )
        columns.append(codes(observations.status, observations.episode, statistics, horizon))
    rows = np.concatenate(columns, axis=1, dtype=np.int32)
    items, count = np.unique(rows, axis=0, return_counts=True)
    width = columns_of(spoken)
    told = items[:, 1 + width :].astype(np.int8)
    return Items(
        messages=observations.messages,
        message_id=items[:, 0].astype(np.int32),
        changes=items[:, 1 : 1 + width].astype(np.int8),
        count=count,
        statistics={name: told[:, column] for column, name in enumerate(statistics)},
        horizon=horizon,
    )
