"""What a search over programs works with: candidates are made, debugged, played and recorded here.

A search is a function in `searches.py` that calls the methods of `Search`. Every draw follows from the seed.
So a search that was killed runs again from its beginning, takes what it did before from its journal instead
of doing it again, and goes on with the same choices as without the kill.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import TypeVar, cast

import numpy as np

from maestromotif.compose.budget import Budget, Work
from maestromotif.compose.candidates import Candidate, Operators, Player
from maestromotif.compose.journal import Chose, Event, Failed, Journal, Made, Operator, Played, Stopped
from maestromotif.compose.told import line as line_of
from maestromotif.compose.told import option
from maestromotif.compose.tree import Node, Tree
from maestromotif.errors import UserError
from maestromotif.programs.problems import ProgramError

log = logging.getLogger("maestromotif")

_CANDIDATE, _CHOICE = 0, 1  # purposes of seeds
R = TypeVar("R", bound=Event)


@dataclass(frozen=True)
class Rules:
    """How candidates are tried, in every search. Raises UserError if that makes no sense.

    rungs: numbers of episodes, growing: every candidate plays the first, the best of each rung the next.
    debugs: how often in a row a refused candidate is debugged. seed: of all draws.
    """

    rungs: tuple[int, ...] = (8, 32, 128)
    debugs: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rungs or self.rungs[0] < 1 or any(few >= many for few, many in pairwise(self.rungs)):
            raise UserError(f"rungs are {list(self.rungs)}; they must be growing numbers of episodes, from 1")
        if self.debugs < 0 or self.seed < 0:
            raise UserError(f"debugs is {self.debugs} and seed {self.seed}; neither can be below 0")


class EndedError(Exception):
    """Ends a search. Its text says why: what of the budget is used up, or that nothing can be better."""


class Search:
    """A search under way. tree: what it has done so far; random: for draws of the function that searches."""

    def __init__(
        self, journal: Journal, operators: Operators, player: Player, rules: Rules, budget: Budget
    ) -> None:
        self.tree, self.random = Tree(journal.identity), Random(rules.seed)
        self._rules, self._budget = rules, budget
        self._journal, self._operators, self._player = journal, operators, player
        self._past = deque(
            (line, one) for line, one in enumerate(journal.records, 2) if not isinstance(one, Stopped)
        )
        self._last = journal.records[-1] if journal.records else None
        self._start = time.monotonic() - (self._last.seconds if self._last else 0.0)

    # ------------------------------------------------------------------------------------------ operators

    def draft(self) -> Node:
        return self._make("draft", (), self._operators.draft)

    def debug(self, node: Node) -> Node:
        broken = replace(node.candidate, problems=node.problems)
        return self._make("debug", (node,), lambda seed: self._operators.debug(broken, seed))

    def improve(self, node: Node) -> Node:
        return self._make(
            "improve", (node,), lambda seed: self._operators.improve(node.candidate, node.games, seed)
        )

    def crossover(self, first: Node, second: Node) -> Node:
        return self._make(
            "crossover",
            (first, second),
            lambda seed: self._operators.crossover(first.candidate, second.candidate, seed),
        )

    def choose(self, nodes: Sequence[Node]) -> Node:
        """The one that the model would go on with."""
        numbers = tuple(node.number for node in nodes)
        seed = self._seed(_CHOICE, len(self.tree.nodes))

        def ask() -> Chose:
            calls = self._operators.calls
            chosen = self._operators.choose([option(node, self.tree) for node in nodes], seed)
            return Chose(
                options=numbers,
                seed=seed,
                chosen=numbers[chosen],
                calls=self._operators.calls - calls,
                seconds=self._seconds(),
            )

        return self.tree.node(self._once("choice", ask, options=numbers, seed=seed).chosen)

    # ---------------------------------------------------------------------------------------------- games

    def sound(self, node: Node) -> Node:
        """The candidate, or, if it is refused, what debugging makes of it; refused if that did not help."""
        for _ in range(self._rules.debugs):
            if not node.refused:
                break
            node = self.debug(node)
        return node

    def tried(self, node: Node) -> Node:
        """The candidate after its games of the first rung, or, if it is refused, a debugged one after them.

        It is refused if debugging did not help. Candidates that have proved good play more games then.
        Raises EndedError if one has achieved the task in all games that a candidate can play.
        """
        for again in range(self._rules.debugs + 1):
            if again:
                node = self.debug(node)
            if not node.refused:
                self.play(node, self._rules.rungs[0])
            if not node.refused:
                self._promote()
                self._play_perfect()
                break
        else:
            log.info("search: %s", line_of(node))
        return node

    def play(self, node: Node, episodes: int) -> None:
        """Let a candidate play the first so many episodes. It is refused if it fails in one."""
        first = len(node.games)
        if first >= episodes:
            return

        def games() -> Played | Failed:
            try:
                played = self._player.play(node.candidate.source, range(first, episodes))
            except ProgramError as error:
                return Failed(candidate=node.number, problem=str(error), seconds=self._seconds())
            if len(played) != episodes - first:
                raise ValueError(f"{len(played)} games of {episodes - first} episodes")
            return Played(candidate=node.number, first=first, games=tuple(played), seconds=self._seconds())

        fresh = not self._past
        self._once("games", games, candidate=node.number)
        if fresh:
            log.info("search: %s", line_of(node))

    def finish(self) -> None:
        """Let the best play all rungs, so that its score has a narrow interval."""
        while (best := self.tree.best) and len(best.games) < self._rules.rungs[-1]:
            self.play(best, next(rung for rung in self._rules.rungs if rung > len(best.games)))

    def _promote(self) -> None:
        """Successive halving: of those that have played a rung, the best share plays the next one too.

        The share is rung / next rung, so that each rung costs about as many games; all are compared in the
        same episodes. Source: K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and
        Hyperparameter Optimization" (AISTATS 2016); the form without rounds, for candidates that come one by
        one, is that of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020).
        """
        for rung, following in pairwise(self._rules.rungs):
            there = [node for node in self.tree.played if len(node.games) >= rung]
            there.sort(key=lambda node: node.fitness(rung), reverse=True)
            for node in there[: len(there) * rung // following]:
                self.play(node, following)

    def _play_perfect(self) -> None:
        """Let the best play on while it has not failed. If it plays all rungs so, the search ends."""
        while (best := self.tree.best) and best.successes == (played := len(best.games)):
            if played == self._rules.rungs[-1]:
                raise EndedError(f"candidate {best.number} achieved the task in all {played} games")
            self.play(best, next(rung for rung in self._rules.rungs if rung > played))

    # --------------------------------------------------------------------------------- journal and budget

    def stop(self, why: str) -> None:
        """Record that the search has stopped, unless the journal ends with that already."""
        stopped = Stopped(why=why, seconds=self._seconds())
        if not (isinstance(self._last, Stopped) and self._last.why == why):
            self._journal.add(stopped)
        self.tree.add(stopped)

    def _make(self, operator: Operator, parents: tuple[Node, ...], make: Callable[[int], Candidate]) -> Node:
        number = len(self.tree.nodes) + 1
        seed = self._seed(_CANDIDATE, number)
        of = tuple(parent.number for parent in parents)

        def made() -> Made:
            calls = self._operators.calls
            candidate = _storable(make(seed))
            return Made(
                number=number,
                operator=operator,
                parents=of,
                seed=seed,
                source=candidate.source,
                table=candidate.table,
                problems=candidate.problems or self._twin(candidate),
                calls=self._operators.calls - calls,
                seconds=self._seconds(),
            )

        self._once("candidate", made, number=number, operator=operator, parents=of, seed=seed)
        return self.tree.node(number)

    def _twin(self, candidate: Candidate) -> tuple[str, ...]:
        """Refuses a candidate that was made before: its games would be the same."""
        same = [node.number for node in self.tree.nodes if node.candidate.source == candidate.source]
        return (f"is the same program as candidate {same[0]}",) if same else ()

    def _once(self, kind: Work, work: Callable[[], R], **asked: object) -> R:
        """The record of a piece of work: from the journal if it is there, else after doing it.

        Raises EndedError before work, and UserError if the journal has a record of other work.
        """
        if self._past:
            line, past = self._past.popleft()
            there = {name: getattr(past, name, None) for name in asked}
            if there != asked:
                raise UserError(
                    f"{self._journal.path}:{line}: this search would do {_words(asked)} now, and the journal "
                    f"has {past.kind} with {_words(there)}; another version made it, so begin another journal"
                )
            record = cast(R, past)
        else:
            spent = replace(self.tree.spent, seconds=self._seconds())
            if used := self._budget.used_up(spent, kind):
                raise EndedError(used)
            record = self._last = work()
            self._journal.add(record)
        self.tree.add(record)
        return record

    def _seed(self, purpose: int, number: int) -> int:
        """The seed of a piece of work, in 32 bits; different ones have unrelated seeds."""
        return int(np.random.SeedSequence((self._rules.seed, purpose, number)).generate_state(1)[0])

    def _seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)


def _storable(candidate: Candidate) -> Candidate:
    """Without half characters (lone surrogates), which a model's answer can hold and a file cannot."""

    def whole(text: str) -> str:
        return text.encode(errors="replace").decode()

    return Candidate(
        whole(candidate.source),
        None if candidate.table is None else whole(candidate.table),
        tuple(map(whole, candidate.problems)),
    )


def _words(fields: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
