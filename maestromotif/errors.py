"""The one exception that users are meant to read, and the hint at its end."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can correct: bad input, a missing file, a full disk.

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
