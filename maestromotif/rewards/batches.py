"""Batches of pairs of captions with equal shapes, in which nothing is scored twice.

A caption is in many pairs of a batch, and a message is in many captions. So a batch lists its distinct
messages, its distinct observations (each with the place of its message), and its pairs (as places of
observations). Messages are sorted into parts by length, so that short ones are not processed as long ones.
The host makes all batches of an epoch at once, and one compiled program runs through them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from maestromotif.rewards.model import Network, features

# Numbers of features of each part's messages: the shortest first, the last is the maximum.
WIDTHS: dict[str, tuple[int, ...]] = {"words": (15, 31, 63), "published": (48, 96, 256)}
_Array = np.ndarray | jax.Array  # of JAX inside a compiled program
SPARE = 16  # a batch's sizes are rounded up to a sixteenth, so that the next epoch fits the same program


class Shown(NamedTuple):
    """Distinct observations as a model's input. The leading axes are those of batches and members."""

    changes: _Array  # int8 [..., c, C]
    message: _Array  # int32 [..., c], places among the messages of all parts
    parts: tuple[_Array, ...]  # for each width int32 [..., u], rows of `Captions.features`


class Batch(NamedTuple):
    """b labelled pairs of the observations in `shown`, padded with weight 0."""

    shown: Shown
    pairs: _Array  # int32 [..., b, 2], places in shown
    label: _Array  # float32 [..., b]
    weight: _Array  # float32 [..., b]


class Captions:
    """The N judged captions, with and without their messages: row i + N is row i without its message.

    messages: [N], changes: int8 [N, C].

    `features` int [D, f]: those of the distinct messages; row 0 is the empty message.
    """

    def __init__(self, network: Network, messages: Sequence[bytes], changes: np.ndarray) -> None:
        distinct = sorted({b"", *messages})
        row = {message: index for index, message in enumerate(distinct)}
        self.network, self.count = network, len(messages)
        self.features = features(network, distinct)
        own = np.array([row[message] for message in messages], np.int32)
        self._message = np.concatenate([own, np.zeros_like(own)])
        self.columns = changes.shape[1]
        self._changes = np.concatenate([changes, changes])
        # Captions that differ only in their messages are one observation when these are hidden.
        _, first, same = np.unique(changes, axis=0, return_index=True, return_inverse=True)
        self.hidden = (self.count + first[same.reshape(-1)]).astype(np.int32)
        self.widths = WIDTHS[network]
        behind = self.features[:, ::-1] != 0
        length = np.where(behind.any(1), self.features.shape[1] - behind.argmax(1), 0)
        self._part = np.searchsorted(self.widths, length)
        self._flag = np.zeros(2 * self.count, bool)
        self._place = np.zeros(2 * self.count, np.int32)

    def places(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The distinct ones of observations int32 [n], ascending, and each one's place among them."""
        self._flag[observations] = True
        distinct = np.flatnonzero(self._flag).astype(np.int32)
        self._flag[distinct] = False
        self._place[distinct] = np.arange(len(distinct), dtype=np.int32)
        return distinct, self._place[observations]

    def show(self, groups: Sequence[np.ndarray], sizes: "Sizes") -> Shown:
        """Groups of distinct observations int32 [<= c], one per row of the result."""
        messages = [np.unique(self._message[group]) for group in groups]
        parts = [[rows[self._part[rows] == part] for part in range(len(self.widths))] for rows in messages]
        c = sizes.grow("observations", max(map(len, groups)), 2 * self.count)
        u = [
            sizes.grow(f"messages of part {part}", max(len(own[part]) for own in parts), len(self.features))
            for part in range(len(self.widths))
        ]
        offset = np.cumsum([0, *u[:-1]])
        changes = np.zeros((len(groups), c, self._changes.shape[1]), np.int8)
        message = np.zeros((len(groups), c), np.int32)
        rows = [np.zeros((len(groups), size), np.int32) for size in u]
        place = np.zeros(len(self.features), np.int32)
        for g, (group, own) in enumerate(zip(groups, parts, strict=True)):
            for part, listed in enumerate(own):
                rows[part][g, : len(listed)] = listed
                place[listed] = offset[part] + np.arange(len(listed))
            changes[g, : len(group)] = self._changes[group]
            message[g, : len(group)] = place[self._message[group]]
        return Shown(changes, message, tuple(rows))

    def epoch(
        self,
        orders: Sequence[np.ndarray],
        pairs: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        batch: int,
        hide: float,
        randoms: Sequence[np.random.Generator],
        sizes: "Sizes",
    ) -> Batch:
        """One epoch of all members, arrays [S, M, ...]; members with fewer pairs are padded.

        orders: for each of the M members, the rows of its pairs in training order. In every batch a share
        `hide` of the captions lose their message.
        """
        steps = max(-(-len(order) // batch) for order in orders)
        members = len(orders)
        places = np.zeros((steps, members, batch, 2), np.int32)
        label = np.zeros((steps, members, batch), np.float32)
        weight = np.zeros((steps, members, batch), np.float32)
        groups = []
        for step in range(steps):
            for m, order in enumerate(orders):
                rows = order[step * batch : (step + 1) * batch]
                captions, of_pairs = self.places(pairs[m][rows].reshape(-1))
                hidden = randoms[m].random(len(captions)) < hide
                shown, of_captions = self.places(np.where(hidden, self.hidden[captions], captions))
                places[step, m, : len(rows)] = of_captions[of_pairs].reshape(-1, 2)
                label[step, m, : len(rows)] = labels[m][rows]
                weight[step, m, : len(rows)] = 1
                groups.append(shown)
        shown_all = self.show(groups, sizes)
        lead = (steps, members)
        return Batch(
            Shown(
                shown_all.changes.reshape(*lead, *shown_all.changes.shape[1:]),
                shown_all.message.reshape(*lead, -1),
                tuple(part.reshape(*lead, -1) for part in shown_all.parts),
            ),
            places,
            label,
            weight,
        )


class Sizes:
    """Array sizes that only grow, and in steps, so that few programs are compiled."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self.known = dict(known or {})

    def grow(self, name: str, needed: int, most: int) -> int:
        if needed > self.known.get(name, 0):
            unit = max(8, (1 << needed.bit_length()) // SPARE)
            self.known[name] = min(most, -(-needed // unit) * unit)
        return self.known.get(name, 0)
