"""Success conditions for a task in words: a language model says what the words mean, in the grammar of tasks.

They are fixed before a program is drafted, so that no program chooses what it is scored by. The model writes
a composition of atoms (`tasks.compositions`), such as not_before(descend(3), kill(1)), which has conditions.
The prompt shows the generated tasks and the atoms whose words are most like the task's, and the grammar of
the answer has the numbers of the task. Several answers are drawn, those whose conditions can never be met are
dropped, and the conditions that were given most often count.
"""

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
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
from maestromotif.tasks.atoms import ATOMS, in_words, say
from maestromotif.tasks.compositions import OPERATORS, Composition, read, success_of
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.formulas import Avoiding, Formula, Holds, Repeat, Several, Then
from maestromotif.tasks.generate import Generated, generate
from maestromotif.tasks.parse import parse_all
from maestromotif.tasks.sense import fault

SAMPLES = 5  # answers
TEMPERATURE = 0.5
TOKENS = 60
_PHRASES = 12  # atoms that a prompt shows
_POOL = 400  # generated tasks of the split "train" that examples are taken from
_SIMILAR = 2  # examples of each operator


@dataclass(frozen=True)
class Written:
    """Conditions that must be met one after the other. votes: how many of the answers gave them."""

    conditions: tuple[str, ...]
    votes: int
    answers: int


def write(model: LanguageModel, words: str, seed: int = 0, transcript: Transcript | None = None) -> Written:
    """The conditions of a task in words. Raises UserError if no answer can ever be met."""
    said = model.complete([prompt(words)] * SAMPLES, TOKENS, TEMPERATURE, seed, grammar(numbers(words)))
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


def prompt(words: str) -> Chat:
    """Asks what a task means. Examples are turns of the conversation, so that the next turn is an answer."""
    forms = {form.form: form.doc for operator, form in OPERATORS.items() if operator != "most"}
    begin = [
        "Write what tasks of a NetHack agent mean.",
        "",
        *(f"{form}: {doc}" for form, doc in forms.items()),
        "",
        "Phrases that may help:",
        *(f"- {phrase}: {atom}" for phrase, atom in phrases(words)),
        "",
        "",
    ]
    chat: Chat = []
    for said, composition in examples(words):
        chat += [{"role": "user", "content": f"Task: {said}"}, {"role": "assistant", "content": composition}]
    chat.append({"role": "user", "content": f"Task: {words}"})
    chat[0]["content"] = "\n".join(begin) + chat[0]["content"]
    return chat


def examples(words: str) -> list[tuple[str, str]]:
    """Generated tasks in words that are like a task's, each with its composition; the likest last.

    There are some of each operator, so that a model sees what they mean.
    """
    wanted = _words(words)
    by_operator: dict[str, list[tuple[float, str, str]]] = {}
    for task in _pool():
        likest = max((_likeness(wanted, _words(said)), said) for said in task.paraphrases)
        by_operator.setdefault(read(task.composition).sort, []).append((*likest, task.composition))
    found = [one for of in by_operator.values() for one in heapq.nlargest(_SIMILAR, of)]
    return [(said, composition) for _, said, composition in sorted(found)]


@cache
def _pool() -> list[Generated]:
    return generate(_POOL, 0, "train")


def _likeness(some: frozenset[str], others: frozenset[str]) -> float:
    """The cosine between two sets of words, which weigh as much as they are rare among generated tasks."""
    weight = _rare_in_tasks()

    def norm(words: frozenset[str]) -> float:
        return math.sqrt(sum(weight[word] ** 2 for word in words))

    return norm(some & others) ** 2 / (norm(some) * norm(others) or 1.0)


@cache
def _rare_in_tasks() -> "_Rarity":
    return _rare_among([_words(said) for task in _pool() for said in task.paraphrases])


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
    return _rare_among([frozenset().union(*map(_words, (*atom.says, *atom.done))) for atom in ATOMS.values()])


def _rare_among(texts: Sequence[frozenset[str]]) -> _Rarity:
    counts = Counter(word for words in texts for word in words)
    return _Rarity({word: math.log(len(texts) / count) for word, count in counts.items()})


_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {
    **{in_words(number): number for number in range(1, 13)},
    **{word: 10 * tens for tens, word in enumerate(_TENS, 2)},
    "twice": 2,
    "thrice": 3,
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
}
# What says a number in another way.
_VAGUE = re.compile(r"\b(couple|dozens?|few|half|hundreds?|many|several|thousands?|\w+(teen|ty-\w+))\b", re.I)


def numbers(words: str) -> tuple[int, ...] | None:
    """The numbers that a task names, in order, and 1, which "a monster" means.

    None if any number may be meant: the task names none, or does so in a way that is not understood.
    """
    named = {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", words)}
    named |= {_NUMBERS[word] for word in re.findall(r"[a-z]+", words.lower()) if word in _NUMBERS}
    return None if not named or _VAGUE.search(words) else tuple(sorted({1} | named))


@cache
def grammar(known: tuple[int, ...] | None = None) -> str:
    """The compositions in GBNF, from the tables of atoms and operators. known: the numbers; None: any."""
    operators = {name: form for name, form in OPERATORS.items() if name != "most"}
    often = [str(number) for number in known or range(2, 10) if 2 <= number <= 9]
    if not often:
        del operators["repeat"]
    said = {"goal", "ban", "stay", *operators}
    rules = [f'root ::= " "? ({" | ".join(_rule(name) for name in ("goal", *operators))}) "\\n"']
    for name, form in operators.items():
        least, most = form.parts
        takes = [" | ".join(_rule(sort) for sort in sorts if sort in said) for sorts in form.takes]
        first = f"({takes[0]})"
        last = f'(", " ({takes[-1]})){{{least - 1},{most - 1}}}' if most > 1 else ""
        times = f'({_either(often)}) ", " ' if name == "repeat" else ""
        rules.append(f'{_rule(name)} ::= "{name}(" {times}{first} {last} ")"')
    for role in ("goal", "ban", "stay"):
        atoms = {name: atom for name, atom in ATOMS.items() if atom.role == role}
        plain = [f'"{name}"' for name, atom in atoms.items() if not atom.numbers]
        counted = [f'"{name}(" number ")"' for name, atom in atoms.items() if atom.numbers]
        rules.append(f"{role} ::= {' | '.join([*plain, *counted])}")
    number = "[1-9] [0-9]{0,3}" if known is None else _either(map(str, known))
    return "\n".join([*rules, f"number ::= {number}", ""])


def _either(texts: Iterable[str]) -> str:
    return " | ".join(f'"{text}"' for text in texts)


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
