"""Compositions of atoms by operators: their conditions, their English, and how difficult they are.

A composition is written like a condition, with atoms in place of conditions and their numbers in brackets:

    then(all_of(kill(25), gold(20), descend(3)), leave)

`read` reads it and `str` writes it. The parts of `all_of` and `any_of` are sorted, so that equal compositions
have equal texts. By their `shape` the tasks are split (`generate.py`).
"""

import ast
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from maestromotif.errors import UserError, did_you_mean
from maestromotif.tasks.atoms import ATOMS, Atom, in_words, say

Operator = Literal["then", "all_of", "any_of", "not_before", "avoiding", "until", "repeat", "most"]


@dataclass(frozen=True)
class Form:
    """An operator: how it is written, what it means, what its parts can be, and ways to say it.

    takes: for each part the sorts that it may have (`Composition.sort`); the last entry also stands for all
    further parts. parts: how many, at least and at most. In `says`, a and b stand for the parts as orders,
    `rest` for those before b or a, a.done for "you have done a", x for a ban or stay, k for how often.
    inside: ways to say it as a part of another operator.
    """

    form: str
    doc: str
    takes: tuple[tuple[str, ...], ...]
    says: tuple[str, ...]
    inside: tuple[str, ...] = ()
    parts: tuple[int, int] = (2, 2)


OPERATORS: dict[Operator, Form] = {
    "then": Form(
        "then(A, B, ...)",
        "A, and after it B, and so on.",
        takes=(("goal", "all_of", "any_of", "until", "repeat"),),
        says=(
            "first {a}, then {rest}{b}",
            "begin with this: {a}; then {rest}{b}",
            "do this in order: first {a}, then {rest}{b}",
        ),
        inside=("first {a}, then {rest}{b}",),
        parts=(2, 4),
    ),
    "all_of": Form(
        "all_of(A, B, ...)",
        "All, in any order.",
        takes=(("goal",),),
        says=(
            "{rest}{a} and {b}, in any order",
            "{rest}{a} and {b}, in the order that suits you",
            "in any order, {rest}{a} and {b}",
        ),
        inside=("{rest}{a} and {b} in any order", "in any order {rest}{a} and {b}"),
        parts=(2, 3),
    ),
    "any_of": Form(
        "any_of(A, B)",
        "One of them.",
        takes=(("goal",),),
        says=("either {a} or {b}", "{a} or {b}, as you like", "do one of these: {a} or {b}"),
        inside=("either {a} or {b}",),
    ),
    "not_before": Form(
        "not_before(A, B)",
        "A, but not before B.",
        takes=(("goal",),),
        says=(
            "{a}, but not before {b.done}",
            "{a}, but only after {b.done}",
            "{a}, but not until {b.done}",
        ),
        inside=("{a}, but not before {b.done}", "{a}, but only after {b.done}"),
    ),
    "avoiding": Form(
        "avoiding(A, X)",
        "A, and the ban X is never broken.",
        takes=(("goal", "then", "all_of", "any_of", "not_before"), ("ban",)),
        says=(
            "without ever {x}, {a}",
            "{a}, all without ever {x}",
            "{a}, and do so without once {x}",
        ),
    ),
    "until": Form(
        "until(X, A)",
        "A, and X stays true until then.",
        takes=(("stay",), ("goal", "all_of")),
        says=(
            "{x} until {a.done}",
            "until {a.done}, {x}",
            "from now until {a.done}, {x}",
        ),
        inside=("{x} until {a.done}",),
    ),
    "repeat": Form(
        "repeat(N, A)",
        "A, N times. A place counts again only after the hero was elsewhere.",
        takes=(("goal", "then"),),
        says=("do this {k}: {a}", "{k} in all, do this: {a}", "do this not once but {k}: {a}"),
        inside=("{a} {k}",),
        parts=(1, 1),
    ),
    "most": Form(
        "most(A)",
        "A as often as possible. It is measured and never achieved, so `generate` does not make it.",
        takes=(("goal",),),
        says=(
            "{a}, and after that as many more as you can",
            "do this as often as you can: {a}",
            "again and again, {a}",
        ),
        parts=(1, 1),
    ),
}


