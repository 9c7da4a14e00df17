"""What a search may use. It stops at the first limit that is reached, and can go on with larger ones."""

from dataclasses import dataclass, fields
from typing import Literal

from maestromotif.compose.tree import Spent
from maestromotif.errors import UserError

_WORDS = {
    "candidates": "candidates",
    "calls": "answers of a model",
    "steps": "game steps",
    "seconds": "seconds",
}
Work = Literal["candidate", "choice", "games"]
# The limits that count before each kind of work: the last candidate of a budget is still played.
_COUNT: dict[Work, tuple[str, ...]] = {
    "candidate": ("candidates", "calls", "steps", "seconds"),
    "choice": ("calls", "steps", "seconds"),
    "games": ("steps", "seconds"),
}


@dataclass(frozen=True)
class Budget:
    """Limits of a search; None: no limit. They are looked at before each piece of work, which may end above.

    candidates: programs that operators made, refused ones included. It always has a limit, because edits
    without a model make no calls and a refused program plays no steps. calls: answers of a language model;
    steps: environment steps of all games; seconds: wall-clock time, of all starts of the search together.
    Raises UserError for a limit that is not above 0.
    """

    candidates: int = 200
    calls: int | None = None
    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value <= 0:
                raise UserError(f"budget: {limit.name} is {value}; a search needs more than 0")

    def used_up(self, spent: Spent, work: Work) -> str | None:
        """What is used up, in words; None if the work can be done."""
        for name in _COUNT[work]:
            limit = getattr(self, name)
            if limit is not None and getattr(spent, name) >= limit:
                return f"the budget of {limit:,} {_WORDS[name]} is used up"
        return None
