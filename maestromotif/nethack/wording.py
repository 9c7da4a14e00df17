"""Events in plain words, read from a message: what a caption says instead of NetHack's own line.

"$ - 7 gold pieces." means a pickup to somebody who knows NetHack. A language model that judges captions needs
the words: "The agent picked up 7 gold pieces." The words are those of `events.EVENTS`.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from maestromotif.nethack.events import EVENTS, Pattern


class Wording(NamedTuple):
    """What a message says."""

    events: tuple[str, ...]  # names, in the order of the message
    sentences: tuple[str, ...]  # what is said of each
    rest: str  # the sentences that no event replaces


_SPOKEN: tuple[tuple[str, Pattern, re.Pattern[str]], ...] = tuple(
    (name, pattern, re.compile(pattern.regex))
    for name, event in EVENTS.items()
    for pattern in (*event.patterns, *event.words)
    if pattern.says
)
_END = re.compile(r"""[.!?]+["']*(?= |$)|$""")  # of a sentence


@lru_cache(maxsize=1 << 12)
def in_words(message: str) -> Wording:
    """The events that a message reports, in words, and the rest of the message with single spaces."""
    text = " ".join(message.split())
    told: list[tuple[int, str, str]] = []  # position in the text, event, sentence
    replaced: list[tuple[int, int]] = []
    for event, pattern, regex in _SPOKEN:
        if pattern.needle not in text:
            continue
        for found in regex.finditer(text):
            groups = {name: value.strip() for name, value in found.groupdict(default="").items()}
            sentence = " ".join(pattern.says.format(**groups).split())
            if sentence in (said for *_, said in told):
                continue
            told.append((found.start(), event, sentence))
            if not pattern.quoted:
                replaced.append((found.start(), _sentence_end(text, found.start(), found.end())))
    told.sort(key=lambda one: one[0])
    return Wording(
        tuple(event for _, event, _ in told), tuple(said for *_, said in told), _without(text, replaced)
    )


def _sentence_end(text: str, start: int, end: int) -> int:
    """Where the sentence ends that the match [start, end) is in."""
    if text[end - 1 : end] in ".!?\"'":
        return end
    found = _END.match(text, end) or _END.search(text, end)
    # A match that ends a sentence takes its punctuation along; the rest of a longer sentence stays.
    return found.end() if found and not text[end : found.start()].strip() else end


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in sorted(spans):
        kept.append(text[at : max(at, start)])
        at = max(at, end)
    kept.append(text[at:])
    rest = " ".join(" ".join(kept).split())
    return rest if any(letter.isalnum() for letter in rest) else ""
