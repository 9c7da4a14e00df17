"""The tree of a search: its candidates, their games, and which is best. It grows from a journal's records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.compose.candidates import Candidate, Game
from maestromotif.compose.journal import REPAIR, Began, Chose, Event, Failed, Made, Played, Stopped, read
from maestromotif.errors import UserError
from maestromotif.intervals import Interval, bootstrap_mean, wilson


@dataclass
class Node:
    """A candidate of a search: where it comes from, and what it did in the episodes 0, 1, ..."""

    number: int  # from 1
    operator: str
    parents: tuple[int, ...]
    seed: int
    candidate: Candidate
    games: list[Game] = field(default_factory=list)
    failure: str | None = None  # what stopped it in a game

    @property
    def problems(self) -> tuple[str, ...]:
        return self.candidate.problems + ((self.failure,) if self.failure else ())

    @property
    def refused(self) -> bool:
        return bool(self.problems)

    @property
    def successes(self) -> int:
        return sum(game.success for game in self.games)

    @property
    def progress(self) -> float:
        """Mean of its games; 0 before the first."""
        return float(np.mean([game.progress for game in self.games])) if self.games else 0.0

    @property
    def interval(self) -> Interval:
        """95 % interval of its success rate; of nothing before the first game."""
        return wilson(self.successes, len(self.games)) if self.games else Interval(0.0, 1.0)

    def fitness(self, games: int) -> tuple[float, float]:
        """Success rate and mean progress of its first games: to compare candidates in the same episodes."""
        played = self.games[:games]
        return (
            float(np.mean([game.success for game in played])),
            float(np.mean([game.progress for game in played])),
        )

    def surely(self) -> tuple[float, float]:
        """Lower bounds of success rate and mean progress: to compare candidates with few and many games."""
        return self.interval.low, bootstrap_mean([game.progress for game in self.games], resamples=1000).low


@dataclass
class Spent:
    """What a search has used. candidates: refused ones included; calls: of a model; seconds: of work."""

    candidates: int = 0
    calls: int = 0
    games: int = 0
    steps: int = 0
    seconds: float = 0.0


@dataclass
class Tree:
    """All that a journal says. identity: what the search depends on; stopped: why, if it has stopped."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    stopped: str | None = None

    def add(self, record: Event) -> None:
        """Take in the next record. Raises ValueError if it does not fit those before."""
        match record:
            case Made():
                self._made(record)
            case Played():
                node = self.node(record.candidate)
                if record.first != len(node.games):
                    raise ValueError(
                        f"candidate {node.number} has {len(node.games)} games, not {record.first}"
                    )
                node.games += record.games
                self.spent.games += len(record.games)
                self.spent.steps += sum(game.steps for game in record.games)
            case Failed():
                self.node(record.candidate).failure = record.problem
            case Chose():
                self.spent.calls += record.calls
        self.stopped = record.why if isinstance(record, Stopped) else None
        self.spent.seconds = record.seconds

    def node(self, number: int) -> Node:
        """Raises ValueError if there is no such candidate."""
        if not 1 <= number <= len(self.nodes):
            raise ValueError(f"there is no candidate {number} before this line")
        return self.nodes[number - 1]

    def children(self) -> dict[int, list[Node]]:
        """Number of a candidate -> those of which it is the first parent; of 0: the drafts."""
        found: dict[int, list[Node]] = {number: [] for number in range(len(self.nodes) + 1)}
        for node in self.nodes:
            found[(node.parents or (0,))[0]].append(node)
        return found

    @property
    def played(self) -> list[Node]:
        """The candidates that are not refused and have games."""
        return [node for node in self.nodes if node.games and not node.refused]

    @property
    def best(self) -> Node | None:
        """The candidate that is most surely good; the earlier one of two equals. None: all were refused."""
        return max(self.played, key=Node.surely, default=None)

    def _made(self, record: Made) -> None:
        if record.number != len(self.nodes) + 1:
            raise ValueError(f"candidate {record.number} comes after candidate {len(self.nodes)}")
        for parent in record.parents:
            self.node(parent)
        candidate = Candidate(record.source, record.table, record.problems)
        self.nodes.append(Node(record.number, record.operator, record.parents, record.seed, candidate))
        self.spent.candidates += 1
        self.spent.calls += record.calls


def grown(path: Path, began: Began, records: Sequence[Event]) -> Tree:
    """The tree of the records of a journal; path: the file, for messages. Raises UserError with the line."""
    tree = Tree(began.identity)
    for line, record in enumerate(records, start=2):
        try:
            tree.add(record)
        except ValueError as error:
            raise UserError(f"{path}:{line}: is damaged: {error}; {REPAIR}") from error
    return tree


def load(path: Path) -> Tree:
    """The tree of a journal that is whole or is being written. Raises UserError."""
    return grown(path, *read(path))
