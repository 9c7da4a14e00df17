"""Why a program switched: which fields of GameState it reads to decide, and their values at a switch.

The fields are found in the source, without running it. `Decisions` follows N games and gives, at each switch,
the small table {field: value} that the programs had before them.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract, syntax
from maestromotif.skill import Skill

Value = int | bool | str  # of a field of GameState


@dataclass(frozen=True)
class Reads:
    """Fields of GameState that each decision reads, in the order of `FIELDS`.

    A field is listed if the decision's function, or a function or class of the same file that it names,
    directly or through others, reads an attribute of that name. An attribute of `self` is the program's own
    memory and does not count. So a field may be listed that this switch did not look at; one that was
    looked at is missing only if the program built its name at run time.
    """

    select: tuple[str, ...]  # Program.select
    interrupt: tuple[str, ...]  # Program.should_end; empty if it has none
    ends: tuple[tuple[str, ...], ...]  # should_end of each skill
    starts: tuple[tuple[str, ...], ...]  # may_start of each skill

    def at_switch(self, ended: int) -> tuple[str, ...]:
        """Fields read when skill number `ended` gave way to another call; -1 at the start of an episode."""
        read = {*self.select, *(field for fields in self.starts for field in fields)}
        if ended >= 0:
            read.update(self.interrupt, self.ends[ended])
        return tuple(name for name in FIELDS if name in read)

    def readers(self, field: str, ended: int, names: Sequence[str]) -> list[str]:
        """What reads a field at that switch, in words: 'descender ends', 'program chooses', ...

        names: of the skills.
        """
        found = [f"{names[ended]} ends"] if ended >= 0 and field in self.ends[ended] else []
        found += ["program interrupts"] if ended >= 0 and field in self.interrupt else []
        found += ["program chooses"] if field in self.select else []
        return found + [
            f"{name} starts" for name, fields in zip(names, self.starts, strict=True) if field in fields
        ]


def reads(program: str, skills: Sequence[Skill]) -> Reads:
    """What a program over these skills reads. program: its source. Raises UserError if one is not Python."""
    methods = fields_read(program, "program", "Program")
    sources = [one.program if one.program is not None else contract.default_program(one) for one in skills]
    functions = [
        fields_read(source, str(one.program_path)) for source, one in zip(sources, skills, strict=True)
    ]
    return Reads(
        select=methods.get("select", ()),
        interrupt=methods.get("should_end", ()),
        ends=tuple(found.get("should_end", ()) for found in functions),
        starts=tuple(found.get("may_start", ()) for found in functions),
    )


def fields_read(source: str, path: str, of_class: str | None = None) -> dict[str, tuple[str, ...]]:
    """Function -> the fields that it reads, for the functions of a file, or the methods of its class.

    path: for messages. Raises UserError if the source is not Python.
    """
    try:
        tree = syntax.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not Python: {error}") from error
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {
        id(node): _first_argument(method)  # a function inside a method has the same `self`
        for one in classes
        for method in _methods(one)
        for node in ast.walk(method)
        if isinstance(node, ast.FunctionDef)
    }
    named: dict[str, list[ast.FunctionDef]] = {}
    for function in functions:
        named.setdefault(function.name, []).append(function)
    for one in classes:  # to name a class is to call its methods
        named.setdefault(one.name, []).extend(_methods(one))
    if of_class is None:
        entries = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    else:
        entries = [method for one in classes if one.name == of_class for method in _methods(one)]
    return {entry.name: _reached(entry, named, own) for entry in entries}


def _reached(
    entry: ast.FunctionDef, named: Mapping[str, Sequence[ast.FunctionDef]], own: Mapping[int, str]
) -> tuple[str, ...]:
    """Fields that a function reads, or functions that it names read. own: method -> its name of itself."""
    found: set[str] = set()
    waiting, done = [entry], set[int]()
    while waiting:
        function = waiting.pop()
        if id(function) in done:
            continue
        done.add(id(function))
        me = own.get(id(function), "")
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                mine = isinstance(node.value, ast.Name) and node.value.id == me
                found |= set() if mine else {node.attr}
                waiting += named.get(node.attr, ())
            elif isinstance(node, ast.Name):
                waiting += named.get(node.id, ())
            elif isinstance(node, ast.Call):
                found |= _named_in_getattr(node)
            elif isinstance(node, ast.MatchClass):
                found |= set(node.kwd_attrs)
    return tuple(name for name in FIELDS if name in found)


def _named_in_getattr(call: ast.Call) -> set[str]:
    """The name in a getattr(state, "depth")."""
    named = isinstance(call.func, ast.Name) and call.func.id == "getattr"
    texts = [one.value for one in call.args[1:2] if named and isinstance(one, ast.Constant)]
    return {text for text in texts if isinstance(text, str)}


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [method for method in node.body if isinstance(method, ast.FunctionDef)]


def _first_argument(method: ast.FunctionDef) -> str:
    arguments = [*method.args.posonlyargs, *method.args.args]
    return arguments[0].arg if arguments else ""


# ------------------------------------------------------------------------------------------- at a switch


@dataclass(frozen=True)
class Decision:
    """What the programs had before them when a call ended and the next one began.

    `values` holds the fields that they read, just before the switch: first those whose values changed since
    the call that ended began, then the others; each group in the order of `FIELDS`. `before` holds the
    changed ones' values when that call began. At the start of an episode no call has ended: `ended` is -1
    and `before` is empty.
    """

    ended: int  # number of the skill whose call ended, -1 for none
    chosen: int  # number of the skill whose call begins
    values: dict[str, Value]
    before: dict[str, Value]

    @property
    def words(self) -> str:
        """The table in one line: 'depth 1 → 2, on_upstairs True, ...'."""
        return ", ".join(
            f"{name} {self.before[name]} → {value}" if name in self.before else f"{name} {value}"
            for name, value in self.values.items()
        )


def decision(
    fields: Sequence[str],
    ended: int,
    chosen: int,
    now: Mapping[str, Value],
    began: Mapping[str, Value] | None,
) -> Decision:
    """The decision of one switch. fields: `Reads.at_switch`. now: their values just before the switch.

    began: their values when the call that ended began; None at the start of an episode.
    """
    before = {} if began is None else {name: began[name] for name in fields if began[name] != now[name]}
    order = [*before, *(name for name in fields if name not in before)]
    return Decision(ended, chosen, {name: now[name] for name in order}, before)


class Decisions:
    """Gives the decision of every switch in N games.

    program, skills: as for `reads`. Call `follow` at every step, with the same arguments that the program
    was given and with its answer.
    """

    def __init__(self, program: str, skills: Sequence[Skill], games: int) -> None:
        self.reads = reads(program, skills)
        self._names = [one.name for one in skills]
        self._began: list[dict[str, Value] | None] = [None] * games

    def follow(
        self,
        state: Mapping[str, np.ndarray],
        ended: np.ndarray,
        chosen: np.ndarray,
        switched: np.ndarray,
    ) -> dict[int, Decision]:
        """Game -> its decision, for the games of the mask `switched` bool [N], where a call begins.

        state: arrays [N], all fields of GameState but `skill`, as the program saw them: `Options.full_state`
        before `Options.advance`. ended: number of the skill that was running, int [N], -1 if an episode has
        begun. chosen: number of the skill that runs now, int [N].
        """
        found = {}
        for game in np.flatnonzero(switched).tolist():
            now = self._row(state, game, int(ended[game]))
            began = self._began[game] if ended[game] >= 0 else None
            fields = self.reads.at_switch(int(ended[game]))
            found[game] = decision(fields, int(ended[game]), int(chosen[game]), now, began)
            fresh = {"skill_steps": 0, "skill_turns": 0, "skill_start_depth": now["depth"]}
            self._began[game] = now | fresh | {"skill": self._names[int(chosen[game])]}
        return found

    def _row(self, state: Mapping[str, np.ndarray], game: int, skill: int) -> dict[str, Value]:
        """All fields of one game as plain values."""
        row: dict[str, Any] = {
            name: field.type(state[name][game]) for name, field in FIELDS.items() if name != "skill"
        }
        return row | {"skill": self._names[skill] if skill >= 0 else ""}
