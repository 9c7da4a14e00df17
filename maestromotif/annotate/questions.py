"""The prompts: all text that the language model sees besides a skill's text and the captions.

pointwise  one caption: is this what the skill wants? Its score is the log-odds of Yes over No.
graded     one caption: is it good, bad or neither? Its score is the log-odds of Good over Bad. So a caption
           that the skill's text calls bad scores below one it does not mention; Yes and No mix these up.
reworded   both of these questions. A caption's score is the mean of both log-odds, and a pair that the two
           questions order differently is marked as inconsistent.
pairwise   two captions, in both orders: which is better? The log-odds of 1 over 2.
reasoned   the same, but the model writes its reasoning first and ends with its answer: for large models.

All but the last read only the probabilities of the next token: a small model's written judgements are
worthless, but its probabilities are not. What all questions about a skill share comes first, so the model
computes it once; of each further question it computes only the caption and the place of the answer.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from maestromotif.collect.captions import STATISTICS
from maestromotif.language.model import Chat, well_formed
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES

Kind = Literal["pointwise", "graded", "pairwise", "reasoned"]  # of question
Method = Literal["pointwise", "graded", "reworded", "pairwise", "reasoned"]

_SYSTEM = "You are an expert NetHack player. You are told what an agent should do and what just happened. "
_WORDS: dict[Kind, tuple[str, str]] = {
    "pointwise": (
        "You answer Yes if what happened is what the agent should do, and No if it is bad or unimportant.",
        "{goal}\n\nIs what happened good? Answer Yes or No.\n\nWhat happened: {caption}",
    ),
    "graded": (
        "You answer Good if what happened is what the agent should do, Bad if it is what the agent should "
        "not do, and Neither if it is unimportant.",
        "{goal}\n\nIs what happened good or bad? Answer Good, Bad or Neither.\n\nWhat happened: {caption}",
    ),
    "pairwise": (
        "You answer with the number of the event that is closer to what the agent should do.",
        "{goal}\n\nEvent 1: {first}\nEvent 2: {second}\n\nWhich event is better? Answer 1 or 2.",
    ),
    "reasoned": (
        "You compare two events by this goal alone: first you say in two or three sentences what each means "
        "for it, then you decide.",
        "{goal}\n\nEvent 1: {first}\nEvent 2: {second}\n\nWhich event is better? End with a line of its own: "
        "'Answer: 1', 'Answer: 2', or 'Answer: none' if neither is any better.",
    ),
}
# The answers whose probabilities are read; none if the model writes. The log-odds are of the first over the
# second.
CHOICES: dict[Kind, tuple[str, ...]] = {
    "pointwise": ("Yes", "No"),
    "graded": ("Good", "Bad", "Neither"),
    "pairwise": ("1", "2"),
    "reasoned": (),
}
# The kinds of question that a method asks, in this order.
KINDS: dict[Method, tuple[Kind, ...]] = {
    "pointwise": ("pointwise",),
    "graded": ("graded",),
    "reworded": ("pointwise", "graded"),
    "pairwise": ("pairwise",),
    "reasoned": ("reasoned",),
}
_DECISION = re.compile(r"answer\W{0,5}(?:event\W{1,3})?(1|2|none|neither)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A chat that the model answers next, and the answers it chooses from.

    Without choices the model writes at most `most_tokens` tokens.
    """

    chat: Chat
    choices: tuple[str, ...]
    most_tokens: int = 1

    @property
    def key(self) -> str:
        """The question's key in the cache: a hash of its content."""
        words = json.dumps([self.chat, self.choices or self.most_tokens], ensure_ascii=False)
        return hashlib.sha256(words.encode()).hexdigest()[:32]


def about_captions(
    kind: Literal["pointwise", "graded"], goal: str, captions: Iterable[str]
) -> list[Question]:
    """One question per caption."""
    return [_question(kind, goal, 1, caption=caption) for caption in captions]


def about_pairs(
    kind: Literal["pairwise", "reasoned"], goal: str, pairs: Iterable[Sequence[str]], most_tokens: int = 1
) -> list[Question]:
    """Two questions per pair of captions: in this order and in the other."""
    both = ((first, second) for a, b in pairs for first, second in ((a, b), (b, a)))
    return [_question(kind, goal, most_tokens, first=first, second=second) for first, second in both]


def decision(written: str) -> int | None:
    """The decision in a reasoned answer: 1, 2, or 0 for neither; None if there is no decision."""
    found = _DECISION.findall(written)
    return {"1": 1, "2": 2}.get(found[-1], 0) if found else None


def prompt_hash() -> str:
    """SHA-256 over all text that the language model sees, apart from the skill texts and the messages."""
    sentences = {name: change.words for name, change in CHANGES.items()}
    events = {name: [*event.patterns, *event.words] for name, event in EVENTS.items()}
    words = [_SYSTEM, _WORDS, list(CHOICES.values()), sentences, events, STATISTICS]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _question(kind: Kind, goal: str, most_tokens: int, **told: str) -> Question:
    system, asked = _WORDS[kind]
    goal, told = well_formed(goal), {name: well_formed(text) for name, text in told.items()}
    chat: Chat = [
        {"role": "system", "content": _SYSTEM + system},
        {"role": "user", "content": asked.format(goal=" ".join(goal.split()), **told)},
    ]
    return Question(chat, CHOICES[kind], most_tokens)
