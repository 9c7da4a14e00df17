"""What a task asks for that cannot be said in conditions, or that no skill works towards."""

import re
from collections.abc import Sequence
from functools import cache

from maestromotif.compose.likeness import words_of
from maestromotif.nethack.actions import ACTION_SETS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import FIELDS
from maestromotif.skill import Skill
from maestromotif.tasks import expressions as ex
from maestromotif.tasks.atoms import ATOMS
from maestromotif.tasks.compositions import OPERATORS
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then
from maestromotif.tasks.parse import parse_all

_BREAKS = r"[.,;:!?]+|\b(?:and|then|but|or|without|until|before|after|while)\b"
# Words that say nothing of what is asked for.
_EMPTY = words_of(
    "all also any are been can do does ever every first for fourth from get give has have her him his into "
    "its more most much not now off one only our out own second some soon than that the their them there "
    "these they third this those time too very want was were what when where which who will with you your"
)


def strange(words: str, skills: Sequence[Skill]) -> list[str]:
    """Parts of a sentence of which no word occurs in the texts of atoms, events, fields, actions and skills.

    So it finds what is not about the game, and what no condition can say. A part with one word that is
    known passes, whatever it means.
    """
    known = _vocabulary().union(*(words_of(f"{one.name} {one.description}") for one in skills))
    parts = [part.strip() for part in re.split(_BREAKS, words, flags=re.IGNORECASE)]
    content = {part: words_of(part) - _EMPTY for part in parts}
    return [part for part, said in content.items() if said and not said & known]


@cache
def _vocabulary() -> frozenset[str]:
    texts = [text for atom in ATOMS.values() for text in (*atom.says, *atom.done)]
    texts += [text for operator in OPERATORS.values() for text in (*operator.says, "twice", "times")]
    texts += [action.doc for actions in ACTION_SETS.values() for action in actions.adds.values()]
    texts += [f"{name} {event.doc}" for name, event in EVENTS.items()]
    texts += [f"{name} {field.doc}" for name, field in FIELDS.items()]
    return frozenset().union(*(words_of(text.replace("_", " ")) for text in texts)) - _EMPTY


# What changes a number or flag, where no event counts it: events and changes that skills can want.
_MADE_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("depth", "dungeon", "level"), ("descended", "ascended")),
    "deepest": ("descended",),
    "left": ("ascended",),
    "gold": ("picked_up", "sold"),
    "xp_level": ("killed",),
    **dict.fromkeys(("explored", "in_shop", "in_temple"), ("explored",)),
    **dict.fromkeys(("altar_in_view", "shopkeeper_in_view"), ("explored",)),
    **dict.fromkeys(("entered_shop", "entered_temple", "entered_delphi"), ("explored", "descended")),
    **dict.fromkeys(("meals_while_hungry", "has_eaten_in_mines"), ("ate",)),
    **dict.fromkeys(("gained_level",), ("killed",)),
    "prayed": ("prayed", "prayed_well"),
    "price_identified": ("price_offered", "price_identified"),
    "sellable_items": ("picked_up",),
}


def unserved(conditions: Sequence[str], skills: Sequence[Skill]) -> list[tuple[str, str]]:
    """Parts of conditions that no skill works towards, and the events that one would have to want.

    It reads what the skills say that they want or count as progress. So it does not know what a skill does
    by the way, nor whether a skill is any good at it; a number or flag that it does not know about is taken
    as served. What must not happen needs no skill.
    """
    wanted = {event for one in skills for event in (*one.wanted, *one.progress)}
    formula = parse_all(conditions, "success")
    return [] if formula is None else list(_unserved(formula, wanted).items())


def _unserved(formula: Formula, wanted: set[str]) -> dict[str, str]:
    match formula:
        case Holds(expression):
            return _unserved_parts(expression, wanted)
        case Avoiding(inner) | Repeat(_, inner):
            return _unserved(inner, wanted)
        case Several(parts, every=False):
            found = [_unserved(one, wanted) for one in parts]
            return {} if not all(found) else found[0]
        case Then(parts) | Several(parts):
            return {part: events for one in parts for part, events in _unserved(one, wanted).items()}
    raise AssertionError(formula)


def _unserved_parts(expression: ex.Expression, wanted: set[str]) -> dict[str, str]:
    """Of what must become true on one step: numbers that must be great enough, and flags."""
    match expression:
        case ex.Both(parts, every=True):
            return {part: events for one in parts for part, events in _unserved_parts(one, wanted).items()}
        case ex.Both(parts):
            found = [_unserved_parts(one, wanted) for one in parts]
            return {} if not all(found) else found[0]
        case ex.Comparison(">=" | ">" | "==", left, _):
            names = [one.text for one in left.parts() if isinstance(one, ex.Quantity)]
        case ex.Flag(text):
            names = [text]
        case _:
            names = []
    makers = [_makers(word) for name in names for word in re.findall(r"[a-z_]+", name)]
    missing = [one for one in makers if one and not wanted.intersection(one)]
    return {str(expression): " or ".join(missing[0])} if missing else {}


def _makers(name: str) -> tuple[str, ...]:
    """Events and changes by which a number, flag or event comes about; () if that is not known."""
    if name in _MADE_BY:
        return _MADE_BY[name]
    if name in FIELDS:
        return FIELDS[name].events
    return (name,) if name in EVENTS else ()
