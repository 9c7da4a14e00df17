"""Messages for users: the one exception class, the "did you mean" hint, and the findings of the doctor."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Finding", "UserError", "did_you_mean"]

_LISTED = 50  # most mistakes of a message
_ADVICE = 2  # lines at its end that are always shown, such as a command that helps
_LONGEST = 2_000  # characters of a line
_USER = re.compile(r"(?<=://)[^/\s'\"]*@")


class UserError(Exception):
    """A problem that the user can fix: bad input, a missing file, a full disk.

    The message has one or more plain lines. It names the file, the line or field, what is wrong and what
    would be right. The command line prints it without a traceback and exits with status 2. What it repeats of
    others, such as an address that a user typed, is shown without a password. Of very many mistakes,
    only the first are shown.
    """

    def __str__(self) -> str:
        lines = without_users(super().__str__()).split("\n")
        if len(lines) > _LISTED + _ADVICE:
            more = f"and {len(lines) - _LISTED - _ADVICE:,} more lines like these"
            lines = [*lines[:_LISTED], more, *lines[-_ADVICE:]]
        return "\n".join(map(_shortened, lines))


def _shortened(line: str) -> str:
    """A line without its middle if it is far too long: the file comes first, what would be right last."""
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} [...] {line[-half:]}"


def without_users(text: str) -> str:
    """A text to show, without the user and the password in the addresses that it has."""
    return _USER.sub("", text)


def elsewhere(path: str | Path) -> str:
    """The end of a message about a file that is not there: where a relative path was looked for."""
    if Path(path).is_absolute():
        return ""
    advice = "" if Path("skills").is_dir() else ": start the command in the folder of the repository"
    return f"; it was looked for in {Path.cwd()}{advice}"


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of a message: "; did you mean 'x'?" with the closest of `known`, else "; known are x, y, z".

    `otherwise` replaces that list, for messages that already have it ("") or have a better hint.
    """
    known = list(known)
    near = difflib.get_close_matches(word[:_LONGEST], known, n=1)
    near = near or [one for one in known if one.casefold() == word.casefold()]
    # Letters of other alphabets look like those of ours, and some characters are not seen at all.
    odd = next((one for one in word if not one.isascii()), None) if all(map(str.isascii, known)) else None
    told = "" if odd is None else f"; it has {unicodedata.name(odd, 'a character')} (U+{ord(odd):04X})"
    if near:
        return f"{told}; did you mean '{near[0]}'?"
    if odd is not None:
        return told
    return f"; known are {', '.join(known)}" if otherwise is None else otherwise


@dataclass(frozen=True)
class Finding:
    """One result of a check by `maestromotif doctor`: a line, and what to do about it.

    state: "ok"; "note": worth knowing; "absent": optional and not there; "missing": required and not there.
    """

    state: Literal["ok", "note", "absent", "missing"]
    what: str
    fix: str = ""  # a shell command, quoted, or an instruction
    extra: str | None = None  # the extra to install; "" reinstalls the package without extras
