"""What users are meant to read: the one exception, the hint at its end, and the findings of the doctor."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "UserError", "did_you_mean"]


class UserError(Exception):
    """Something that the user can fix: bad input, a missing file, a full disk.

    The message is one or more plain lines that name the file, the line or field, what was wrong and
    what would be right. The command line prints it without a traceback and exits with status 2.
    """


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of a message: "; did you mean 'x'?" with the nearest of `known`, else "; known are x, y, z".

    `otherwise` replaces that list, for messages that have it already ("") or that have a better hint.
    """
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known are {', '.join(known)}" if otherwise is None else otherwise


@dataclass(frozen=True)
class Finding:
    """What a part says of itself to `maestromotif doctor`: one line, and what to do about it.

    state: "ok"; "note", worth knowing; "absent", optional and not there; "missing", required and not there.
    """

    state: Literal["ok", "note", "absent", "missing"]
    what: str
    fix: str = ""  # a command, quoted for a shell, or what to do
    extra: str | None = None  # what to install again: an extra of the package, "" for none
