"""An observation in English: its message, then what changed. Equal observations give equal captions.

Changes are what a reward model sees too. Statistics (gold, hit points, experience, hunger) are told to the
judge alone, over a number of steps before the observation.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from maestromotif.nethack.state import CHANGES

# What is said of each code of each statistic (maestromotif.collect.statistics); of code 0 nothing.
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
) -> str:
    """A few sentences on one observation.

    message: the game's message line, empty if there was none. changes: a code of each change of
    `CHANGES`, or of the first ones.
    spoken: names of the changes to tell; of the others the caption says nothing. statistics: codes of the
    statistics to tell, by name. horizon: over how many steps these changed.
    """
    sentences = [f'The game says: "{" ".join(message.split())}"'] if message.strip() else []
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


def _over(horizon: int, clauses: list[str]) -> list[str]:
    """The clauses as sentences; over several steps as one, which says how many."""
    if horizon > 1 and clauses:
        return [f"Over the last {horizon} steps {' and '.join(clauses)}."]
    return [f"{clause[0].upper()}{clause[1:]}." for clause in clauses]
