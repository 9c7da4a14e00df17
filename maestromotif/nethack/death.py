"""Causes of death in words that can be counted: without the names of shopkeepers, gods and pets."""

import re

# NetHack's words -> ours. NetHack 3.6 writes them in `done_in_by` (end.c) and `formatkiller` (topten.c).
_NAMES = (
    (re.compile(r"\b(?:Mr|Ms|Mrs)\. [^,;]+[,;] the shopkeeper"), "a shopkeeper"),
    (re.compile(r" of (?!Yendor|Thieves)[A-Z].*"), " of a god"),  # wrath, priests, minions
    (re.compile(r" (?:called|named) .*"), ""),
    (re.compile(r"hallucinogen-distorted "), ""),
)


def cause_of_death(entry: bytes) -> str:
    """What `Game.cause` returns, such as "killed by a jackal", without names. "unknown" if it is empty."""
    cause = entry.decode("latin-1").strip()
    for pattern, words in _NAMES:
        cause = pattern.sub(words, cause)
    return cause or "unknown"
