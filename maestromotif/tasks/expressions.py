"""Expressions about one step of a game: what holds now, and what has been counted.

They are Python expressions of which a few forms are allowed (`parse.py`), checked for their types, and
evaluated for N games at once. `Step` is what they can see.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from maestromotif.nethack import state as game_state
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.game import End

MOST = 2**31 - 1  # no number in the game is greater

# The fields of GameState that a task may name: those about the running skill are not about the game.
FIELDS = {name: one for name, one in game_state.FIELDS.items() if name not in game_state.SKILL_FIELDS}
ENDS: dict[str, str] = {
    "died": "Whether the hero died on this step.",
    "left": "Whether the hero left the dungeon alive on this step.",
}


@dataclass(frozen=True)
class Step:
    """What a step of N games shows to the judge of a task.

    state: arrays [N] of GameState; where an episode ended, those of its last observation. events int
    [N, len(EVENTS)]: of this step. ended: int [N], codes of `End`. causes: of death, "" elsewhere; of the
    games that ended only. truth: the game's own secrets, arrays [N], which no policy and no program sees.
    """

    state: Mapping[str, np.ndarray]
    events: np.ndarray
    ended: np.ndarray
    causes: Mapping[int, str] = field(default_factory=dict)
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def games(self) -> int:
        return len(self.ended)

    @property
    def died(self) -> np.ndarray:
        died: np.ndarray = self.ended == End.DEATH
        return died


@dataclass(frozen=True)
class Since:
    """Where counting began in N games: counts of all events so far and at the beginning, and the time there.

    total, base: int64 [N, len(EVENTS)]. turn, step: int64 [N].
    """

    total: np.ndarray
    base: np.ndarray
    turn: np.ndarray
    step: np.ndarray

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        """Count from here in the games bool [N]."""
        self.base[where] = self.total[where]
        self.turn[where], self.step[where] = state["turn"][where], state["step"][where]


def since(total: np.ndarray) -> Since:
    """Counting from the beginning. total: counts of all events, which the caller keeps up to date."""
    return Since(total, np.zeros_like(total), *np.zeros((2, len(total)), np.int64))


Box = Mapping[str, tuple[int, int]]  # text of a quantity -> the values that it may have


class Expression(ABC):
    """One node; `type` is int or bool. `str` gives its text, in which two equal quantities are equal."""

    type: ClassVar[type]

    @abstractmethod
    def value(self, step: Step, since: Since) -> Any:
        """An array [N], or a number."""

    @abstractmethod
    def bounds(self, box: Box) -> tuple[int, int]:
        """Least and greatest value, whatever the game does, with false 0 and true 1."""

    def share(self, step: Step, since: Since) -> Any:
        """How much of it is achieved, in [0, 1]: array [N] or number. 1 exactly where it holds."""
        return np.asarray(self.value(step, since), np.float64)

    def parts(self) -> Iterator["Expression"]:
        """Itself and all below."""
        yield self


@dataclass(frozen=True)
class Literal(Expression):
    number: int
    type = int

    def __str__(self) -> str:
        return str(self.number)

    def value(self, step: Step, since: Since) -> int:
        return self.number

    def bounds(self, box: Box) -> tuple[int, int]:
        return self.number, self.number


@dataclass(frozen=True)
class Truth(Expression):
    """`true` or `false`."""

    holds: bool
    type = bool

    def __str__(self) -> str:
        return str(self.holds).lower()

    def value(self, step: Step, since: Since) -> np.ndarray:
        return np.full(step.games, self.holds)

    def bounds(self, box: Box) -> tuple[int, int]:
        return int(self.holds), int(self.holds)


@dataclass(frozen=True)
class Quantity(Expression):
    """A number that the game gives: a field, a count of an event, turns, or one of the game's secrets."""

    text: str
    read: Callable[[Step, Since], np.ndarray]
    least: int
    most: int
    type = int

    def __str__(self) -> str:
        return self.text

    def value(self, step: Step, since: Since) -> np.ndarray:
        return self.read(step, since)

    def bounds(self, box: Box) -> tuple[int, int]:
        return box.get(self.text, (self.least, self.most))


