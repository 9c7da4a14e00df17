"""Rule tables without a model: random ones, and small changes of a table, drawn at random.

The edits are those of `edits.py`, where a table has a place for them. Guards compare facts with numbers that
simulated games show; facts and numbers of the task's conditions are drawn more often.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import numpy as np

from maestromotif.compose.edits import shifted
from maestromotif.compose.rules import (
    FACTS,
    MOST_RULES,
    OPS,
    After,
    Comparison,
    Flag,
    Guard,
    Plain,
    Rule,
    Table,
)
from maestromotif.nethack.state import FIELDS
from maestromotif.programs.trial_states import Dice

_AFTER = 0.25  # of the guards that are drawn remember something
_OF_TASK = 0.5  # are about a fact of the task's conditions, where these name one
_DRAWN_RULES = (1, 4)  # of a random table


class Guards:
    """Draws guards. conditions: of the task, in the language of `tasks/`; others add nothing."""

    def __init__(self, conditions: Sequence[str] = ()) -> None:
        self._of_task: dict[str, list[int]] = {}  # fact -> numbers that conditions compare it with
        for condition in conditions:
            self._read(condition)

    def plain(self, random: Random) -> Plain:
        """A comparison or a flag."""
        from_task = self._of_task and random.random() < _OF_TASK
        fact = random.choice(list(self._of_task if from_task else FACTS))
        if FACTS[fact].type is bool:
            return Flag(fact, random.random() < 0.5)
        numbers = self._of_task.get(fact) or usual_numbers()[fact]
        return Comparison(fact, random.choice(OPS), random.choice(numbers))

    def guard(self, random: Random) -> Guard:
        """A comparison, a flag, or the memory of one or two of them."""
        if random.random() >= _AFTER:
            return self.plain(random)
        stages = tuple((self.plain(random),) for _ in range(random.choice((1, 2))))
        return After(stages, random.random() < 0.5)

    def _read(self, condition: str) -> None:
        try:
            tree = ast.parse(condition, mode="eval")
        except (SyntaxError, ValueError, RecursionError):
            return
        for node in ast.walk(tree):
            for name in _facts(node):
                self._of_task.setdefault(name, [])
            if isinstance(node, ast.Compare) and isinstance(number := node.comparators[0], ast.Constant):
                for name in (name for part in ast.walk(node.left) for name in _facts(part)):
                    if type(number.value) is int:
                        self._of_task.setdefault(name, []).append(number.value)


def _facts(node: ast.AST) -> list[str]:
    """The facts that a name in a condition is about: itself, or what counts that event."""
    if not isinstance(node, ast.Name):
        return []
    return [name for name in FACTS if name == node.id or (name in FIELDS and node.id in FIELDS[name].events)]


@cache
def usual_numbers() -> dict[str, list[int]]:
    """For each fact that is a number: numbers that it has in simulated games, from its quantiles."""
    dice, seen = Dice(32, seed=0), []
    nothing = np.zeros(32, bool)
    for _ in range(200):
        dice.advance(np.zeros(32, np.int32), nothing)
        seen.append({name: dice.state[name].copy() for name, fact in FACTS.items() if fact.type is int})
    values = {name: np.concatenate([state[name] for state in seen]) for name in seen[0]}
    quantiles = np.linspace(0.1, 0.95, 8)
    return {
        name: np.unique(np.quantile(column, quantiles, method="nearest")).astype(int).tolist()
        for name, column in values.items()
    }


@dataclass(frozen=True)
class Material:
    """What edits of tables put in. other: a table to copy from."""

    skills: Sequence[str]
    guards: Guards
    other: Table | None = None


def random_table(random: Random, material: Material) -> Table:
    """A few rules, each with one or two guards."""
    rules = tuple(_random_rule(random, material) for _ in range(random.randint(*_DRAWN_RULES)))
    return Table(rules, random.choice(material.skills))


def edited(table: Table, random: Random, material: Material, names: Sequence[str] = ()) -> Table | None:
    """The table after one edit of those named (default: of all); None if it has no place for any of them."""
    kinds = list(names or EDITS)
    random.shuffle(kinds)
    for name in kinds:
        if (changed := EDITS[name](table, random, material)) is not None:
            return changed
    return None


def _random_rule(random: Random, material: Material) -> Rule:
    guards = tuple(material.guards.guard(random) for _ in range(random.choice((1, 1, 2))))
    return Rule(guards, random.choice(material.skills))


# --------------------------------------------------------------------------------------------------- edits


def _shift(table: Table, random: Random, material: Material) -> Table | None:
    return _changed(
        table,
        random,
        lambda one: isinstance(one, Comparison),
        lambda one: (
            replace(one, value=max(0, shifted(one.value, random))) if isinstance(one, Comparison) else one
        ),
    )


def _flip(table: Table, random: Random, material: Material) -> Table | None:
    def flipped(one: Guard) -> Guard:
        if isinstance(one, Comparison):
            return replace(one, op=random.choice([op for op in OPS if op != one.op]))
        return replace(one, holds=not one.holds)

    return _changed(table, random, lambda one: True, flipped)


def _swap(table: Table, random: Random, material: Material) -> Table | None:
    if len(table.rules) < 2:
        return None
    rules = list(table.rules)
    one, other = random.sample(range(len(rules)), 2)
    rules[one], rules[other] = rules[other], rules[one]
    return replace(table, rules=tuple(rules))


def _drop(table: Table, random: Random, material: Material) -> Table | None:
    """Drop a guard; with the only guard of a rule, the rule."""
    if not table.rules:
        return None
    number = random.randrange(len(table.rules))
    rule = table.rules[number]
    at = random.randrange(len(rule.guards))
    left = rule.guards[:at] + rule.guards[at + 1 :]
    kept = (replace(rule, guards=left),) if left else ()
    return replace(table, rules=table.rules[:number] + kept + table.rules[number + 1 :])


def _add(table: Table, random: Random, material: Material) -> Table | None:
    """Add a guard to a rule, or a rule."""
    if table.rules and random.random() < 0.5:
        number = random.randrange(len(table.rules))
        rule = table.rules[number]
        longer = replace(rule, guards=(*rule.guards, material.guards.guard(random)))
        return replace(table, rules=(*table.rules[:number], longer, *table.rules[number + 1 :]))
    return _inserted(table, _random_rule(random, material), random)


def _rename(table: Table, random: Random, material: Material) -> Table | None:
    number = random.randrange(len(table.rules) + 1)
    used = table.otherwise if number == len(table.rules) else table.rules[number].skill
    others = [name for name in material.skills if name != used]
    if not others:
        return None
    if number == len(table.rules):
        return replace(table, otherwise=random.choice(others))
    renamed = replace(table.rules[number], skill=random.choice(others))
    return replace(table, rules=(*table.rules[:number], renamed, *table.rules[number + 1 :]))


def _copy(table: Table, random: Random, material: Material) -> Table | None:
    if material.other is None or not material.other.rules:
        return None
    return _inserted(table, random.choice(material.other.rules), random)


EDITS: dict[str, Callable[[Table, Random, Material], Table | None]] = {
    "shift": _shift,
    "flip": _flip,
    "swap": _swap,
    "drop": _drop,
    "add": _add,
    "rename": _rename,
    "copy": _copy,
}


def _inserted(table: Table, rule: Rule, random: Random) -> Table | None:
    if len(table.rules) >= MOST_RULES:
        return None
    at = random.randint(0, len(table.rules))
    return replace(table, rules=(*table.rules[:at], rule, *table.rules[at:]))


def _changed(
    table: Table, random: Random, fits: Callable[[Guard], bool], change: Callable[[Guard], Guard]
) -> Table | None:
    """The table with one guard changed, of those that fit; guards inside an `after` count too."""
    fitting = [one for rule in table.rules for one in _all_guards(rule) if fits(one)]
    if not fitting:
        return None
    old = random.choice(fitting)
    new = change(old)

    def plainly(one: Plain) -> Plain:
        return new if one is old and not isinstance(new, After) else one

    def swapped(one: Guard) -> Guard:
        if one is old:
            return new
        if isinstance(one, After):
            return replace(one, stages=tuple(tuple(map(plainly, stage)) for stage in one.stages))
        return one

    rules = tuple(replace(rule, guards=tuple(map(swapped, rule.guards))) for rule in table.rules)
    return replace(table, rules=rules)


def _all_guards(rule: Rule) -> list[Guard]:
    found: list[Guard] = []
    for one in rule.guards:
        found.append(one)
        if isinstance(one, After):
            found += [part for stage in one.stages for part in stage]
    return found
