"""What users are meant to read: the one exception, and the findings of `maestromotif doctor`."""

from dataclasses import dataclass
from typing import Literal


class UserError(Exception):
    """Something that the user can fix: bad input, a missing file, a full disk.

    The message is one or more plain lines that name the file, the line or field, what was wrong and
    what would be right. The command line prints it without a traceback and exits with status 2.
    """


@dataclass(frozen=True)
class Finding:
    """What a part says of itself to `maestromotif doctor`: one line, and what to do about it.

    state: "ok"; "note", worth knowing; "absent", optional and not there; "missing", required and not there.
    """

    state: Literal["ok", "note", "absent", "missing"]
    what: str
    fix: str = ""  # a command, quoted for a shell, or what to do
    extra: str | None = None  # what to install again: an extra of the package, "" for none
