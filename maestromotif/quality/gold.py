"""The gold set: pairs of observations labelled by hand, to choose prompts and to measure judges.

`<skills folder>/gold/<skill>.jsonl` has one pair a line:

    {"id": "descender-017",
     "a": {"message": "You descend the stairs.", "changes": {"depth": "deeper"}},
     "b": {"message": "You stop waiting.", "changes": {}},
     "label": "a", "reason": "...", "kind": "plain", "part": "report"}

The label names the observation that is closer to what the skill's text asks for; "tie" if neither is.
Captions are built from message and changes, so a new wording of captions does not change the set. Prompts
may be tuned on the part "tune"; published figures come from the part "report". To prevent leaks, no message
is in both parts, except the empty one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maestromotif.collect.captions import Telling, caption
from maestromotif.collect.observations import canonical
from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.reading import is_there, json_lines, parse_json

FOLDER = "gold"
LABELS = {"a": 1.0, "b": 0.0, "tie": 0.5}  # as preference labels: 1 if the first one is better
KINDS = {
    "plain": "one does what the skill wants, the other is irrelevant",
    "near-miss": "the other comes close, but has the wrong object, outcome or place",
    "misleading": "words of the message suggest the wrong answer",
    "opposite": "the same message or action with the opposite change or outcome",
    "negated": "a clause about something bad or never wanted decides",
    "tie": "both equally good or equally bad",
}
PARTS = ("tune", "report")
MOST_BYTES = 255  # of a message: the game's line has 256 bytes with the final zero

_FIELDS = ("id", "a", "b", "label", "reason", "kind", "part")
_SIDE = ("message", "changes")


@dataclass(frozen=True)
class Side:
    """One of the two observations."""

    message: str
    changes: tuple[int, ...]  # one code for each change of `CHANGES`

    def caption(self, spoken: Sequence[str], telling: Telling = "events") -> str:
        return caption(self.message, self.codes(spoken), spoken, telling=telling)

    def codes(self, spoken: Sequence[str]) -> list[int]:
        """The codes of the `spoken` changes, 0 for the others."""
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
        """1 if a is better, 0 if b is, 0.5 for a tie."""
        return LABELS[self.label]

    def captions(self, spoken: Sequence[str], telling: Telling = "events") -> tuple[str, str]:
        return self.a.caption(spoken, telling), self.b.caption(spoken, telling)

    def decidable(self, spoken: Sequence[str]) -> bool:
        """Whether captions with only the `spoken` changes contain the difference that the label is based on.

        Every change that differs between the sides must be spoken. If the depth differs, it alone is enough:
        a caption with a change of level mentions no other change, and the level always decides.
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
    """The pairs that captions with only the `spoken` changes can decide, and the number of the others."""
    pairs = list(pairs)
    kept = [pair for pair in pairs if pair.decidable(spoken)]
    return kept, len(pairs) - len(kept)


def asked(
    pairs: Iterable[Pair], spoken: Sequence[str], telling: Telling = "events"
) -> tuple[list[str], np.ndarray]:
    """The distinct captions of these pairs, and int32 [P, 2]: the two indexes of each pair."""
    numbers: dict[str, int] = {}
    captions = [pair.captions(spoken, telling) for pair in pairs]
    rows = [[numbers.setdefault(told, len(numbers)) for told in both] for both in captions]
    return list(numbers), np.array(rows, np.int32).reshape(-1, 2)


def path_of(folder: str | Path, skill: str) -> Path:
    """The gold file of a skill; `folder` is the folder of skills."""
    return Path(folder) / FOLDER / f"{skill}.jsonl"


def load_all(folder: str | Path, skills: Sequence[str]) -> dict[str, list[Pair]]:
    """The gold pairs of these skills; an empty list for a skill without a gold file.

    Raises UserError that lists every mistake in all of the files.
    """
    problems: list[str] = []
    pairs = {}
    for skill in skills:
        path = path_of(folder, skill)
        pairs[skill] = _read(path, problems) if is_there(path) else []
    return _checked(pairs, problems)


def load(path: str | Path) -> list[Pair]:
    """The pairs of one gold file, named after its skill. Raises UserError that lists every mistake."""
    path = Path(path)
    problems: list[str] = []
    return _checked({path.stem: _read(path, problems)}, problems)[path.stem]