class Composition(ABC):
    """One node. `str` gives its text."""

    @abstractmethod
    def shape(self) -> str:
        """Its text without numbers; of `until`, that of `avoiding` if a ban says the same as the stay."""

    @abstractmethod
    def condition(self) -> str:
        """As in a task's `success`."""

    @property
    @abstractmethod
    def sort(self) -> str:
        """What it can be a part of: the role of an atom, or the name of the operator."""

    @abstractmethod
    def words(self, rng: random.Random, inside: bool = False) -> str:
        """An order in English, in small letters and without a full stop; rng chooses the paraphrases."""

    @abstractmethod
    def uses(self) -> Iterator["Use"]:
        """All atoms in it, from left to right."""

    @abstractmethod
    def joints(self) -> Iterator["Joint"]:
        """All operators in it, from the top."""

    @abstractmethod
    def turns(self) -> int:
        """Rough guess of the game turns that a good player needs."""

    @abstractmethod
    def events(self) -> int:
        """How many things must happen."""


@dataclass(frozen=True)
class Use(Composition):
    """An atom with its number; None if it has none."""

    name: str
    number: int | None = None

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}({self.number})"

    @property
    def atom(self) -> Atom:
        return ATOMS[self.name]

    @property
    def depth(self) -> int:
        """The deepest level that may be needed, in any dungeon."""
        return self.atom.depth or self.number or 1

    @property
    def above(self) -> int:
        """The least depth at which the hero is when it is met."""
        return self.atom.above or self.number or 1

    def shape(self) -> str:
        return self.name

    def condition(self) -> str:
        return self.atom.condition.replace("{n}", str(self.number))

    @property
    def sort(self) -> str:
        return self.atom.role

    def words(self, rng: random.Random, inside: bool = False) -> str:
        return say(rng.choice(self.atom.says), self.number)

    def done(self, rng: random.Random) -> str:
        return say(rng.choice(self.atom.done), self.number)

    def uses(self) -> Iterator["Use"]:
        yield self

    def joints(self) -> Iterator["Joint"]:
        yield from ()

    def turns(self) -> int:
        return self.atom.turns + self.atom.turns_each * (self.number or 0)

    def events(self) -> int:
        if self.atom.role != "goal":
            return 0
        return self.number or 1 if self.atom.condition.startswith("count(") else 1


@dataclass(frozen=True)
class Joint(Composition):
    """An operator with its parts; times: of repeat only."""

    operator: Operator
    parts: tuple[Composition, ...]
    times: int = 1

    def __post_init__(self) -> None:
        if self.operator in ("all_of", "any_of"):
            object.__setattr__(self, "parts", tuple(sorted(self.parts, key=str)))

    def __str__(self) -> str:
        times = [str(self.times)] if self.operator == "repeat" else []
        return f"{self.operator}({', '.join([*times, *map(str, self.parts)])})"

    def shape(self) -> str:
        if self.operator == "until" and isinstance(stay := self.parts[0], Use) and stay.atom.twin:
            return f"avoiding({self.parts[1].shape()},{stay.atom.twin})"
        return f"{self.operator}({','.join(one.shape() for one in self.parts)})"

    def condition(self) -> str:
        inner = [one.condition() for one in self.parts]
        if self.operator == "repeat":
            inner.insert(0, str(self.times))
        return f"{self.operator}({', '.join(inner)})"

    @property
    def sort(self) -> str:
        return self.operator

    def words(self, rng: random.Random, inside: bool = False) -> str:
        form = OPERATORS[self.operator]
        said = rng.choice(form.inside if inside else form.says)
        orders = [one.words(rng, inside=True) for one in self.parts]
        values = {"k": "twice" if self.times == 2 else f"{in_words(self.times)} times"}
        match self.operator:
            case "then":
                rest = "".join(f"{one}, then " for one in orders[1:-1])
                values |= {"a": orders[0], "rest": rest, "b": orders[-1]}
            case "all_of":
                rest = "".join(f"{one}, " for one in orders[:-2])
                values |= {"a": orders[-2], "rest": rest, "b": orders[-1]}
            case "avoiding":
                values |= {"a": orders[0], "x": orders[1]}
            case "until":
                values |= {"x": orders[0], "a.done": _done(self.parts[1], rng)}
            case "not_before":
                values |= {"a": orders[0], "b.done": _done(self.parts[1], rng)}
            case _:
                values |= {"a": orders[0], "b": orders[-1]}
        for name, value in values.items():
            said = said.replace(f"{{{name}}}", value)
        return said

    def uses(self) -> Iterator[Use]:
        for one in self.parts:
            yield from one.uses()

    def joints(self) -> Iterator["Joint"]:
        yield self
        for one in self.parts:
            yield from one.joints()

    def turns(self) -> int:
        turns = [one.turns() for one in self.parts]
        return min(turns) if self.operator == "any_of" else self.times * sum(turns)

    def events(self) -> int:
        events = [one.events() for one in self.parts]
        return min(events) if self.operator == "any_of" else self.times * sum(events)


