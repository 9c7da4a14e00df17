"""The code that runs inside the sandbox, and the types of each exchange with it."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from maestromotif.nethack.state import FIELDS

# Games (None: all), and their new values.
Change = tuple[list[int] | None, list[Any]]

# In: games whose episode begins; skill indexes, least used first (empty if calls are not balanced); the
# running skills; one change per field of GameState, without `skill`.
Given = tuple[list[int], list[int], Change, list[Change]]

# Out: games where a call begins, their skill indexes, those of the games where the program ended the call
# before, and why the program chose (empty if it never says); or a fault: its kind, game, skill index, text.
Answer = tuple[list[int], list[int], list[int], list[str]] | tuple[str, int, int, str]

_exchange: Callable[[Answer | None], Given]  # the host's function inside the sandbox

_STATE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class GameState:
{fields}

"""


def source(fields: Sequence[str]) -> str:
    """GameState with these fields, followed by `inside.py`."""
    lines = [f"    {name}: {FIELDS[name].type.__name__}" for name in fields] or ["    pass"]
    return _STATE.format(fields="\n".join(lines)) + files(__package__).joinpath("inside.py").read_text(
        "utf-8"
    )
