"""Success conditions for a task in words: a language model writes them, under the grammar of `tasks.parse`.

They are fixed before a program is drafted, so that no program chooses what it is scored by. The prompt shows
the atoms and operators of generated tasks whose words are most like the task's. Several answers are drawn,
those that can never be met are dropped, and the one that was given most often counts.
"""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from maestromotif.compose.transcript import Transcript, block
from maestromotif.errors import UserError
from maestromotif.language.model import Chat, LanguageModel
from maestromotif.nethack.actions import ACTION_SETS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import FIELDS
from maestromotif.nethack.truth import TRUTH
from maestromotif.skill import Skill
from maestromotif.tasks import expressions as ex
from maestromotif.tasks.atoms import ATOMS, say
from maestromotif.tasks.compositions import OPERATORS, read
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then
from maestromotif.tasks.generate import generated
from maestromotif.tasks.parse import parse_all

MOST = 4  # conditions one after the other
SAMPLES = 5  # answers
TEMPERATURE = 0.5
TOKENS = 160
_PHRASES = 12  # atoms that a prompt shows
_SHOWN = 8  # refused answers that an error lists
# One of each operator, in the words of a generated task; all are of the split "train".
EXAMPLES = (
    "then(descend(4), climb(2))",
    "then(pick_up(3), sell(1), survive(300))",
    "all_of(gold(50), kill(3))",
    "not_before(descend(3), eat(1))",
    "avoiding(experience(3), going_below(3))",
    "until(above(4), kill(5))",
    "repeat(3, shop)",
)


@dataclass(frozen=True)
class Written:
    """Conditions that must be met one after the other. votes: how many of the answers gave them."""

    conditions: tuple[str, ...]
    votes: int
    answers: int


def write(model: LanguageModel, words: str, seed: int = 0, transcript: Transcript | None = None) -> Written:
    """The conditions of a task in words. Raises UserError if no answer can ever be met."""
    chat: Chat = [{"role": "user", "content": prompt(words)}]
    said = model.complete([chat] * SAMPLES, TOKENS, TEMPERATURE, seed, grammar())
    good: list[tuple[str, ...]] = []
    refused: dict[str, str] = {}
    for text in said:
        try:
            good.append(read_answer(text))
        except UserError as error:
            refused[str(error)] = ""
    if not good:
        told = "\n".join(list(refused)[:_SHOWN])
        raise UserError(
            f"compose: {model.name} wrote no conditions that can be met for {words!r}:\n{told}\n"
            "Give them yourself with --success CONDITION (docs/conditions.md has their language)."
        )
    ((best, votes),) = Counter(good).most_common(1)
    if transcript is not None:
        transcript.add(
            "Conditions",
            f"{model.name} wrote, {votes} of {len(said)} times:",
            block("\n".join(best)),
            f"Its answers:\n\n{block('---'.join(said))}",
        )
    return Written(best, votes, len(said))


def read_answer(text: str) -> tuple[str, ...]:
    """The conditions of an answer, a line each, in one form. Raises UserError that says what is wrong."""
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise UserError("success: the answer is empty")
    parse_all(lines, "success")
    return tuple(ast.unparse(ast.parse(line, mode="eval")) for line in lines)


def prompt(words: str) -> str:
    """Asks for the conditions of a task."""
    examples = [generated(read(text)) for text in EXAMPLES]
    return "\n".join(
        [
            "Conditions say when a task of a NetHack agent is done. Write them a line each, in the order in "
            "which they must come true. Write no more than the task asks for.",
            "",
            "Phrases and what they mean:",
            *(f"- {phrase}: {condition}" for phrase, condition in phrases(words)),
            "",
            *(_asked(one.words) + "\n".join(("", *one.success, "")) for one in examples),
            _asked(words),
        ]
    )


def _asked(words: str) -> str:
    return f"Task: {words}\nConditions:"


def phrases(words: str) -> list[tuple[str, str]]:
    """Phrases of atoms that share rare words with the task, each with its condition; the likest last."""
    wanted = _words(words)
    found = []
    for name, atom in ATOMS.items():
        number = atom.numbers[0] if atom.numbers else None
        scored = [
            (sum(_rarity()[word] for word in wanted & _words(said)), said)
            for said in (say(text, number) for text in (*atom.says, *atom.done))
        ]
        score, said = max(scored, key=lambda one: one[0])
        if score > 0:
            prefix = {"ban": "without ", "stay": "", "goal": ""}[atom.role]
            found.append((score, prefix + said, atom.condition.replace("{n}", str(number)), name))
    found.sort(key=lambda one: one[0])
    return [(said, condition) for _, said, condition, _ in found[-_PHRASES:]]


