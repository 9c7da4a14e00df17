"""Success conditions for a task in words: a language model says what the words mean, in the grammar of tasks.

They are fixed before a program is drafted, so that no program chooses what it is scored by. The model writes
a composition of atoms (`tasks.compositions`), such as not_before(descend(3), kill(1)), which has conditions.
The prompt shows the atoms whose words are most like the task's. Several answers are drawn, those whose
conditions can never be met are dropped, and the conditions that were given most often count.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from maestromotif.compose.transcript import Transcript, block
from maestromotif.errors import UserError
from maestromotif.language.model import Chat, LanguageModel
from maestromotif.nethack.actions import ACTION_SETS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import FIELDS
from maestromotif.nethack.truth import TRUTH
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill
from maestromotif.tasks import expressions as ex
from maestromotif.tasks.atoms import ATOMS, say
from maestromotif.tasks.compositions import OPERATORS, Composition, read, success_of
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then
from maestromotif.tasks.generate import generated
from maestromotif.tasks.parse import parse_all
from maestromotif.tasks.sense import fault

SAMPLES = 5  # answers
TEMPERATURE = 0.5
TOKENS = 60
_PHRASES = 12  # atoms that a prompt shows
# One of each operator, in the words of a generated task; all are of the split "train".
EXAMPLES = (
    "then(descend(4), climb(2))",
    "then(pick_up(3), sell(1), survive(300))",
    "all_of(gold(50), kill(3))",
    "not_before(descend(3), eat(1))",
    "avoiding(experience(3), going_below(3))",
    "until(above(4), kill(5))",
    "repeat(3, shop)",
    "kill(10)",
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
    sensible: list[tuple[str, ...]] = []
    refused: dict[str, None] = {}
    for text in said:
        try:
            composition, conditions = read_answer(text)
        except UserError as error:
            refused[str(error)] = None
            continue
        good.append(conditions)
        sensible += [conditions] if fault(composition) is None else []
    if not good:
        told = "\n".join(refused)
        raise UserError(
            f"compose: {model.name} found no conditions that can be met for {words!r}:\n{told}\n"
            "Give them yourself with --success CONDITION (docs/conditions.md has their language)."
        )
    ((best, votes),) = Counter(sensible or good).most_common(1)
    if transcript is not None:
        transcript.add(
            "Conditions",
            f"{model.name} wrote:",
            block("\n".join(text.strip() for text in said)),
            f"The conditions of {votes} of the {len(said)} answers count:",
            block("\n".join(best)),
        )
    return Written(best, votes, len(said))


def read_answer(text: str) -> tuple[Composition, tuple[str, ...]]:
    """The composition of an answer, and its conditions.

    Raises UserError if it is none, if they can never be met, and if an episode is decided as it begins.
    """
    composition = read(text)
    conditions = success_of(composition)
    parse_all(conditions, text.strip())
    games = Dice(8, seed=0)
    judge = Success(conditions, 8, where=text.strip())
    judge.begin(games.fresh, games.state)
    nothing = np.zeros((8, len(EVENTS)), np.int64)
    nowhere = {name: np.full(8, -1) for name in TRUTH}
    judge.update(ex.Step(games.state, nothing, np.zeros(8, np.int64), truth=nowhere), np.ones(8, bool))
    if judge.achieved.all() or judge.failed.all():
        how = "met" if judge.achieved.all() else "broken"
        raise UserError(
            f"{text.strip()}: {', then '.join(conditions)}: is {how} as soon as an episode begins"
        )
    return composition, conditions


def prompt(words: str) -> str:
    """Asks what a task means."""
    forms = {form.form: form.doc for operator, form in OPERATORS.items() if operator != "most"}
    return "\n".join(
        [
            "Write what a task of a NetHack agent means.",
            "",
            *(f"{form}: {doc}" for form, doc in forms.items()),
            "",
            *(f"{_asked(generated(read(text)).words)} {text}" for text in EXAMPLES),
            "",
            "Phrases that may help:",
            *(f"- {phrase}: {atom}" for phrase, atom in phrases(words)),
            "",
            _asked(words),
        ]
    )


def _asked(words: str) -> str:
    return f"Task: {words}\nMeaning:"


def phrases(words: str) -> list[tuple[str, str]]:
    """Phrases of atoms that share rare words with the task, each with its atom; the likest last."""
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
            prefix = "without " if atom.role == "ban" else ""
            found.append((score, prefix + said, name if number is None else f"{name}({number})"))
    found.sort(key=lambda one: one[0])
    return [(said, atom) for _, said, atom in found[-_PHRASES:]]


def _words(text: str) -> frozenset[str]:
    """The words of a text without numbers, in small letters and without endings such as -ed and -ing."""
    found = re.findall(r"[a-z]{3,}", text.lower())
    return frozenset(re.sub(r"(?<=...)(?:ing|ed|es|e|s)$", "", word) for word in found)


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
    """The compositions in GBNF, from the tables of atoms and operators."""
    operators = {name: form for name, form in OPERATORS.items() if name != "most"}
    rules = [f'root ::= " "? ({" | ".join(_rule(name) for name in ("goal", *operators))}) "\\n"']
    for name, form in operators.items():
        least, most = form.parts
        takes = [" | ".join(map(_rule, sorts)) for sorts in form.takes]
        first = f"({takes[0]})"
        last = f'(", " ({takes[-1]})){{{least - 1},{most - 1}}}' if most > 1 else ""
        times = '[2-9] ", " ' if name == "repeat" else ""
        rules.append(f'{_rule(name)} ::= "{name}(" {times}{first} {last} ")"')
    for role in ("goal", "ban", "stay"):
        atoms = {name: atom for name, atom in ATOMS.items() if atom.role == role}
        plain = [f'"{name}"' for name, atom in atoms.items() if not atom.numbers]
        counted = [f'"{name}(" number ")"' for name, atom in atoms.items() if atom.numbers]
        rules.append(f"{role} ::= {' | '.join([*plain, *counted])}")
    return "\n".join([*rules, "number ::= [1-9] [0-9]{0,3}", ""])


def _rule(name: str) -> str:
    """As the name of a rule, which has no underscores in GBNF."""
    return name.replace("_", "-")


# ------------------------------------------------------- what cannot be said, or what no skill works towards

_BREAKS = r"[.,;:!?]+|\b(?:and|then|but|or|without|until|before|after|while)\b"
# Words that say nothing of what is asked for.
_EMPTY = _words(
    "all also any are been can do does ever every first for fourth from get give has have her him his into "
    "its more most much not now off one only our out own second some soon than that the their them there "
    "these they third this those time too very want was were what when where which who will with you your"
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
    texts += [f"{name} {event.doc}" for name, event in EVENTS.items()]
    texts += [f"{name} {field.doc}" for name, field in FIELDS.items()]
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
