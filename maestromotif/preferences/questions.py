"""What the language model is asked, in all the words that it is shown beside a skill's text and captions.

pointwise  of each caption alone: is this what the skill wants? The odds of Yes against No are its score.
pairwise   of two captions, in both orders: which is better? The odds of 1 against 2.
reasoned   the same, but the model writes its thoughts down first and ends with its answer: for large models.

Of the first two only the probabilities of the next token are read: small models' written-out judgements are
worthless, their probabilities are not. The goal comes first, so that what the model has computed of it serves
all questions of a skill.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from maestromotif.language.model import Chat
from maestromotif.preferences.caption import SENTENCES

Method = Literal["pointwise", "pairwise", "reasoned"]

_SYSTEM = "You are an expert NetHack player. You are told what an agent should do and what just happened. "
_WORDS = {
    "pointwise": (
        "You answer Yes if what happened is what the agent should do, and No if it is bad or unimportant.",
        "{goal}\n\nWhat happened: {caption}\n\nIs this good? Answer Yes or No.",
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
# The answers whose probabilities are read; none where the model writes.
CHOICES: dict[Method, tuple[str, ...]] = {"pointwise": ("Yes", "No"), "pairwise": ("1", "2"), "reasoned": ()}
_DECISION = re.compile(r"answer\W{0,5}(1|2|none)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A chat that ends with the model's turn, and the answers it chooses from.

    Without choices it writes, at most `most_tokens` tokens.
    """

    chat: Chat
    choices: tuple[str, ...]
    most_tokens: int = 1

    @property
    def key(self) -> str:
        """The same for the same question, whoever asks it."""
        words = json.dumps([self.chat, self.choices or self.most_tokens], ensure_ascii=False)
        return hashlib.sha256(words.encode()).hexdigest()[:32]


def about_captions(goal: str, captions: Iterable[str]) -> list[Question]:
    """A pointwise question about each caption."""
    return [_question("pointwise", goal, 1, caption=caption) for caption in captions]


def about_pairs(
    method: Literal["pairwise", "reasoned"], goal: str, pairs: Iterable[Sequence[str]], most_tokens: int = 1
) -> list[Question]:
    """Two questions about each pair of captions: in this order, and in the other."""
    both = ((first, second) for a, b in pairs for first, second in ((a, b), (b, a)))
    return [_question(method, goal, most_tokens, first=first, second=second) for first, second in both]


def decision(written: str) -> int | None:
    """What a reasoned answer decides: 1, 2, or 0 for neither; None where it does not end with a decision."""
    found = _DECISION.findall(written)
    return {"1": 1, "2": 2, "none": 0}[found[-1].lower()] if found else None


def prompt_hash() -> str:
    """SHA-256 over all that the language model is shown, apart from the skill texts and the messages."""
    words = [_SYSTEM, _WORDS, list(CHOICES.values()), SENTENCES]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _question(method: Method, goal: str, most_tokens: int, **told: str) -> Question:
    system, asked = _WORDS[method]
    chat: Chat = [
        {"role": "system", "content": _SYSTEM + system},
        {"role": "user", "content": asked.format(goal=" ".join(goal.split()), **told)},
    ]
    return Question(chat, CHOICES[method], most_tokens)
