"""An observation in English: its message, then what changed. Equal observations give equal captions."""

from collections.abc import Sequence

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


def caption(message: str, changes: Sequence[int], spoken: Sequence[str]) -> str:
    """A few sentences on one observation.

    message: the game's message line, empty if there was none. changes: one code a column of `COLUMNS`.
    spoken: names of the changes to tell; of the others the caption says nothing.
    """
    sentences = [f'The game says: "{" ".join(message.split())}"'] if message.strip() else []
    told = [SENTENCES[name][changes[COLUMNS.index(name)]] for name in COLUMNS if name in spoken]
    told = [sentence for sentence in told if sentence]
    if not told:
        told = ["Nothing else changed." if sentences else "Nothing changed."]
    return " ".join(sentences + told)
