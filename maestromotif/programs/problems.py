"""What is wrong with a program, as records; the one place that says it in words.

`ProgramError` is the UserError made of such records. A search over programs reads its `problems`, or gets
them from `check.problems`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from maestromotif.errors import UserError

# Kind of a problem -> what it means.
KINDS = {
    "file": "the file is no text",
    "syntax": "the text is not Python",
    "structure": "a class, method or function is missing, or is there twice",
    "lacks": "Python that the sandbox lacks",
    "types": "the type checker found an error",
    "exception": "an exception ended the program",
    "answer": "a function returned what it may not return",
    "asks": "the program asked for something outside the sandbox",
    "limit": "a limit of time, memory, recursion, nesting or size was hit",
    "memory": "the program remembers outside `self`",
}
_LONGEST = 300  # characters of a text; an exception's message may be of any length


@dataclass(frozen=True)
class Problem:
    """One problem of a program. file: as the caller named it. line, column: from 1; None if not known.

    kind: a key of `KINDS`. text: what is wrong and what would be right, on one line of printable characters.
    """

    file: str
    line: int | None
    column: int | None
    kind: str
    text: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of problem")
        object.__setattr__(self, "text", _one_line(self.text))

    def __str__(self) -> str:
        """file:line:column: text, with the numbers that are known, on one line."""
        numbers = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        return f"{printable(self.file)}{numbers}: {self.text}"


class ProgramError(UserError):
    """A program was refused. Its message has one line for each of `problems`, which are never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type["ProgramError"], tuple[tuple[Problem, ...]]]:
        """On its way to another process it is made of its problems again, not of its message."""
        return type(self), (self.problems,)


def printable(text: str) -> str:
    """The text with escapes for line ends, control characters and half characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _one_line(text: str) -> str:
    """The text, printable and not too long."""
    plain = printable(text[:_LONGEST])
    return plain if len(text) <= _LONGEST else f"{plain}..."
