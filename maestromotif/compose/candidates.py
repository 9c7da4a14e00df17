"""What a search over programs works with: a candidate, its games, and what makes and plays candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Candidate:
    """A program over skills that a search may try.

    source: the Python file. table: the rules that the program was made of, as text; None for a program that
    was written as Python. problems: why it is refused, one line each; empty if it may be played.
    """

    source: str
    table: str | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Game:
    """One episode of a candidate: success, progress in [0, 1], environment steps, and the story in words.

    Of a task without conditions, `progress` is what it measures, and success is at least 1 of it.
    """

    success: bool
    progress: float
    steps: int
    story: str


@runtime_checkable
class Player(Protocol):
    """Plays candidates in the real game."""

    def play(self, source: str, episodes: range) -> list[Game]:
        """One game per number of `episodes`; a number names the same dungeon for every candidate.

        Raises ProgramError if the program fails in a game. Any other UserError is no fault of the program:
        it ends the search, which can go on later.
        """


@runtime_checkable
class Operators(Protocol):
    """Make candidates.

    Each result has been checked: its `problems` say what the check refused. `seed` decides every draw, so a
    resumed search makes the same candidates.
    """

    @property
    def calls(self) -> int:
        """Answers of a language model so far; edits without a model count 0."""

    def draft(self, seed: int) -> Candidate: ...

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        """A candidate without the problems of this one."""

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        """A candidate that does better, after what happened in these games."""

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate: ...

    def choose(self, options: Sequence[str], seed: int) -> int:
        """Index of the most promising of these candidates, each described in a few lines.

        Only the search `llm_first` asks; operators without a model draw one at random.
        """