@dataclass(frozen=True)
class Flag(Expression):
    """Something that is true or false of a step."""

    text: str
    read: Callable[[Step, Since], np.ndarray]
    ends: bool = False  # only at the end of an episode
    type = bool

    def __str__(self) -> str:
        return self.text

    def value(self, step: Step, since: Since) -> np.ndarray:
        return self.read(step, since)

    def bounds(self, box: Box) -> tuple[int, int]:
        return box.get(self.text, (0, 1))


def _field(name: str) -> Callable[[Step, Since], np.ndarray]:
    return lambda step, since: step.state[name]


def field_of(name: str) -> Expression:
    """A field of GameState."""
    one = FIELDS[name]
    if one.type is bool:
        read = _field(name)
        return Flag(name, lambda step, since: read(step, since) != 0)
    return Quantity(name, _field(name), *one.range)


def secret(name: str) -> Expression:
    return Quantity(f"truth.{name}", lambda step, since: step.truth[name], -1, MOST)


def count(event: str) -> Expression:
    """How often the event happened since this condition began."""
    at = COLUMN[event]
    return Quantity(f"count({event})", lambda _, since: since.total[:, at] - since.base[:, at], 0, MOST)


def total(event: str) -> Expression:
    """How often the event happened since the episode began."""
    at = COLUMN[event]
    return Quantity(f"total({event})", lambda _, since: since.total[:, at], 0, MOST)


def happened(event: str) -> Expression:
    """Whether the event happened on this step."""
    at = COLUMN[event]
    return Flag(f"happened({event})", lambda step, _: step.events[:, at] > 0)


def turns() -> Expression:
    """Game turns since this condition began."""
    return Quantity("turns()", lambda step, since: step.state["turn"] - since.turn, 0, MOST)


def steps() -> Expression:
    """Environment steps since this condition began."""
    return Quantity("steps()", lambda step, since: step.state["step"] - since.step, 0, MOST)


def ended(how: str) -> Expression:
    end = {"died": End.DEATH, "left": End.LEFT}[how]
    return Flag(how, lambda step, _: step.ended == end, ends=True)


def died_of(words: str) -> Expression:
    """Whether the hero died on this step of a cause in which these words occur, in any case."""
    wanted = words.lower()

    def read(step: Step, since: Since) -> np.ndarray:
        found = step.died.copy()
        for game in np.flatnonzero(found).tolist():
            found[game] = wanted in step.causes.get(game, "").lower()
        return found

    return Flag(f"died_of({words!r})", read, ends=True)


@dataclass(frozen=True)
class Arithmetic(Expression):
    op: str
    left: Expression
    right: Expression
    type = int
    DOES: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
    }

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"

    def value(self, step: Step, since: Since) -> Any:
        left, right = (np.asarray(one.value(step, since), np.int64) for one in (self.left, self.right))
        return self.DOES[self.op](left, right)

    def bounds(self, box: Box) -> tuple[int, int]:
        corners = [self.DOES[self.op](a, b) for a in self.left.bounds(box) for b in self.right.bounds(box)]
        return min(corners), max(corners)

    def parts(self) -> Iterator[Expression]:
        yield from (self, *self.left.parts(), *self.right.parts())


@dataclass(frozen=True)
class Comparison(Expression):
    op: str
    left: Expression
    right: Expression
    type = bool
    DOES: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    OPPOSITE: ClassVar[dict[str, str]] = {
        "==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">",
    }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"

    def value(self, step: Step, since: Since) -> Any:
        left, right = (one.value(step, since) for one in (self.left, self.right))
        return np.broadcast_to(self.DOES[self.op](left, right), step.games)

    def share(self, step: Step, since: Since) -> Any:
        """Of a number that must be great enough: how near it is, from zero."""
        holds = np.asarray(self.value(step, since), np.float64)
        if self.op not in (">", ">=") or self.left.type is bool:
            return holds
        have = np.maximum(np.asarray(self.left.value(step, since), np.float64), 0)
        need = np.asarray(self.right.value(step, since), np.float64) + (self.op == ">")
        near = np.minimum(have / np.maximum(need, 1), 1 - 1e-6)
        return np.where(holds > 0, 1.0, np.where(need > 0, near, 0.0))

    def bounds(self, box: Box) -> tuple[int, int]:
        (low, high), (least, most) = self.left.bounds(box), self.right.bounds(box)
        never, always = {
            "<": (low >= most, high < least),
            "<=": (low > most, high <= least),
            ">": (high <= least, low > most),
            ">=": (high < least, low >= most),
            "==": (high < least or low > most, low == high == least == most),
            "!=": (low == high == least == most, high < least or low > most),
        }[self.op]
        return int(always), int(not never)

    def parts(self) -> Iterator[Expression]:
        yield from (self, *self.left.parts(), *self.right.parts())


