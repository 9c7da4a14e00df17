"""The gold set: pairs of observations labelled by hand, to choose prompts by and to report a judge's quality.

`<skills folder>/gold/<skill>.jsonl`, a pair a line:

    {"id": "descender-017",
     "a": {"message": "You descend the stairs.", "changes": {"depth": "deeper"}},
     "b": {"message": "You stop waiting.", "changes": {}},
     "label": "a", "reason": "...", "kind": "plain", "part": "report"}

The label says which one is closer to what the skill's text asks for; "tie" if neither is. Captions are not
stored but made from message and changes, so a change of their wording leaves the set as it is. Prompts may
be tuned on the part "tune"; figures that are published come from "report". So that nothing is carried over
from one to the other, no message stands in both, apart from the empty one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.collect.captions import caption
from maestromotif.collect.observations import canonical
from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE

FOLDER = "gold"
LABELS = {"a": 1.0, "b": 0.0, "tie": 0.5}  # as labels of preferences: 1 where the first is the better
KINDS = {
    "plain": "one does what the skill wants, the other something unimportant",
    "near-miss": "the other comes close to it, or does it with the wrong object, outcome or place",
    "misleading": "words of the message point the wrong way",
    "opposite": "the same message or act with the opposite change or outcome",
    "negated": "a clause of what is bad or never wanted decides",
    "tie": "both equally good or equally bad",
}
PARTS = ("tune", "report")
MOST_BYTES = 255  # of a message: the game's line and its closing zero take 256

_FIELDS = ("id", "a", "b", "label", "reason", "kind", "part")
_SIDE = ("message", "changes")


@dataclass(frozen=True)
class Side:
    """One of the two observations."""

    message: str
    changes: tuple[int, ...]  # one code a change of `CHANGES`

    def caption(self, spoken: Sequence[str]) -> str:
        return caption(self.message, self.codes(spoken), spoken)

    def codes(self, spoken: Sequence[str]) -> list[int]:
        """The changes that are spoken of; of the others 0."""
        codes: list[int] = canonical(np.array([self.changes], np.int8), spoken)[0].tolist()
        return codes


@dataclass(frozen=True)
class Pair:
    """A line of a gold file."""

    id: str
    skill: str
    a: Side
    b: Side
    label: str  # key of LABELS
    reason: str
    kind: str  # key of KINDS
    part: str  # one of PARTS
    where: str  # file:line

    @property
    def target(self) -> float:
        """1 if a is the better, 0 if b is, one half for a tie."""
        return LABELS[self.label]

    def captions(self, spoken: Sequence[str]) -> tuple[str, str]:
        return self.a.caption(spoken), self.b.caption(spoken)

    def decidable(self, spoken: Sequence[str]) -> bool:
        """Whether captions that tell only the `spoken` changes differ in what the label rests on.

        A change that tells the sides apart must be told; where the depth does, it is enough that this is,
        because a change of level is told alone and always decides.
        """
        if self.captions(spoken)[0] == self.captions(spoken)[1]:
            return False
        untold = [
            name
            for name, a, b in zip(CHANGES, self.a.changes, self.b.changes, strict=True)
            if a != b and name not in spoken
        ]
        depth_tells = "depth" in spoken and self.a.changes[DEPTH_CHANGE] != self.b.changes[DEPTH_CHANGE]
        return not untold or depth_tells


def decidable(pairs: Iterable[Pair], spoken: Sequence[str]) -> tuple[list[Pair], int]:
    """The pairs that can be decided where only the `spoken` changes are told, and how many cannot."""
    pairs = list(pairs)
    kept = [pair for pair in pairs if pair.decidable(spoken)]
    return kept, len(pairs) - len(kept)


def asked(pairs: Iterable[Pair], spoken: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct captions of these pairs, and int32 [P, 2], which two of them each pair is."""
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(told, len(numbers)) for told in pair.captions(spoken)] for pair in pairs]
    return list(numbers), np.array(rows, np.int32).reshape(-1, 2)


def path_of(folder: str | Path, skill: str) -> Path:
    """Where the gold pairs of a skill of this folder of skills are."""
    return Path(folder) / FOLDER / f"{skill}.jsonl"


def load_all(folder: str | Path, skills: Sequence[str]) -> dict[str, list[Pair]]:
    """The gold pairs of these skills; of a skill without a gold file none.

    Raises UserError with everything that is wrong in any of the files.
    """
    problems: list[str] = []
    pairs = {}
    for skill in skills:
        path = path_of(folder, skill)
        pairs[skill] = _read(path, problems) if path.is_file() else []
    return _checked(pairs, problems)


def load(path: str | Path) -> list[Pair]:
    """The pairs of one gold file, named after its skill. Raises UserError with everything that is wrong."""
    path = Path(path)
    problems: list[str] = []
    return _checked({path.stem: _read(path, problems)}, problems)[path.stem]


