"""When a task is achieved: conditions on GameState that must become true one after the other.

    condition  = comparison {"and" comparison}
    comparison = field | "not" field                      for fields that are true or false
               | field ("==" | "!=" | "<" | "<=" | ">" | ">=") literal
    literal    = whole number | true | false

The fields are those of GameState, except the ones about the running skill: a task is about the game.
Conditions must be met in order. One step can meet several, as long as each next one holds. With
["depth >= 2", "depth == 1"] a game must reach depth 2 or deeper and then come back to depth 1.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack import state as game_state

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FIELDS = {
    name: field.type for name, field in game_state.FIELDS.items() if name not in game_state.SKILL_FIELDS
}
_TOKEN = re.compile(r"""\s*(?:(?P<number>-?\d+)|(?P<word>[A-Za-z_]\w*)|(?P<op>[=!<>]+))""")
_KINDS = {int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class Comparison:
    field: str
    op: str
    literal: int | bool

    def holds(self, state: Mapping[str, Any]) -> Any:
        """Bool, or bool [N] if the state's values are arrays [N]."""
        return _OPERATORS[self.op](state[self.field], self.literal)


def parse(text: str, where: str = "task.success") -> tuple[Comparison, ...]:
    """The comparisons of one condition; all must hold. Raises UserError that begins with `where`."""
    tokens = _tokens(text, where)
    found = []
    while True:
        found.append(_comparison(tokens, text, where))
        if not tokens:
            return tuple(found)
        kind, word = tokens.pop(0)
        if (kind, word) != ("word", "and"):
            raise _error(text, where, f"expected 'and' before '{word}'; join comparisons with 'and'")


class Success:
    """For N games, how many of the conditions have been met so far. The first call sets N.

    conditions: texts in the syntax above. Without any, the task is never achieved.
    """

    def __init__(self, conditions: Sequence[str], where: str = "task.success") -> None:
        self.conditions = [parse(text, f"{where}[{n}]") for n, text in enumerate(conditions)]
        self.fields = sorted({part.field for condition in self.conditions for part in condition})
        self._met: Int[np.ndarray, " N"] = np.zeros(0, np.int64)

    @property
    def met(self) -> Int[np.ndarray, " N"]:
        """How many conditions each game has met since its reset."""
        return self._met.copy()

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Start over in the games of the mask: new episodes begin there."""
        self._fit(len(mask))
        self._met[mask] = 0

    def update(self, state: Mapping[str, np.ndarray]) -> Bool[np.ndarray, " N"]:
        """Check the state after a step: arrays [N] of at least one field, and of all that conditions name.

        True where all conditions have been met.
        """
        self._fit(len(next(iter(state.values()))))
        if not self.conditions:
            return np.zeros(len(self._met), bool)
        for n, condition in enumerate(self.conditions):
            waiting = self._met == n
            for part in condition:
                waiting = waiting & part.holds(state)
            self._met[waiting] = n + 1
        achieved: np.ndarray = self._met == len(self.conditions)
        return achieved

    def _fit(self, games: int) -> None:
        if len(self._met) == 0:
            self._met = np.zeros(games, np.int64)
        if len(self._met) != games:
            raise ValueError(f"states of {games} games given, {len(self._met)} expected")


def _tokens(text: str, where: str) -> list[tuple[str, str]]:
    tokens = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].strip()
            raise _error(
                text, where, f"cannot read '{rest}'; write conditions such as depth >= 2 and gold > 10"
            )
        assert match.lastgroup is not None
        tokens.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return tokens


def _comparison(tokens: list[tuple[str, str]], text: str, where: str) -> Comparison:
    """Takes one comparison from the front of `tokens`."""
    negated = bool(tokens) and tokens[0] == ("word", "not")
    if negated:
        tokens.pop(0)
    if not tokens:
        raise _error(text, where, "the condition ends where a field of GameState was expected")
    kind, field = tokens.pop(0)
    if kind != "word":
        raise _error(text, where, f"expected a field of GameState, got {field}")
    if field not in FIELDS:
        raise _error(text, where, f"GameState has no field '{field}'{did_you_mean(field, FIELDS)}")
    compared = bool(tokens) and tokens[0][0] == "op"
    if not compared or negated:
        if FIELDS[field] is not bool:
            raise _error(
                text, where, f"'{field}' is {_KINDS[FIELDS[field]]}; compare it, as in {field} == ..."
            )
        if compared:
            raise _error(text, where, f"write 'not {field}' or '{field} == false', not both")
        return Comparison(field, "==", not negated)
    _, op = tokens.pop(0)
    if op not in _OPERATORS:
        hint = " (two equal signs compare)" if op == "=" else ""
        raise _error(text, where, f"'{op}' is not a comparison{hint}; use one of {', '.join(_OPERATORS)}")
    if not tokens:
        raise _error(text, where, f"the condition ends where {_KINDS[FIELDS[field]]} was expected")
    _, word = tokens.pop(0)
    literal = _literal(word)
    if literal is None or type(literal) is not FIELDS[field]:
        raise _error(text, where, f"'{field}' is {_KINDS[FIELDS[field]]}, got '{word}'")
    if isinstance(literal, bool) and op not in ("==", "!="):
        raise _error(text, where, f"'{field}' is {_KINDS[bool]}; only == and != compare it")
    if abs(literal) >= 2**31:
        raise _error(text, where, f"{literal} is greater than any number in the game")
    return Comparison(field, op, literal)


def _literal(word: str) -> int | bool | None:
    """None if the token is not a literal, which is the wrong type for every field."""
    if word.lstrip("-").isdigit():
        return int(word)
    return {"true": True, "false": False}.get(word.lower())


def _error(text: str, where: str, message: str) -> UserError:
    return UserError(f"{where}: '{text}': {message}")
