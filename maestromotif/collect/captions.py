"""Captions: an observation in English, its message and then what changed. Equal inputs give equal captions.

Reward models see the changes too. Only the judge sees the statistics (gold, hit points, experience, hunger),
which cover a number of steps before the observation.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from maestromotif.nethack.state import CHANGES
from maestromotif.nethack.wording import in_words

Telling = Literal["events", "messages"]

# The clause for each code of each statistic (maestromotif.collect.statistics); "" for code 0.
STATISTICS: dict[str, tuple[str, ...]] = {
    "gold": ("", "the agent's gold became more", "the agent's gold became less"),
    "hp": ("", "the agent regained hit points", "the agent lost hit points"),
    "experience": (
        "",
        "the agent gained experience",
        "the agent rose to a higher experience level",
        "the agent fell to a lower experience level",
    ),
    "hunger": ("", "the agent became hungrier", "the agent became less hungry"),
}


def caption(
    message: str,
    changes: Sequence[int],
    spoken: Sequence[str],
    statistics: Mapping[str, int] = MappingProxyType({}),
    horizon: int = 1,
    telling: Telling = "events",
) -> str:
    """A few sentences on one observation.

    message: the game's message line, empty if there was none. changes: one code per change of `CHANGES`, or
    of the first ones. spoken: names of the changes to include. statistics: codes of the statistics to
    include, by name. horizon: number of steps that the statistics cover. telling: what of the message is
    said, see `of_message`.
    """
    sentences = [of_message(message, telling)] if message.strip() else []
    told = [
        change.words[code]
        for (name, change), code in zip(CHANGES.items(), changes, strict=False)
        if name in spoken
    ]
    told = [sentence for sentence in told if sentence]
    told += _over(horizon, [STATISTICS[name][code] for name, code in statistics.items() if code])
    if not told:
        told = ["Nothing else changed." if sentences else "Nothing changed."]
    return " ".join(sentences + told)


def of_message(message: str, telling: Telling) -> str:
    """What a caption says of a message; empty for an empty one.

    messages: quotes it, as published. events: says the events that it reports in plain words, and quotes the
    rest of it.
    """
    if telling == "events":
        _, sentences, rest = in_words(message)
    else:
        sentences, rest = (), " ".join(message.split())
    return " ".join([*sentences, f'The game says: "{rest}"'] if rest else sentences)


def _over(horizon: int, clauses: list[str]) -> list[str]:
    """The clauses as sentences; for several steps, one sentence that states the number."""
    if horizon > 1 and clauses:
        return [f"Over the last {horizon} steps {' and '.join(clauses)}."]
    return [f"{clause[0].upper()}{clause[1:]}." for clause in clauses]
