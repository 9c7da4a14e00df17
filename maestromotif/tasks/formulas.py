"""What must happen in an episode, step after step: expressions joined by what comes then, until, or never.

A formula is what was written; `Automaton` follows it through N episodes at once. Each step it says where the
formula has just been met, and where it can no longer be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from maestromotif.tasks.expressions import Both, Expression, Flag, Not, Step, can_hold, since


class Formula:
    """One node of a formula."""

    def automaton(self, total: np.ndarray) -> "Automaton":
        raise NotImplementedError

    def fault(self) -> str | None:
        """Why it can never be met, if that is known."""
        raise NotImplementedError

    def expressions(self) -> Iterator[Expression]:
        """All expressions in it."""
        raise NotImplementedError

    def ends_episode(self) -> bool:
        """Whether it can be met only on the last step of an episode."""
        return False


class Automaton:
    """Follows a formula in N games. All arrays are [N], bool unless a method says otherwise.

    total: int64 [N, len(EVENTS)], events since the episode began, which the caller keeps up to date.
    """

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        """Start over in these games, with this GameState."""
        raise NotImplementedError

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take in a step of the active games: where it was met now, and where it can no longer be."""
        raise NotImplementedError

    def progress(self) -> np.ndarray:
        """Share of it that was achieved, float64 in [0, 1]; 1 only where it was met."""
        raise NotImplementedError


@dataclass(frozen=True)
class Holds(Formula):
    """An expression becomes true. The hero must be alive then, unless it is about the episode's end."""

    expression: Expression

    def automaton(self, total: np.ndarray) -> "Automaton":
        return _Holds(self, total)

    def fault(self) -> str | None:
        return None if can_hold(self.expression) else f"'{self.expression}' can never be true"

    def expressions(self) -> Iterator[Expression]:
        yield self.expression

    def ends_episode(self) -> bool:
        ends = [one for one in self.expression.parts() if isinstance(one, Flag) and one.ends]
        goes_on = Both((self.expression, *map(Not, ends)), every=True)
        return bool(ends) and not can_hold(goes_on)


class _Watch:
    """An expression in N games, with what it counts from. total: as in `Automaton`."""

    def __init__(self, expression: Expression, total: np.ndarray) -> None:
        self._expression, self._since = expression, since(total)

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self._since.begin(where, state)

    def holds(self, step: Step) -> np.ndarray:
        held: np.ndarray = np.asarray(self._expression.value(step, self._since))
        return held

    def share(self, step: Step) -> np.ndarray:
        share: np.ndarray = self._expression.share(step, self._since)
        return share


class _Holds(Automaton):
    def __init__(self, formula: Holds, total: np.ndarray) -> None:
        self._watch = _Watch(formula.expression, total)
        self._at_end = any(isinstance(one, Flag) and one.ends for one in formula.expression.parts())
        self._best = np.zeros(len(total))

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self._watch.begin(where, state)
        self._best[where] = 0

    def holds(self, step: Step) -> np.ndarray:
        held = self._watch.holds(step)
        return held if self._at_end else held & ~step.died

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        met = active & self.holds(step)
        share = np.where(met, 1.0, np.minimum(self._watch.share(step), 1 - 1e-6))
        self._best = np.where(active, np.maximum(self._best, share), self._best)
        return met, np.zeros_like(met)

    def progress(self) -> np.ndarray:
        return self._best.copy()


@dataclass(frozen=True)
class Then(Formula):
    """One after the other. One step may meet several."""

    of: tuple[Formula, ...]

    def automaton(self, total: np.ndarray) -> "Automaton":
        return _Then(self, total)

    def fault(self) -> str | None:
        for one, following in zip(self.of, self.of[1:], strict=False):
            if one.ends_episode() and not following.ends_episode():
                return "nothing can happen after the end of the episode"
        return next((fault for one in self.of if (fault := one.fault())), None)

    def expressions(self) -> Iterator[Expression]:
        for one in self.of:
            yield from one.expressions()

    def ends_episode(self) -> bool:
        return self.of[-1].ends_episode()


class _Then(Automaton):
    def __init__(self, formula: Then, total: np.ndarray) -> None:
        self._parts = [one.automaton(total) for one in formula.of]
        self.at = np.zeros(len(total), np.int64)  # how many have been met

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self.at[where] = 0
        self._parts[0].begin(where, state)

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        failed = np.zeros_like(active)
        for number, part in enumerate(self._parts):
            waiting = active & ~failed & (self.at == number)
            if not waiting.any():
                continue
            met, lost = part.update(step, waiting)
            failed |= lost
            self.at[met] = number + 1
            if number + 1 < len(self._parts):
                self._parts[number + 1].begin(met, step.state)
        return active & (self.at == len(self._parts)), failed

    def progress(self) -> np.ndarray:
        parts = len(self._parts)
        current = np.select(
            [self.at == n for n in range(parts)], [one.progress() for one in self._parts], 0.0
        )
        share: np.ndarray = (self.at + current) / parts
        return share