def _checked(pairs: dict[str, list[Pair]], problems: list[str]) -> dict[str, list[Pair]]:
    """The pairs, after a look at what concerns several lines. Raises UserError."""
    ids: dict[str, Pair] = {}
    parts: dict[str, Pair] = {}  # the first pair that has a message
    for pair in (pair for of_skill in pairs.values() for pair in of_skill):
        first = ids.setdefault(pair.id, pair)
        if first is not pair:
            problems.append(f"{pair.where}: id: '{pair.id}' is taken by {first.where}; each id stands once")
        for message in dict.fromkeys(" ".join(side.message.split()) for side in (pair.a, pair.b)):
            other = parts.setdefault(message, pair)
            if message and other.part != pair.part:
                problems.append(
                    f"{pair.where}: message {message!r} stands in part '{pair.part}' here and in part "
                    f"'{other.part}' at {other.where}; use another message in one of them"
                )
    if problems:
        raise UserError("\n".join(problems))
    return pairs


def _read(path: Path, problems: list[str]) -> list[Pair]:
    """The pairs of the lines that are right; adds to `problems` what is wrong with the others."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        problems.append(f"{path}: not UTF-8 text; save it as UTF-8")
        return []
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return []
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found = _Line(f"{path}:{number}")
            pair = found.pair(line, path.stem)
            problems += found.problems
            if pair and not found.problems:
                pairs.append(pair)
    return pairs


class _Line:
    """Reads one line and collects what is wrong with it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[str] = []

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.where}: {what}")

    def pair(self, line: str, skill: str) -> Pair | None:
        try:
            values = json.loads(line, object_pairs_hook=self._object)
        except (ValueError, RecursionError) as error:
            self.wrong(f"not JSON: {error}; a line is one object")
            return None
        if not self._fields(values, _FIELDS, "the line"):
            return None
        a, b = self._side(values["a"], "a"), self._side(values["b"], "b")
        for field, known in (("label", LABELS), ("kind", KINDS), ("part", PARTS)):
            if values[field] not in list(known):
                self.wrong(f"{field}: {values[field]!r} is none; known are {', '.join(known)}")
        if not isinstance(values["id"], str) or not re.fullmatch(rf"{re.escape(skill)}-\d+", values["id"]):
            self.wrong(f"id: {values['id']!r}; it must be the skill's name, '-' and digits: '{skill}-001'")
        if not isinstance(values["reason"], str) or not values["reason"].strip():
            self.wrong("reason: empty; say in a sentence why the label is what it is")
        if not self.problems and (values["kind"] == "tie") != (values["label"] == "tie"):
            self.wrong(f"kind: '{values['kind']}' with label '{values['label']}'; ties have both")
        if a is None or b is None or self.problems:
            return None
        if a == b:
            self.wrong("a and b are the same; a pair has two different observations")
            return None
        named = {name: values[name] for name in ("id", "label", "reason", "kind", "part")}
        return Pair(skill=skill, a=a, b=b, where=self.where, **named)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1)
            self.wrong(f"'{twice}' is given twice in one object; keep one of them")
        return values

    def _fields(self, values: object, names: Sequence[str], what: str) -> bool:
        """Whether `values` is an object with just these fields."""
        if not isinstance(values, dict):
            self.wrong(f"{what} must be an object with {', '.join(names)}, got {_short(values)}")
            return False
        for name in values:
            if name not in names:
                self.wrong(f"{what}: unknown field '{name}'{did_you_mean(name, names)}")
        missing = [name for name in names if name not in values]
        if missing:
            self.wrong(f"{what}: '{missing[0]}' is missing; there must be {', '.join(names)}")
        return not missing

    def _side(self, values: object, name: str) -> Side | None:
        if not self._fields(values, _SIDE, name):
            return None
        assert isinstance(values, dict)
        message, changes = values["message"], self._changes(values["changes"], f"{name}.changes")
        if not isinstance(message, str):
            self.wrong(f"{name}.message: must be text, got {_short(message)}")
            return None
        try:
            size = len(message.encode("latin-1"))
        except UnicodeEncodeError as error:
            letter = message[error.start]
            self.wrong(f"{name}.message: {letter!r} is not Latin-1; NetHack writes single bytes")
            return None
        if size > MOST_BYTES:
            self.wrong(f"{name}.message: {size} bytes; the game's line holds at most {MOST_BYTES}")
        if "\0" in message:
            self.wrong(f"{name}.message: a zero byte ends the game's line; leave it out")
        return None if changes is None else Side(message, changes)

    def _changes(self, values: object, where: str) -> tuple[int, ...] | None:
        if not isinstance(values, dict):
            self.wrong(f"{where}: must be an object such as {{'depth': 'deeper'}}, got {_short(values)}")
            return None
        for name, word in values.items():
            if name not in CHANGES:
                self.wrong(f"{where}: unknown change '{name}'{did_you_mean(name, CHANGES)}")
            elif not isinstance(word, str) or word not in CHANGES[name].codes:
                self.wrong(
                    f"{where}.{name}: {_short(word)} is none; known are {', '.join(CHANGES[name].codes)}"
                )
        if "depth" in values and len(values) > 1:
            self.wrong(f"{where}: on arrival at a level no other change is told; give 'depth' alone")
        return tuple(change.codes.get(str(values.get(name)), 0) for name, change in CHANGES.items())


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 60 else told[:57] + "..."
