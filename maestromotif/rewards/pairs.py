"""The judged captions, the labelled pairs of them, and which are held out.

Captions are held out by message: no message is on both sides, and captions without a message are never held
out. An even split (`parts`) also keeps every message in one part; captions without one are spread over all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maestromotif.annotate.preferences import read_captions, read_preferences
from maestromotif.collect.captions import Telling
from maestromotif.config.labels import DistilSettings
from maestromotif.errors import UserError
from maestromotif.rewards.model import read_as


@dataclass(frozen=True)
class Judged:
    """The judged captions, shared by all skills, and each skill's labelled pairs of them."""

    messages: list[bytes]  # [N]
    changes: np.ndarray  # int8 [N, C]
    held_out: np.ndarray  # bool [N]
    pairs: list[np.ndarray]  # int32 [P, 2] for each skill
    labels: list[np.ndarray]  # float32 [P], P(first preferred)
    ties: list[np.ndarray]  # bool [P]
    telling: Telling = "events"  # what the captions told of the messages

    @property
    def read(self) -> list[bytes]:
        """[N]: what a reward model reads of the messages."""
        return [read_as(message, self.telling) for message in self.messages]

    def within(self, skill: int, chosen: np.ndarray) -> np.ndarray:
        """Which of a skill's pairs have both captions in `chosen` (bool [N]), bool [P]."""
        both: np.ndarray = chosen[self.pairs[skill]].all(1)
        return both


def read_judged(
    annotated: Path,
    curated: Path,
    skills: Sequence[str],
    settings: DistilSettings,
    random: np.random.Generator,
    telling: Telling = "events",
) -> Judged:
    """The captions in a folder of `annotate` and the preferences in one of `curate`.

    A share of the messages is held out.
    """
    rows = read_captions(annotated)
    messages = [row["message"].encode("latin-1") for row in rows]
    pairs, labels, ties = [], [], []
    for skill in skills:
        columns = read_preferences(curated, skill)
        pairs.append(columns["pairs"])
        ties.append(columns["label"] == 0.5)
        labels.append(targets(columns["label"], columns["margin"], settings))
    return Judged(
        messages,
        np.array([row["changes"] for row in rows], np.int8),
        hold_out(messages, settings.held_out, random),
        pairs,
        labels,
        ties,
        telling,
    )


def targets(label: np.ndarray, margin: np.ndarray, settings: DistilSettings) -> np.ndarray:
    """Training targets, float32 [P]: the label itself, or the judge's certainty, sigmoid(margin / T)."""
    if settings.labels == "hard":
        return label.astype(np.float32)
    soft = 1 / (1 + np.exp(-margin.astype(np.float64) / settings.temperature))
    return np.where(label == 0.5, 0.5, soft).astype(np.float32)


def parts(
    messages: Sequence[bytes], kinds: Sequence[str], count: int, random: np.random.Generator
) -> np.ndarray:
    """The part of each caption, int8 [N], of `count` parts: a message is in one, a kind in all if possible.

    A kind of event (that of a message's first caption) with few messages is in as many parts as possible.
    Parts have about equal sizes.
    """
    groups: dict[tuple[bytes, int], list[int]] = {}
    for row, message in enumerate(messages):
        groups.setdefault((message, -1 if message else row), []).append(row)
    part, sizes = np.zeros(len(messages), np.int8), np.zeros(count, np.int64)
    of_kind: dict[str, np.ndarray] = {}
    names = sorted(groups)
    for index in random.permutation(len(names)).tolist():
        rows = groups[names[index]]
        own = of_kind.setdefault(kinds[rows[0]], np.zeros(count, np.int64))
        least = int(np.lexsort((sizes, own))[0])
        part[rows] = least
        own[least] += len(rows)
        sizes[least] += len(rows)
    return part


def hold_out(messages: Sequence[bytes], share: float, random: np.random.Generator) -> np.ndarray:
    """Which captions are held out, bool [N]: about `share` of all, by message; never those without a message.

    Raises UserError if fewer than two would be on either side.
    """
    counts = Counter(message for message in messages if message)
    distinct = sorted(counts)
    wanted = max(2, round(share * len(messages)))
    chosen: set[bytes] = set()
    held_out = 0
    for index in random.permutation(len(distinct)).tolist():
        left = len(messages) - held_out - counts[distinct[index]]
        if held_out < wanted and left >= 2:
            chosen.add(distinct[index])
            held_out += counts[distinct[index]]
    if held_out < 2:
        raise UserError(
            f"{len(messages)} judged captions with {len(distinct)} different messages cannot be split into a "
            "training part and a held-out part; raise annotate.captions or collect.explorer_steps"
        )
    return np.array([message in chosen for message in messages])