@dataclass(frozen=True)
class Several(Formula):
    """All of these in any order (every), or any one of them."""

    of: tuple[Formula, ...]
    every: bool

    def automaton(self, total: np.ndarray) -> "Automaton":
        return _Several(self, total)

    def fault(self) -> str | None:
        faults = [one.fault() for one in self.of]
        if self.every or all(faults):
            return next(filter(None, faults), None)
        return None

    def expressions(self) -> Iterator[Expression]:
        for one in self.of:
            yield from one.expressions()

    def ends_episode(self) -> bool:
        return (any if self.every else all)(one.ends_episode() for one in self.of)


class _Several(Automaton):
    def __init__(self, formula: Several, total: np.ndarray) -> None:
        self._parts = [one.automaton(total) for one in formula.of]
        self._every = formula.every
        self._met = np.zeros((len(self._parts), len(total)), bool)
        self._failed = np.zeros((len(self._parts), len(total)), bool)

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self._met[:, where] = self._failed[:, where] = False
        for part in self._parts:
            part.begin(where, state)

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        for number, part in enumerate(self._parts):
            waiting = active & ~self._met[number] & ~self._failed[number]
            met, lost = part.update(step, waiting)
            self._met[number] |= met
            self._failed[number] |= lost
        met_at, failed_at = (np.all, np.any) if self._every else (np.any, np.all)
        met = active & met_at(self._met, axis=0)
        return met, active & ~met & failed_at(self._failed, axis=0)

    def progress(self) -> np.ndarray:
        shares = [one.progress() for one in self._parts]
        share: np.ndarray = (np.mean if self._every else np.max)(shares, axis=0)
        return share


@dataclass(frozen=True)
class Avoiding(Formula):
    """A formula is met, and an expression is never true before; also_then: nor on the step that meets it."""

    formula: Formula
    bad: Expression
    also_then: bool

    def automaton(self, total: np.ndarray) -> "Automaton":
        return _Avoiding(self, total)

    def fault(self) -> str | None:
        if fault := self.formula.fault():
            return fault
        last = self.formula
        while isinstance(last, Then):
            last = last.of[-1]
        good = last.expression if self.also_then and isinstance(last, Holds) else None
        if good is not None and not can_hold(Both((good, Not(self.bad)), every=True)):
            return f"'{good}' and 'not {self.bad}' contradict each other"
        if can_hold(Not(self.bad)):
            return None
        only = "" if self.also_then else ", so that it could be met only as it begins"
        return f"'{self.bad}' is always true{only}"

    def expressions(self) -> Iterator[Expression]:
        yield from self.formula.expressions()
        yield self.bad

    def ends_episode(self) -> bool:
        return self.formula.ends_episode()


class _Avoiding(Automaton):
    def __init__(self, formula: Avoiding, total: np.ndarray) -> None:
        self._of = formula.formula.automaton(total)
        self._watch = _Watch(formula.bad, total)
        self._also_then = formula.also_then

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self._of.begin(where, state)
        self._watch.begin(where, state)

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bad = active & self._watch.holds(step)
        met, lost = self._of.update(step, active & ~bad if self._also_then else active)
        return met, lost | (bad & ~met)

    def progress(self) -> np.ndarray:
        return self._of.progress()


@dataclass(frozen=True)
class Repeat(Formula):
    """So many times. An expression counts again only after it was false."""

    times: int
    formula: Formula

    def automaton(self, total: np.ndarray) -> "Automaton":
        return _Repeat(self, total)

    def fault(self) -> str | None:
        if self.times > 1 and self.formula.ends_episode():
            return "an episode ends only once"
        return self.formula.fault()

    def expressions(self) -> Iterator[Expression]:
        yield from self.formula.expressions()

    def ends_episode(self) -> bool:
        return self.formula.ends_episode()


class _Repeat(Automaton):
    def __init__(self, formula: Repeat, total: np.ndarray) -> None:
        self._of, self._times = formula.formula.automaton(total), formula.times
        self._done = np.zeros(len(total), np.int64)
        self._still = np.zeros(len(total), bool)  # it has been true without a pause since it last counted

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        self._done[where], self._still[where] = 0, False
        self._of.begin(where, state)

    def update(self, step: Step, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(self._of, _Holds):
            self._still &= self._of.holds(step)
        met, lost = self._of.update(step, active & ~self._still)
        self._done[met] += 1
        again = met & (self._done < self._times)
        self._of.begin(again, step.state)
        if isinstance(self._of, _Holds):
            self._still[again] = self._of.holds(step)[again]
        return met & (self._done == self._times), lost

    def progress(self) -> np.ndarray:
        share: np.ndarray = (
            self._done + np.where(self._done < self._times, self._of.progress(), 0)
        ) / self._times
        return share