def _words(text: str) -> frozenset[str]:
    """The words of a text without numbers, in small letters and without the ending -s."""
    return frozenset(word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", text.lower()))


class _Rarity(dict[str, float]):
    """Word -> how rare it is among the atoms; words that no atom has count nothing."""

    def __missing__(self, word: str) -> float:
        return 0.0


@cache
def _rarity() -> _Rarity:
    texts = [frozenset().union(*map(_words, (*atom.says, *atom.done))) for atom in ATOMS.values()]
    counts = Counter(word for words in texts for word in words)
    return _Rarity({word: math.log(len(texts) / count) for word, count in counts.items()})


@cache
def grammar() -> str:
    """The conditions in GBNF, one a line. Not all of `tasks.parse`: no arithmetic, and few levels."""
    numbers = [name for name, field in ex.FIELDS.items() if field.type is int]
    flags = [name for name, field in ex.FIELDS.items() if field.type is bool]
    return "\n".join(
        [
            f"root ::= line{{1,{MOST}}}",
            'line ::= formula "\\n"',
            'formula ::= part | "avoiding(" joint ", " condition ")" | "until(" condition ", " joint ")" | '
            '"not_before(" condition ", " part ")" | "repeat(" small ", " joint ")"',
            'joint ::= part | "then(" part (", " part){1,3} ")" | "not_before(" condition ", " part ")"',
            'part ::= condition | survive | ("all_of(" | "any_of(") simple (", " simple){1,2} ")"',
            "simple ::= condition | survive",
            'survive ::= "survive(" value ")"',
            'condition ::= test (" and " test){0,2}',
            'test ::= "not "? flag | number " " op " " value | "happened(" event ")" | "left" | special',
            f"special ::= {' | '.join(_specials())}",
            f'number ::= ("count" | "total") "(" event ")" | {_choice(numbers)}',
            f"flag ::= {_choice(flags)}",
            f"event ::= {_choice(name for name in EVENTS if not name.startswith('published'))}",
            f"op ::= {_choice(('==', '>=', '<=', '<', '>', '!='))}",
            "small ::= [2-9]",
            'value ::= "0" | [1-9] [0-9]{0,3}',
            "",
        ]
    )


def _specials() -> list[str]:
    """Places that only the game knows, and sums and products of atoms, which the other rules cannot make."""
    found = [f'"level == truth.{name}"' for name in TRUTH if name.endswith("_level")]
    for atom in ATOMS.values():
        if re.search(r"[+*]", atom.condition):
            before, number, _ = atom.condition.partition("{n}")
            found.append(f'"{before}" value' if number else f'"{before}"')
    return found


def _choice(words: Iterable[str]) -> str:
    return " | ".join(f'"{word}"' for word in words)


# ------------------------------------------------------- what cannot be said, or what no skill works towards

_BREAKS = r"[.,;:!?]+|\b(?:and|then|but|or|without|until|before|after|while)\b"
# Words of three letters and more that say nothing of what is asked for, without the ending -s.
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        """all also any are been can do doe ever every first for fourth from get give has have her him his
        into its more most much not now off one only our out own second some soon than that the their them
        there these they thi third those time too very want was were what when where which who will with you
        your""",
    )
)


def strange(words: str, skills: Sequence[Skill]) -> list[str]:
    """Parts of a sentence of which no word occurs in the texts of atoms, events, fields, actions and skills.

    So it finds what is not about the game, and what no condition can say. A part with one word that is
    known passes, whatever it means.
    """
    known = _vocabulary().union(*(_words(f"{one.name} {one.description}") for one in skills))
    parts = [part.strip() for part in re.split(_BREAKS, words, flags=re.IGNORECASE)]
    content = {part: _words(part) - _EMPTY for part in parts}
    return [part for part, said in content.items() if said and not said & known]


@cache
def _vocabulary() -> frozenset[str]:
    texts = [text for atom in ATOMS.values() for text in (*atom.says, *atom.done)]
    texts += [text for operator in OPERATORS.values() for text in (*operator.says, "twice", "times")]
    texts += [action.doc for actions in ACTION_SETS.values() for action in actions.adds.values()]
    texts += [f"{name} {one.doc}" for name, one in (*EVENTS.items(), *FIELDS.items())]
    return frozenset().union(*(_words(text.replace("_", " ")) for text in texts)) - _EMPTY


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