def _checked(pairs: dict[str, list[Pair]], problems: list[str]) -> dict[str, list[Pair]]:
    """The pairs, after the checks that involve several lines. Raises UserError."""
    ids: dict[str, Pair] = {}
    parts: dict[str, Pair] = {}  # the first pair that has a message
    for pair in (pair for of_skill in pairs.values() for pair in of_skill):
        first = ids.setdefault(pair.id, pair)
        if first is not pair:
            problems.append(
                f"{pair.where}: id: '{pair.id}' is already used at {first.where}; use each id once"
            )
        for message in dict.fromkeys(" ".join(side.message.split()) for side in (pair.a, pair.b)):
            other = parts.setdefault(message, pair)
            if message and other.part != pair.part:
                problems.append(
                    f"{pair.where}: message {message!r} is in part '{pair.part}' here and in part "
                    f"'{other.part}' at {other.where}; use another message in one of them"
                )
    if problems:
        raise UserError("\n".join(problems))
    return pairs


def _read(path: Path, problems: list[str]) -> list[Pair]:
    """The pairs of the correct lines; adds the mistakes of the others to `problems`."""
    pairs = []
    try:
        for where, line in json_lines(path):
            found = _Line(where)
            pair = found.pair(line, path.stem)
            problems += found.problems
            if pair and not found.problems:
                pairs.append(pair)
    except UserError as error:  # of the file
        problems.append(str(error))
    return pairs


class _Line:
    """Reads one line and collects its mistakes."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[str] = []

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.where}: {what}")

    def pair(self, line: str, skill: str) -> Pair | None:
        try:
            values = parse_json(line, self.where)
        except UserError as error:
            self.problems.append(f"{error}; a line is one object")
            return None
        if not self._fields(values, _FIELDS, "the line"):
            return None
        a, b = self._side(values["a"], "a"), self._side(values["b"], "b")
        for field, known in (("label", LABELS), ("kind", KINDS), ("part", PARTS)):
            if values[field] not in list(known):
                self.wrong(f"{field}: unknown {field} {values[field]!r}; known are {', '.join(known)}")
        if not isinstance(values["id"], str) or not re.fullmatch(rf"{re.escape(skill)}-\d+", values["id"]):
            self.wrong(f"id: {values['id']!r} must be the skill's name, '-' and digits, as in '{skill}-001'")
        if not isinstance(values["reason"], str) or not values["reason"].strip():
            self.wrong("reason: empty; explain the label in one sentence")
        if not self.problems and (values["kind"] == "tie") != (values["label"] == "tie"):
            self.wrong(f"kind: '{values['kind']}' with label '{values['label']}'; a tie needs 'tie' for both")
        if a is None or b is None or self.problems:
            return None
        if a == b:
            self.wrong("a and b are the same; a pair needs two different observations")
            return None
        named = {name: values[name] for name in ("id", "label", "reason", "kind", "part")}
        return Pair(skill=skill, a=a, b=b, where=self.where, **named)

    def _fields(self, values: object, names: Sequence[str], what: str) -> bool:
        """Whether `values` is an object with exactly these fields."""
        if not isinstance(values, dict):
            self.wrong(f"{what} must be an object with {', '.join(names)}, got {_short(values)}")
            return False
        for name in values:
            if name not in names:
                self.wrong(f"{what}: unknown field '{name}'{did_you_mean(name, names)}")
        missing = [name for name in names if name not in values]
        if missing:
            self.wrong(f"{what}: '{missing[0]}' is missing; the fields are {', '.join(names)}")
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
            self.wrong(f"{name}.message: {letter!r} is not Latin-1; NetHack's messages are Latin-1 only")
            return None
        if size > MOST_BYTES:
            self.wrong(f"{name}.message: {size} bytes; the game's line holds at most {MOST_BYTES}")
        if "\0" in message:
            self.wrong(f"{name}.message: a zero byte would end the game's line; remove it")
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
                    f"{where}.{name}: unknown code {_short(word)}; known are {', '.join(CHANGES[name].codes)}"
                )
        if "depth" in values and len(values) > 1:
            self.wrong(f"{where}: an observation with 'depth' has no other change; give 'depth' alone")
        return tuple(change.codes.get(str(values.get(name)), 0) for name, change in CHANGES.items())


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 60 else told[:57] + "..."
