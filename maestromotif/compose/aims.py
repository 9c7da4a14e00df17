"""What a task's conditions ask for, in the facts of rule tables.

A small model that is to fill in a table is shown this line, and the grammar of its answer begins with a rule
for each stage that comes after another one.
"""

import re
from collections.abc import Sequence

from maestromotif.compose import rules
from maestromotif.compose.rules import FACTS, MOST_STAGES, Stages
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIELDS
from maestromotif.tasks.expressions import Expression, Not
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then
from maestromotif.tasks.parse import parse_all

# What conditions write -> the fact that says the same.
_FACTS = {
    **{f"count({one.events[0]})": name for name, one in FIELDS.items() if len(one.events) == 1},
    **{f"total({one.events[0]})": name for name, one in FIELDS.items() if len(one.events) == 1},
    **{fact.code.replace("state.", ""): name for name, fact in FACTS.items() if " " in fact.code},
}


def in_words(conditions: Sequence[str]) -> str:
    """One line, such as `kills >= 1, then depth >= 3`, or `prayers >= 1, and never happened(ate)`.

    Empty without conditions. Raises UserError for conditions that cannot be read.
    """
    formula = parse_all(conditions, "success")
    return _words(formula) if formula else ""


def earlier_stages(conditions: Sequence[str]) -> Stages:
    """What must have come before the last stage, one after the other, as far as tables can say it.

    The stages from the first one on that have facts, without the last stage of all, and at most as many as an
    `after` may have. Raises UserError for conditions that cannot be read.
    """
    formula = parse_all(conditions, "success")
    found = []
    for stage in _stages(formula)[:-1] if formula else ():
        try:
            found.append(rules.stage(_text(stage)))
        except UserError:
            break
    return tuple(found[:MOST_STAGES])


def _stages(formula: Formula) -> list[Expression | None]:
    """Expressions that come true one after the other; None for what is not one expression."""
    match formula:
        case Holds(expression):
            return [expression]
        case Then(of):
            return [stage for one in of for stage in _stages(one)]
        case Avoiding(inner):
            return _stages(inner)
    return [None]


def _words(formula: Formula) -> str:
    match formula:
        case Holds(expression):
            return _text(expression)
        case Then(of):
            return ", then ".join(map(_words, map(_without_what_follows, of, (*of[1:], None))))
        case Several(of, every):
            return (", and " if every else ", or ").join(map(_words, of))
        case Avoiding(inner, Not(good)):
            return f"{_words(inner)}, and until then {_text(good)}"
        case Avoiding(inner, bad):
            return f"{_words(inner)}, and never {_text(bad)}"
        case Repeat(times, inner):
            return f"{times} times: {_words(inner)}"
    raise AssertionError(formula)


def _without_what_follows(one: Formula, following: Formula | None) -> Formula:
    """`not_before(C, A)` is A, avoiding C, and then C: the order says as much."""
    if isinstance(one, Avoiding) and isinstance(following, Holds) and following.expression is one.bad:
        return one.formula
    return one


def _text(expression: Expression | None) -> str:
    """The expression, with facts for what they say too; empty for None."""
    text = re.sub(r"^\((.*)\)$", r"\1", str(expression or ""))
    for said, fact in _FACTS.items():
        text = text.replace(said, fact)
    return text
