"""The prompt for a task's meaning, and the grammar of the answer.

The prompt shows the generated tasks and the atoms whose words are most like the task's. The grammar has the
numbers of the task and no others, so that a small model cannot get them wrong.
"""

import heapq
import re
from collections.abc import Iterable
from functools import cache

from maestromotif.compose.likeness import Rarity, words_of
from maestromotif.language.model import Chat
from maestromotif.tasks.atoms import ATOMS, in_words, say
from maestromotif.tasks.compositions import OPERATORS, read
from maestromotif.tasks.generate import Generated, generate

_PHRASES = 12  # atoms that a prompt shows
_POOL = 400  # generated tasks of the split "train" that examples are taken from
_SIMILAR = 2  # examples of each operator
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
    wanted = words_of(words)
    by_operator: dict[str, list[tuple[float, str, str]]] = {}
    for task in _pool():
        likest = max((_rarity_in_tasks().likeness(wanted, words_of(said)), said) for said in task.paraphrases)
        by_operator.setdefault(read(task.composition).sort, []).append((*likest, task.composition))
    found = [one for of in by_operator.values() for one in heapq.nlargest(_SIMILAR, of)]
    return [(said, composition) for _, said, composition in sorted(found)]


@cache
def _pool() -> list[Generated]:
    return generate(_POOL, 0, "train")


@cache
def _rarity_in_tasks() -> Rarity:
    return Rarity([words_of(said) for task in _pool() for said in task.paraphrases])


def phrases(words: str) -> list[tuple[str, str]]:
    """Phrases of atoms that share rare words with the task, each with its atom; the likest last."""
    wanted = words_of(words)
    found = []
    for name, atom in ATOMS.items():
        number = atom.numbers[0] if atom.numbers else None
        scored = [
            (_rarity_in_atoms().weight(wanted & words_of(said)), said)
            for said in (say(text, number) for text in (*atom.says, *atom.done))
        ]
        score, said = max(scored, key=lambda one: one[0])
        if score > 0:
            prefix = "without " if atom.role == "ban" else ""
            found.append((score, prefix + said, name if number is None else f"{name}({number})"))
    found.sort(key=lambda one: one[0])
    return [(said, atom) for _, said, atom in found[-_PHRASES:]]


@cache
def _rarity_in_atoms() -> Rarity:
    return Rarity([frozenset().union(*map(words_of, (*atom.says, *atom.done))) for atom in ATOMS.values()])


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