def _done(part: Composition, rng: random.Random) -> str:
    """What was done: of an atom, or of several in any order."""
    return " and ".join(one.done(rng) for one in part.uses())


def sentence(words: str) -> str:
    """Words as a sentence."""
    return words[0].upper() + words[1:] + "."


def success_of(composition: Composition) -> tuple[str, ...]:
    """The conditions of a task, one after the other; () of a task that only measures."""
    if isinstance(composition, Joint) and composition.operator == "most":
        return ()
    if isinstance(composition, Joint) and composition.operator == "then":
        return tuple(one.condition() for one in composition.parts)
    return (composition.condition(),)


def measure_of(composition: Composition) -> str | None:
    """The number that a task measures."""
    if isinstance(composition, Joint) and composition.operator == "most":
        (counted,) = composition.uses()
        return counted.atom.measure
    return None


DIFFICULTIES = (400, 1_200, 3_000)  # turns; more than these is difficulty 2, 3, 4


def features_of(composition: Composition) -> dict[str, Any]:
    """What makes it difficult: whole numbers, booleans and lists of names, for tables.

    depth: the deepest level that may be needed. needs: what the dungeon must offer. turns: a rough guess.
    difficulty: 1 to 4, by the turns.
    """
    uses = list(composition.uses())
    goals = [one for one in uses if one.atom.role == "goal"]
    operators = [one.operator for one in composition.joints()]
    turns = composition.turns()
    return {
        "difficulty": 1 + sum(turns > one for one in DIFFICULTIES),
        "depth": max(one.depth for one in goals),
        "needs": sorted({need for one in uses for need in one.atom.needs}),
        "events": composition.events(),
        "turns": turns,
        "atoms": len(uses),
        "operators": len(operators),
        "ordered": any(one in ("then", "not_before") for one in operators),
        "forbids": any(one in ("avoiding", "until", "not_before") for one in operators),
    }


def read(text: str) -> Composition:
    """The composition of a text. Raises UserError."""

    def node(tree: ast.expr) -> Composition:
        match tree:
            case ast.Name(id=name) if name in ATOMS and not ATOMS[name].numbers:
                return Use(name)
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=int() as number)]) if (
                name in ATOMS and ATOMS[name].numbers and number >= 1
            ):
                return Use(name, number)
            case ast.Call(func=ast.Name(id="repeat"), args=[ast.Constant(value=int() as times), part]):
                return Joint("repeat", (node(part),), times)
            case ast.Call(func=ast.Name(id=name), args=[_, *_] as parts):
                for operator in OPERATORS:
                    if operator == name and name != "repeat":
                        return Joint(operator, tuple(map(node, parts)))
            case ast.Name(id=name):
                pass
            case _:
                name = ast.unparse(tree)
        needs = ", which needs a number" if name in ATOMS and ATOMS[name].numbers else ""
        raise UserError(f"{text!r}: cannot read '{name}'{needs}{did_you_mean(name, (*ATOMS, *OPERATORS))}")

    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise UserError(f"{text!r}: cannot read it: {error.msg}") from None
    return node(tree)
