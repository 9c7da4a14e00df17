"""The collected observations, and the distinct items that are left when each is counted once.

An observation is what a reward model sees of a step: the message and the codes of what changed. The file
`observations.npz` tells more of each step, for whoever chooses among them: `events` int8 [S, E], how often
each of `event_names` [E] happened, `depth` int8 [S], -1 where a recording does not show it, and `status` and
`episode`, from which captions may tell a judge of statistics (`statistic`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maestromotif.collect import statistics as statistic
from maestromotif.collect.captions import caption
from maestromotif.errors import UserError
from maestromotif.nethack import events
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE

FILE = "observations.npz"
EPISODES = "episodes.json"  # a row an episode: source, steps, deepest, end, cause of death

SOURCES = ("explorer", "random", "arena", "recordings")
EXPLORER, RANDOM, ARENA, RECORDINGS = range(len(SOURCES))  # codes of `source`


@dataclass(frozen=True)
class Observations:
    """S steps of play, in the order in which they happened."""

    messages: np.ndarray  # S256 [M], distinct
    message_id: np.ndarray  # int32 [S]
    changes: np.ndarray  # int8 [S, 4], columns as in nethack.state.CHANGES
    source: np.ndarray  # int8 [S]: index of SOURCES
    status: np.ndarray | None = None  # int32 [S, 5], see `statistic`; None in files of earlier versions
    episode: np.ndarray | None = None  # int32 [S]; likewise


@dataclass(frozen=True)
class Items:
    """I distinct observations as captions tell them, ordered by message, changes and statistics."""

    messages: np.ndarray  # S256 [M]
    message_id: np.ndarray  # int32 [I]
    changes: np.ndarray  # int8 [I, 4], canonical
    count: np.ndarray  # int64 [I]: steps on which the item was seen
    statistics: dict[str, np.ndarray] = field(default_factory=dict)  # int8 [I], codes of each one told
    horizon: int = 1  # steps over which these changed

    def __len__(self) -> int:
        return len(self.message_id)

    def message(self, item: int) -> bytes:
        return bytes(self.messages[self.message_id[item]])

    def caption(self, item: int, spoken: Sequence[str]) -> str:
        """The item in English; the message as `text`."""
        statistics = {name: int(codes[item]) for name, codes in self.statistics.items()}
        message, changes = text(self.message(item)), self.changes[item].tolist()
        return caption(message, changes, spoken, statistics, self.horizon)

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


def load(folder: Path) -> Observations:
    """Reads `observations.npz`. Raises UserError if a part is missing or the parts do not fit each other."""
    path = folder / FILE
    try:
        with np.load(path) as file:
            parts = {name: file[name] for name in ("messages", "message_id", "changes", "source")}
            parts |= {name: file[name] for name in ("status", "episode") if name in file}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a file of observations: {error}; run `collect` again") from error
    observations = Observations(**parts)
    steps = len(observations.message_id)
    if observations.changes.shape != (steps, len(CHANGES)) or len(observations.source) != steps:
        raise UserError(
            f"{path}: message_id has {steps} steps, changes {observations.changes.shape}, "
            f"source {observations.source.shape}; run `collect` again"
        )
    status, episode = observations.status, observations.episode
    if status is not None and (status.shape != (steps, len(statistic.NUMBERS)) or episode is None):
        raise UserError(f"{path}: message_id has {steps} steps, status {status.shape}; run `collect` again")
    return observations


def happened(folder: Path) -> dict[str, np.ndarray]:
    """Of each event, by its name, on which steps it happened, bool [S]. Raises UserError without events."""
    path = folder / FILE
    with np.load(path) as file:
        if "events" not in file or "event_names" not in file:
            raise UserError(f"{path}: does not tell the events of its steps; run `collect` again")
        names = np.char.decode(file["event_names"].astype("S"), "ascii").tolist()
        return {name: file["events"][:, column] > 0 for column, name in enumerate(names)}


def canonical(changes: np.ndarray, spoken: Sequence[str]) -> np.ndarray:
    """int8 [n, 4] -> int8 [n, 4]: what a caption tells of changes, and so what a reward may depend on.

    Columns that are not in `spoken` become 0. Where the depth changed and is spoken of, the others become 0
    too: on arrival everything on a level is new and the agent stands on stairs, which is no event beside
    the arrival.
    """
    kept = np.array(changes, np.int8, ndmin=2)
    for column, name in enumerate(CHANGES):
        if name not in spoken:
            kept[:, column] = 0
    others = [column for column in range(len(CHANGES)) if column != DEPTH_CHANGE]
    moved = kept[:, DEPTH_CHANGE] != 0
    kept[np.ix_(moved, others)] = 0
    return kept


def distinct(
    observations: Observations, spoken: Sequence[str], statistics: Sequence[str] = (), horizon: int = 1
) -> Items:
    """The distinct items among the observations, with changes made canonical for `spoken`.

    statistics: names of those that captions tell, over `horizon` steps. Raises UserError where the
    observations were collected by a version that did not keep them.
    """
    columns = [observations.message_id[:, None], canonical(observations.changes, spoken)]
    if statistics:
        if observations.status is None or observations.episode is None:
            raise UserError(
                f"annotate.statistics: {', '.join(statistics)}: the collected observations are of an earlier "
                "version, which kept no statistics; run `collect` again, or leave annotate.statistics empty"
            )
        columns.append(statistic.codes(observations.status, observations.episode, statistics, horizon))
    rows = np.concatenate(columns, axis=1, dtype=np.int32)
    items, count = np.unique(rows, axis=0, return_counts=True)
    told = items[:, 1 + len(CHANGES) :].astype(np.int8)
    return Items(
        messages=observations.messages,
        message_id=items[:, 0].astype(np.int32),
        changes=items[:, 1 : 1 + len(CHANGES)].astype(np.int8),
        count=count,
        statistics={name: told[:, column] for column, name in enumerate(statistics)},
        horizon=horizon,
    )
