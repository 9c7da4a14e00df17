"""The account of a run: what each skill was paid for, by event and by caption.

Environments sum gains, losses and steps for each distinct observation and skill (`paid.py`). `account` turns
the sums into the content of `paid.json`. Gains are rewards above 0. Losses are rewards below 0, without their
sign. A share is a part of gains and losses together, so the shares of a skill sum to 1, and losses do not
cancel gains. If an observation tells several events, its gains and losses are divided equally among
them, and its steps count for each. Observations that were forgotten (`forgotten.py`) count in the sums by
event and in `other_captions`; one that was forgotten twice counts as two captions.

K skills, R distinct observations.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from maestromotif.collect.captions import Telling, caption
from maestromotif.collect.observations import canonical, text
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES
from maestromotif.quality.oracle import facts
from maestromotif.skill import Skill
from maestromotif.train.counts import Counts
from maestromotif.train.paid import Ends, Paid

PAID = "paid.json"  # the file that `train` writes
NOTHING = "nothing"  # stands for the event of an observation that tells none
CAPTIONS, ACTIONS, CAUSES = 20, 10, 20  # how many of each are listed

# The events that are changes, by change and code.
_EVENT_OF = {event.change: name for name, event in EVENTS.items() if event.change}
_OF_DEPTH = {": ".join(change): name for change, name in _EVENT_OF.items() if change[0] == "depth"}


class Reader:
    """Reads the events and the caption of observations; remembers those of the last account.

    spoken, telling: `annotate.changes` and `annotate.telling`.
    """

    def __init__(self, spoken: Sequence[str], telling: Telling = "events") -> None:
        self._spoken, self._telling = spoken, telling
        self._known: dict[tuple[bytes, bytes], tuple[tuple[str, ...], str]] = {}

    def read(self, paid: Paid) -> tuple[list[tuple[str, ...]], list[str]]:
        """Events and caption of each observation, both of length R."""
        keys = [
            (message, codes.tobytes()) for message, codes in zip(paid.messages, paid.changes, strict=True)
        ]
        self._known = {key: self._known[key] for key in keys if key in self._known}
        new = [row for row, key in enumerate(keys) if key not in self._known]
        if new:
            whole = canonical(paid.changes[new], tuple(CHANGES)).tolist()
            said = canonical(paid.changes[new], self._spoken).tolist()
            for row, codes, spoken in zip(new, whole, said, strict=True):
                message = paid.messages[row]
                words = caption(text(message), spoken, self._spoken, telling=self._telling)
                self._known[keys[row]] = told(message, codes), words
        return [self._known[key][0] for key in keys], [self._known[key][1] for key in keys]


def told(message: bytes, changes: Sequence[int]) -> tuple[str, ...]:
    """The events and changes that an observation tells, as in 'killed' or 'downstairs: closer'.

    changes: canonical codes, one per change of `CHANGES`. A change of depth is told as its event.
    """
    named = [_OF_DEPTH.get(fact, fact) for fact in facts(text(message), changes)]
    return tuple(named) or (NOTHING,)


def names_of(event: str) -> set[str]:
    """Names by which a skill's head can list it: 'health: lost' -> 'health' and 'hurt'."""
    name, _, code = event.partition(": ")
    return {name, _EVENT_OF.get((name, code), name)}


@dataclass
class Sum:
    """Rewards of one skill for one event or caption."""

    steps: int = 0
    gained: float = 0.0
    lost: float = 0.0

    def add(self, steps: int, gained: float, lost: float) -> None:
        self.steps += steps
        self.gained += gained
        self.lost += lost

    @property
    def moved(self) -> float:
        """Gains and losses together."""
        return self.gained + self.lost

    def row(self, whole: float) -> dict[str, Any]:
        """Plain JSON; the share is None if the skill was never paid."""
        return {
            "steps": self.steps,
            "gained": _rounded(self.gained),
            "lost": _rounded(self.lost),
            "share": _share(self.moved, whole),
            "mean": _rounded((self.gained - self.lost) / self.steps) if self.steps else 0.0,
        }


def account(
    paid: Paid, counts: Counts, env_step: int, skills: Sequence[Skill], reader: Reader
) -> dict[str, Any]:
    """The content of `paid.json`, without the warnings.

    paid: of all environments; counts: of the run so far (`Curve.totals`).
    """
    events_r, captions_r = reader.read(paid)
    ends = Ends()
    ends.restore(paid.ends)
    episodes, deaths = int(counts["episodes"]), int(counts["deaths"])
    return {
        "env_step": env_step,
        "skills": {
            skill.name: _of_skill(skill, k, paid, events_r, captions_r, counts)
            for k, skill in enumerate(skills)
        },
        "episodes": {
            "episodes": episodes,
            "deaths": deaths,
            "death_share": round(deaths / episodes, 4) if episodes else None,
            "median_steps": _median(ends.lengths),
            "causes": _most(ends.causes, "cause", CAUSES),
        },
    }


