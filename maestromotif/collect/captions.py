"""An observation in English: its message, then what changed. Equal observations give equal captions.

Changes are what a reward model sees too. Statistics (gold, hit points, experience, hunger) are told to the
judge alone, over a number of steps before the observation.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

# What is said of each code of each change (see maestromotif.nethack.state.CHANGES); code 0 is never spoken
# of.
SENTENCES: dict[str, tuple[str, ...]] = {
    "depth": (
        "",
        "The agent left the level: it went down to a deeper dungeon level.",
        "The agent left the level: it went up to a higher dungeon level.",
    ),
    "explored": ("", "New parts of the level came into view."),
    "downstairs": (
        "",
        "A staircase down came into view for the first time.",
        "The agent came closer to a staircase down than before.",
        "The agent now stands on a staircase down.",
    ),
    "upstairs": (
        "",
        "A staircase up came into view for the first time.",
        "The agent came closer to a staircase up than before.",
        "The agent now stands on a staircase up.",
    ),
}
COLUMNS = tuple(SENTENCES)  # the order of the codes in an observation

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

    message: the game's message line, empty if there was none. changes: one code a column of `COLUMNS`.
    spoken: names of the changes to tell; of the others the caption says nothing. statistics: codes of the
    statistics to tell, by name. horizon: over how many steps these changed.
    """
    sentences = [f'The game says: "{" ".join(message.split())}"'] if message.strip() else []
    told = [SENTENCES[name][changes[COLUMNS.index(name)]] for name in COLUMNS if name in spoken]
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
