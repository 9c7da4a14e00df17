"""Which compositions make sense: none that no game can meet, and none with a part that says nothing.

`parse.py` refuses conditions that contradict each other in one step. The rules here know what the atoms have
to do with each other: that selling needs a shop, that the way to Minetown leads through the Mines.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from maestromotif.tasks.atoms import ATOMS
from maestromotif.tasks.compositions import OPERATORS, Composition, Joint, Use

_IN_MINES = {"mines", "minetown", "eat_in_mines", "eat_hungry_in_mines"}
_BELOW_THE_BRANCH = {"oracle", "sokoban"}
_UNEQUAL = 4  # ratio of the turns of two alternatives of which nobody takes the longer
_HUNGRY = 1_000  # turns after which a hero who eats nothing is hungry, about
_FAR = 2  # levels by which a limit on the depth may lie below what is asked for


def fault(composition: Composition) -> str | None:
    """Why it makes no sense; None if it does."""
    return next(_faults(composition), None)


def involved(name: str) -> set[str]:
    """Goals that one reaches on the way to this one, and itself."""
    return {name}.union(*(involved(one) for one in ATOMS[name].involves))


def _faults(top: Composition) -> Iterator[str]:
    for joint in top.joints():
        yield from _wrong_parts(joint)
    if top.sort in ("ban", "stay"):
        yield f"'{top}' is no goal"
    names = [one.name for one in top.uses()]
    for name in names:
        if names.count(name) > 1:
            yield f"'{name}' occurs twice"
    for one, other in combinations(_goals(top), 2):
        yield from _implied(one, other)
    for joint in top.joints():
        yield from _at_odds(joint)
    yield from _misplaced(top, None, last=True)


def _goals(composition: Composition) -> list[Use]:
    return [one for one in composition.uses() if one.atom.role == "goal"]


def _wrong_parts(joint: Joint) -> Iterator[str]:
    form, parts = OPERATORS[joint.operator], joint.parts
    least, most = form.parts
    if not least <= len(parts) <= most:
        yield f"'{joint}' should have the form {form.form} with {least} to {most} parts"
        return
    for number, part in enumerate(parts):
        if part.sort not in (takes := form.takes[min(number, len(form.takes) - 1)]):
            yield f"'{part}' cannot be a part of {joint.operator} there; that can be {', '.join(takes)}"


def _implied(one: Use, other: Use) -> Iterator[str]:
    for whole, part in ((one, other), (other, one)):
        if part.name in involved(whole.name):
            yield f"'{whole}' involves '{part}'"
        if part.name == "descend" and part.depth <= whole.depth and whole.above > 1:
            yield f"the way to '{whole}' may lead below '{part}'"


def _at_odds(joint: Joint) -> Iterator[str]:
    """Faults among the parts of one operator."""
    first, last = joint.parts[0], joint.parts[-1]
    match joint.operator:
        case "avoiding" if isinstance(last, Use):
            yield from _limited(last, first)
        case "until" if isinstance(first, Use):
            yield from _limited(first, last)
        case "then":
            yield from _begun_too_late(joint.parts)
        case "not_before" if isinstance(first, Use) and isinstance(last, Use):
            yield from _too_early(first, last)
        case "any_of":
            turns = sorted(one.turns() for one in joint.parts)
            if turns[-1] > _UNEQUAL * turns[0]:
                yield f"one alternative of '{joint}' is much easier than the other"
        case "repeat":
            if not 2 <= joint.times <= 5:
                yield f"'{joint}': 2 to 5 times"
            if isinstance(first, Use) and first.atom.kind != "visit":
                yield f"'{first}' happens once, or is repeated by its number"
            if isinstance(first, Joint) and not (
                isinstance(back := first.parts[-1], Use) and back.name == "climb"
            ):
                yield f"'{first}' does not lead back to where it can begin again"
        case "most" if not _goals(joint)[0].atom.measure:
            yield f"'{first}' cannot be counted"


def _limited(limit: Use, of: Composition) -> Iterator[str]:
    """Goals that a ban or stay makes impossible, and limits that are no limits to them."""
    goals = _goals(of)
    names = {one.name for one in goals}
    for goal in goals:
        if involved(goal.name) & set(limit.atom.forbids):
            yield f"'{limit}' forbids '{goal}'"
    if limit.name in ("going_below", "above") and limit.number is not None:
        deepest, allowed = max(one.depth for one in goals), limit.number - (limit.name == "above")
        if deepest > allowed:
            yield f"'{limit}' forbids a level that '{of}' may need"
        if allowed > deepest + _FAR:
            yield f"'{of}' needs no level that '{limit}' forbids"
    if limit.name == "going_up":
        deep = {one.name for one in goals if one.above > 4} - {"minetown"}
        if names & _IN_MINES and deep:
            yield f"'{limit}' forbids the way out of the Mines"
        if any(one.operator == "repeat" for one in of.joints()):
            yield f"'{limit}' forbids to leave a place by which it can be visited again"
    if limit.name in ("hunger", "fed") and of.turns() < _HUNGRY:
        yield f"'{of}' is done before the hero is hungry"


def _begun_too_late(parts: Sequence[Composition]) -> Iterator[str]:
    """Stays in `then` that are broken from the start, because of where the parts before them lead."""
    for number, part in enumerate(parts):
        if (
            not (isinstance(part, Joint) and isinstance(stay := part.parts[0], Use))
            or part.operator != "until"
        ):
            continue
        # The least level that the stay forbids. All levels from the third down can be in the Mines.
        level = {"above": stay.number, "out_of_the_mines": 3}.get(stay.name)
        for before in reversed(parts[:number] if stay.name != "in_the_mines" else ()):
            if level is not None and isinstance(before, Use) and before.name == "climb":
                if (before.number or 0) >= level:
                    yield f"'{before}' does not lead to where '{stay}' is true"
                break
            for goal in _goals(before):
                deep = stay.name == "above" and level is not None and goal.depth >= level
                if deep or involved(goal.name) & set(stay.atom.forbids):
                    yield f"after '{goal}', '{stay}' may be false"


def _too_early(later: Use, before: Use) -> Iterator[str]:
    """Of not_before(later, before)."""
    little = (later.number or 1) > 1 and later.name != "descend"
    if later.atom.kind == "have" or little:
        yield f"'{later}' comes little by little"
    elsewhere = later.name in _IN_MINES or (later.name in _BELOW_THE_BRANCH and before.name in _IN_MINES)
    if later.above > 1 and not elsewhere and before.depth >= later.above:
        yield f"the way to '{before}' may lead past '{later}'"


def _above(part: Composition) -> int:
    """The least depth at which the hero is when the part is met, as far as that is known."""
    if isinstance(part, Joint):
        return max(map(_above, part.parts)) if part.operator == "until" else 1
    return part.above if isinstance(part, Use) else 1


def _misplaced(part: Composition, before: Composition | None, last: bool) -> Iterator[str]:
    """Parts that need another one before them, or none after them.

    before: the part of `then` before this one. last: whether nothing follows it.
    """
    if isinstance(part, Use):
        if part.atom.kind == "last" and not last:
            yield f"'{part}' must come last"
        if part.name == "leave" and before is None:
            yield "the hero can leave the dungeon at once"
        if part.name == "climb" and (before is None or _above(before) <= (part.number or 0)):
            yield f"'{part}' must follow a deeper place"
    elif isinstance(part, Joint):
        stays = str(part.parts[0]) == "in_the_mines"
        if stays and not (isinstance(before, Use) and before.name in _IN_MINES):
            yield "the hero can stay in the Mines only after it has come there"
        for number, one in enumerate(part.parts):
            follows = part.operator == "then"
            ends = last and (
                (follows and number == len(part.parts) - 1) or (part.operator == "avoiding" and number == 0)
            )
            yield from _misplaced(one, part.parts[number - 1] if follows and number else None, ends)