def _of_skill(
    skill: Skill,
    k: int,
    paid: Paid,
    events_r: Sequence[tuple[str, ...]],
    captions_r: Sequence[str],
    counts: Counts,
) -> dict[str, Any]:
    by_event: defaultdict[str, Sum] = defaultdict(Sum)
    by_caption: defaultdict[str, Sum] = defaultdict(Sum)
    whole, unwanted = Sum(), Sum()  # unwanted: gains for nothing asked for, and losses for nothing forbidden
    asked, forbidden = {*skill.wanted, *skill.progress}, {*skill.forbidden}
    listed = cache(lambda names: set().union(*map(names_of, names)))

    def add(events: tuple[str, ...], steps: int, gained: float, lost: float) -> None:
        for event in events:
            by_event[event].add(steps, gained / len(events), lost / len(events))
        whole.add(steps, gained, lost)
        names = listed(events)
        amiss = 0.0 if names & asked else gained, 0.0 if names & forbidden else lost
        if any(amiss):
            unwanted.add(steps, *amiss)

    for row in paid.steps[:, k].nonzero()[0].tolist():
        sums = int(paid.steps[row, k]), float(paid.gained[row, k]), float(paid.lost[row, k])
        add(events_r[row], *sums)
        by_caption[captions_r[row]].add(*sums)
    rest, others = Sum(), paid.others
    for row in others["steps"][:, k].nonzero()[0].tolist():
        sums = tuple(others[name][row, k].item() for name in ("steps", "gained", "lost"))
        add(tuple(others["events"][row]), *sums)
        rest.add(*sums)
    rows = _largest(by_event)
    acted = int(counts["steps"][k])
    actions = Counter(dict(zip(NAMES, counts["actions"][k].astype(int).tolist(), strict=True)))
    captions = [{"caption": name, **one.row(whole.moved)} for name, one in _largest(by_caption)[:CAPTIONS]]
    for _, one in _largest(by_caption)[CAPTIONS:]:
        rest.add(one.steps, one.gained, one.lost)
    return {
        "steps": acted,
        "reward": _rounded(whole.gained - whole.lost),
        "gained": _rounded(whole.gained),
        "lost": _rounded(whole.lost),
        # Gains without a wanted or progress event, and losses without a forbidden one; then these alone.
        "unwanted_share": _share(unwanted.moved, whole.moved) if skill.wanted else None,
        "charged_share": _share(unwanted.lost, whole.moved) if skill.wanted else None,
        "unwanted_steps": unwanted.steps if skill.wanted else None,
        "events": [{"event": name, "side": _side(skill, name), **one.row(whole.moved)} for name, one in rows],
        "captions": captions,
        "other_captions": {
            "captions": len(by_caption) - len(captions) + int(others["observations"][:, k].sum()),
            **rest.row(whole.moved),
        },
        "actions": [
            {"action": name, "steps": count, "share": _share(count, acted)}
            for name, count in _ranked(actions)[:ACTIONS]
            if count
        ],
    }


def _side(skill: Skill, event: str) -> str:
    """Which list of the skill's head names it: wanted, progress, forbidden, or none of them ("")."""
    lists = {"wanted": skill.wanted, "progress": skill.progress, "forbidden": skill.forbidden}
    return next((side for side, names in lists.items() if names_of(event) & {*names}), "")


def _largest(sums: dict[str, Sum]) -> list[tuple[str, Sum]]:
    """Those with the largest gains and losses first."""
    return sorted(sums.items(), key=lambda item: (-item[1].moved, -item[1].steps, item[0]))


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first, equals by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _most(counts: Counter[str], key: str, most: int) -> list[dict[str, Any]]:
    """The most frequent; the last row sums the others."""
    ranked = _ranked(counts)
    others = [(f"{len(ranked) - most} others", sum(count for _, count in ranked[most:]))]
    shown = ranked[:most] + (others if len(ranked) > most else [])
    return [{key: name, "count": count} for name, count in shown]


def _median(lengths: Counter[int]) -> float | None:
    """Median of counted numbers; None without any."""
    values = np.repeat(np.array(list(lengths), np.int64), np.array(list(lengths.values()), np.int64))
    return float(np.median(values)) if len(values) else None


def _share(part: int | float, whole: int | float) -> float | None:
    return round(part / whole, 6) if whole > 0 else None


def _rounded(value: float) -> float:
    return round(float(value), 6)
