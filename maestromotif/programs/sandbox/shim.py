"""The text that is run inside the sandbox, and the types of what goes in and out at every turn."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from maestromotif.nethack.state import FIELDS

# Games, None for all of them, and what stands there now.
Change = tuple[list[int] | None, list[Any]]

# In: games whose episode begins; skill indexes, the one that acted least first (empty where calls are not
# balanced); what runs; one change a field of GameState, without `skill`.
Given = tuple[list[int], list[int], Change, list[Change]]

# Out: games where a call begins and their skill indexes; on a fault what it is, game, skill index and text.
Answer = tuple[list[int], list[int]] | tuple[str, int, int, str]

_exchange: Callable[[Answer | None], Given]  # the host's function inside the sandbox

_STATE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class GameState:
{fields}

"""


def source(fields: Sequence[str]) -> str:
    """GameState with these of its fields, and then `inside.py`."""
    lines = [f"    {name}: {FIELDS[name].type.__name__}" for name in fields] or ["    pass"]
    return _STATE.format(fields="\n".join(lines)) + files(__package__).joinpath("inside.py").read_text(
        "utf-8"
    )
