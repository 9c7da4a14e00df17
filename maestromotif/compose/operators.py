"""The operators without a model: the control that tells whether a model helps a search.

A draft is a random table of rules. A candidate with a table is edited as a table (`table_edits.py`), one that
was written as Python as a syntax tree (`edits.py`). Every draw follows from the seed.
"""

import ast
from collections.abc import Callable, Sequence
from random import Random

from maestromotif.compose import edits, rules, table_edits
from maestromotif.compose.candidates import Candidate, Game
from maestromotif.compose.table_edits import Guards
from maestromotif.errors import UserError
from maestromotif.programs import check
from maestromotif.skill import Skill

FILE = "candidate.py"  # in the messages of the check
TRIES = 8  # of an operator, until the check accepts what it made
SEVERAL = 0.3  # probability of a further edit after each


class Edits:
    """`Operators` without a model. words: what the program is for, for its comment; conditions: of the task.

    Raises UserError if there are no skills.
    """

    calls = 0

    def __init__(self, skills: Sequence[Skill], words: str, conditions: Sequence[str] = ()) -> None:
        if not skills:
            raise UserError("skills: the list is empty; a program needs at least one skill")
        self._skills, self._words = skills, words
        self._names = [one.name for one in skills]
        self._guards = Guards(conditions)

    def draft(self, seed: int) -> Candidate:
        random = Random(seed)
        material = table_edits.Material(self._names, self._guards)
        return self._first(lambda: self._of_table(table_edits.random_table(random, material).tidy()))

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        """Without the statement that a problem names; an edit where that is not possible or a table is there.

        A file that is not Python and a table that cannot be read are replaced by a draft.
        """
        if candidate.table is None:
            shorter = edits.without(candidate.source, candidate.problems)
            if shorter is not None:
                return self._checked(shorter)
        readable = (
            _is_python(candidate.source) if candidate.table is None else self._is_table(candidate.table)
        )
        return self._edited(candidate, None, seed) if readable else self.draft(seed)

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        """One edit or a few. What happened in the games is not used."""
        return self._edited(candidate, None, seed)

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        """The first with a rule or a branch of the second."""
        return self._edited(first, second, seed)

    def choose(self, options: Sequence[str], seed: int) -> int:
        return Random(seed).randrange(len(options))

    def _edited(self, candidate: Candidate, other: Candidate | None, seed: int) -> Candidate:
        random = Random(seed)
        change = self._change_table if candidate.table is not None else self._change_source
        return self._first(lambda: change(candidate, other, random))

    def _change_table(self, candidate: Candidate, other: Candidate | None, random: Random) -> Candidate:
        assert candidate.table is not None
        table = rules.parse(candidate.table, self._names)
        copied = rules.parse(other.table, self._names) if other and other.table is not None else None
        material = table_edits.Material(self._names, self._guards, copied)
        changed = table_edits.edited(table, random, material, ("copy",) if copied else ()) or table
        while changed.tidy() == table.tidy() or random.random() < SEVERAL:
            changed = table_edits.edited(changed, random, material) or changed
        return self._of_table(changed.tidy())

    def _change_source(self, candidate: Candidate, other: Candidate | None, random: Random) -> Candidate:
        source = candidate.source
        material = edits.Material(
            self._names, lambda drawn: self._guards.plain(drawn).code(), other.source if other else None
        )
        changed = edits.edited(source, random, material, ("copy",) if other else ()) or source
        while changed == source or random.random() < SEVERAL:
            again = edits.edited(changed, random, material)
            if again is None:
                break
            changed = again
        return self._checked(changed)

    def _is_table(self, text: str) -> bool:
        try:
            rules.parse(text, self._names)
        except UserError:
            return False
        return True

    def _first(self, make: Callable[[], Candidate]) -> Candidate:
        """The first of several tries that the check accepts; the last if it refuses all."""
        for _ in range(TRIES):
            made = make()
            if not made.problems:
                break
        return made

    def _of_table(self, table: rules.Table) -> Candidate:
        return self._checked(rules.program(table, self._words), str(table))

    def _checked(self, source: str, table: str | None = None) -> Candidate:
        try:
            check.program(source, FILE, self._skills)
        except UserError as error:
            return Candidate(source, table, tuple(str(error).splitlines()))
        return Candidate(source, table)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