@dataclass(frozen=True)
class Not(Expression):
    of: Expression
    type = bool

    def __str__(self) -> str:
        return f"not {self.of}"

    def value(self, step: Step, since: Since) -> Any:
        return ~np.asarray(self.of.value(step, since))

    def bounds(self, box: Box) -> tuple[int, int]:
        low, high = self.of.bounds(box)
        return 1 - high, 1 - low

    def parts(self) -> Iterator[Expression]:
        yield from (self, *self.of.parts())


@dataclass(frozen=True)
class Both(Expression):
    """`and` (every) or `or` (not every) of several."""

    of: tuple[Expression, ...]
    every: bool
    type = bool

    def __str__(self) -> str:
        return f"({(' and ' if self.every else ' or ').join(map(str, self.of))})"

    def value(self, step: Step, since: Since) -> Any:
        return (np.all if self.every else np.any)([one.value(step, since) for one in self.of], axis=0)

    def share(self, step: Step, since: Since) -> Any:
        return (np.mean if self.every else np.max)([one.share(step, since) for one in self.of], axis=0)

    def bounds(self, box: Box) -> tuple[int, int]:
        low, high = zip(*(one.bounds(box) for one in self.of), strict=True)
        return (min(low), min(high)) if self.every else (max(low), max(high))

    def parts(self) -> Iterator[Expression]:
        yield self
        for one in self.of:
            yield from one.parts()


def can_hold(expression: Expression) -> bool:
    """False only if no game can make it true: numbers out of their range, or contradictions.

    It looks at each way to make the expression true, narrows the ranges of the numbers that are compared with
    literals, and evaluates the rest with intervals. So it finds `depth > 3 and depth < 2`, and does not find
    contradictions between two sums.
    """
    ways = _ways(expression, True)
    return ways is None or any(_possible(way) for way in ways)


_MOST_WAYS = 200


def _ways(expression: Expression, wanted: bool) -> list[tuple[Expression, ...]] | None:
    """Disjunctive normal form: parts that are all true, in each way. None if there are too many."""
    if isinstance(expression, Not):
        return _ways(expression.of, not wanted)
    if isinstance(expression, Comparison) and not wanted:
        return [(Comparison(Comparison.OPPOSITE[expression.op], expression.left, expression.right),)]
    if not isinstance(expression, Both):
        return [(expression if wanted else Not(expression),)]
    below = [_ways(one, wanted) for one in expression.of]
    ways: list[tuple[Expression, ...]] = [] if expression.every != wanted else [()]
    for some in below:
        if some is None:
            return None
        ways = ways + some if expression.every != wanted else [(*a, *b) for a in ways for b in some]
        if len(ways) > _MOST_WAYS:
            return None
    return ways


def _possible(way: Sequence[Expression]) -> bool:
    box: dict[str, tuple[int, int]] = {}
    for one in way:
        flag = one.of if isinstance(one, Not) else one
        if isinstance(flag, Flag):
            low, high = flag.bounds(box)
            value = int(not isinstance(one, Not))
            box[str(flag)] = max(low, value), min(high, value)
        elif isinstance(one, Comparison):
            for subject, other, op in (
                (one.left, one.right, one.op),
                (one.right, one.left, _MIRRORED.get(one.op, one.op)),
            ):
                if isinstance(subject, Quantity | Flag):
                    box[str(subject)] = _narrowed(subject.bounds(box), op, other.bounds(box))
    empty = any(low > high for low, high in box.values())
    return not empty and all(one.bounds(box)[1] for one in way)


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _narrowed(own: tuple[int, int], op: str, other: tuple[int, int]) -> tuple[int, int]:
    (low, high), (least, most) = own, other
    if op == "==":
        return max(low, least), min(high, most)
    if op in ("<", "<="):
        return low, min(high, most - (op == "<"))
    if op in (">", ">="):
        return max(low, least + (op == ">")), high
    return low, high
