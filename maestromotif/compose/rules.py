"""Programs over skills as tables of rules, which a small model can write and a search can edit.

    when badly_hurt use survivor
    when after(depth >= 2) use ascender
    when downstairs_seen and depth < 2 use descender
    otherwise use discoverer

The first rule that holds names the skill. A condition joins guards by `and`: a comparison of a number in
`FACTS`, a flag in `FACTS` or its opposite, or `after(A, B)`: A has been true in this episode, and B then or
later. So `after(A)` remembers A, and `not after(A)` says that it has not come yet.

`parse` and `str(table)` read and write this text, `grammar` is it in GBNF, and `program` makes a Python
program of a table.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS

MOST_RULES = 12  # without the last, "otherwise"
MOST_WRITTEN = 5  # rules that a model writes in a table
MOST_STAGES = 3  # of an `after`
REST = 40  # steps for which a skill that failed lets the next rule act
RETRY = 20  # steps until a skill that could not start is asked for again
OPS = ("==", "!=", ">=", "<=", ">", "<")
_LARGEST = 99_999


class Fact(NamedTuple):
    """What a guard can name. type: int or bool. code: of programs."""

    type: type
    doc: str
    code: str


def _fields(*names: str) -> dict[str, Fact]:
    return {name: Fact(FIELDS[name].type, FIELDS[name].doc, f"state.{name}") for name in names}


# Fields of GameState, and what a rule would need two fields for. In the order in which models see them.
FACTS: dict[str, Fact] = {
    **_fields("depth", "deepest", "downstairs_seen", "upstairs_seen"),
    **_fields("kills", "gold", "xp_level", "explored"),
    "in_mines": Fact(bool, "Whether the agent is in the Gnomish Mines.", "state.dungeon == 2"),
    "mines_below": Fact(
        bool,
        "Whether this level is known to have the stairs into the Gnomish Mines.",
        "state.dungeon == 0 and state.depth == state.branch_depth",
    ),
    **_fields("in_minetown", "at_oracle"),
    "in_sokoban": Fact(bool, "Whether the agent is in Sokoban.", "state.dungeon == 4"),
    "hungry": Fact(bool, "Whether the agent is hungry, weak or fainting.", "state.hunger >= 2"),
    "badly_hurt": Fact(
        bool, "Whether a third of the hit points or less are left.", "state.hp * 3 <= state.max_hp"
    ),
    **_fields(
        *("shopkeeper_in_view", "in_shop", "sellable_items", "items_sold", "items_bought"),
        *("prices_identified", "altar_in_view", "altar_tests", "in_temple", "has_eaten_in_mines"),
        *("meals_while_hungry", "prayers", "idle_steps", "turn"),
    ),
}


@dataclass(frozen=True)
class Flag:
    fact: str
    holds: bool = True

    def __str__(self) -> str:
        return self.fact if self.holds else f"not {self.fact}"

    def code(self) -> str:
        code = FACTS[self.fact].code
        if self.holds:
            return f"({code})" if " " in code else code
        return f"not ({code})" if " " in code else f"not {code}"


@dataclass(frozen=True)
class Comparison:
    fact: str
    op: str  # one of `OPS`
    value: int

    def __str__(self) -> str:
        return f"{self.fact} {self.op} {self.value}"

    def code(self) -> str:
        return f"{FACTS[self.fact].code} {self.op} {self.value}"


Plain = Flag | Comparison
Stage = tuple[Plain, ...]  # all at once
Stages = tuple[Stage, ...]


@dataclass(frozen=True)
class After:
    """The stages have been true in this episode, one after the other; one step may meet several."""

    stages: Stages
    holds: bool = True

    def __str__(self) -> str:
        stages = ", ".join(" and ".join(map(str, stage)) for stage in self.stages)
        return f"{'' if self.holds else 'not '}after({stages})"


Guard = Flag | Comparison | After


@dataclass(frozen=True)
class Rule:
    guards: tuple[Guard, ...]  # at least one
    skill: str

    def __str__(self) -> str:
        return f"{self.condition} use {self.skill}"

    @property
    def condition(self) -> str:
        """The rule's text before the skill."""
        return f"when {' and '.join(map(str, self.guards))}"


@dataclass(frozen=True)
class Table:
    """`str` gives its text."""

    rules: tuple[Rule, ...]
    otherwise: str  # a skill

    def __str__(self) -> str:
        return "".join(f"{rule}\n" for rule in self.rules) + f"otherwise use {self.otherwise}\n"

    def tidy(self) -> "Table":
        """Without rules that no game can reach, because one before them holds whenever they do."""
        kept: list[Rule] = []
        for rule in self.rules:
            if not any(set(one.guards) <= set(rule.guards) for one in kept):
                kept.append(rule)
        while kept and kept[-1].skill == self.otherwise:
            kept.pop()
        return Table(tuple(kept), self.otherwise)


# ------------------------------------------------------------------------------------------------- reading


def parse(text: str, skills: Sequence[str], where: str = "table") -> Table:
    """The table of a text; empty lines and comments behind '#' do not count.

    Raises UserError that lists every mistake as where:line.
    """
    rules: list[Rule] = []
    otherwise: str | None = None
    problems = []
    last = 0
    for number, line in enumerate(text.splitlines(), 1):
        said = " ".join(line.partition("#")[0].split())
        if not said:
            continue
        last = number
        try:
            if otherwise is not None:
                raise _MistakeError("nothing can follow the line 'otherwise use SKILL'")
            found = _line(said, skills)
        except _MistakeError as error:
            problems.append(f"{where}:{number}: {said[:120]!r}: {error}")
        else:
            if isinstance(found, Rule):
                rules.append(found)
            else:
                otherwise = found
    if otherwise is None and not any("otherwise" in one for one in problems):
        problems.append(f"{where}:{last or 1}: the last line should be 'otherwise use SKILL'")
    if len(rules) > MOST_RULES:
        problems.append(f"{where}: {len(rules)} rules; at most {MOST_RULES} are allowed")
    if problems or otherwise is None:
        raise UserError("\n".join(problems))
    return Table(tuple(rules), otherwise)


def stage(text: str) -> Stage:
    """A stage of an `after`, such as `kills >= 1 and depth == 1`. Raises UserError."""
    try:
        return _stage(text)
    except _MistakeError as error:
        raise UserError(f"stage: {text[:120]!r}: {error}") from None


class _MistakeError(ValueError):
    """What is wrong with a line."""


def _line(said: str, skills: Sequence[str]) -> Rule | str:
    """A rule, or the skill of the last line."""
    found = re.fullmatch(r"(?:when (.+)|(otherwise)) use (\S+)", said)
    if not found:
        raise _MistakeError("should be 'when CONDITION use SKILL' or 'otherwise use SKILL'")
    condition, _, skill = found.groups()
    if skill not in skills:
        raise _MistakeError(f"there is no skill '{skill}'{did_you_mean(skill, skills)}")
    return skill if condition is None else Rule(_guards(condition), skill)


def _guards(text: str) -> tuple[Guard, ...]:
    return tuple(_guard(part) for part in _split(text, " and "))


def _guard(text: str) -> Guard:
    found = re.fullmatch(r"(not )?after\s*\((.*)\)", text)
    if not found:
        return _plain(text)
    stages = _split(found[2], ",")
    if len(stages) > MOST_STAGES:
        raise _MistakeError(f"'{text}' has {len(stages)} stages; at most {MOST_STAGES} are allowed")
    return After(tuple(map(_stage, stages)), not found[1])


def _stage(text: str) -> Stage:
    return tuple(map(_plain, _split(text, " and ")))


def _plain(text: str) -> Plain:
    if compared := re.fullmatch(r"(\w+)\s*(==|!=|>=|<=|>|<)\s*(-?\d+)", text):
        name, op, value = compared.groups()
        if _fact(name).type is bool:
            raise _MistakeError(f"'{name}' is true or false; write '{name}' or 'not {name}'")
        if abs(int(value)) > _LARGEST:
            raise _MistakeError(f"{value} is greater than {_LARGEST:,}")
        return Comparison(name, op, int(value))
    if flag := re.fullmatch(r"(not )?(\w+)", text):
        if _fact(flag[2]).type is not bool:
            raise _MistakeError(f"'{flag[2]}' is a number; compare it, as in '{flag[2]} >= 2'")
        return Flag(flag[2], not flag[1])
    raise _MistakeError(
        f"cannot read '{text}'; a guard is 'FLAG', 'not FLAG', 'NUMBER >= 2' or 'after(GUARD, ...)'"
    )


def _fact(name: str) -> Fact:
    if name not in FACTS:
        raise _MistakeError(f"there is no fact '{name}'{did_you_mean(name, FACTS)}")
    return FACTS[name]


def _split(text: str, by: str) -> list[str]:
    """The parts of a text between `by` outside brackets."""
    parts, depth, begin, at = [], 0, 0, 0
    while at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0 and text.startswith(by, at):
            parts.append(text[begin:at].strip())
            at += len(by)
            begin = at
        else:
            at += 1
    return [*parts, text[begin:].strip()]


# ----------------------------------------------------------------------------------------------- for models


def facts_in_words() -> str:
    """The facts with their documentation, a line each."""
    kinds = {int: "number", bool: "flag"}
    return "\n".join(f"{name} ({kinds[fact.type]}): {fact.doc}" for name, fact in FACTS.items())


def grammar(skills: Sequence[str], stages: Stages = ()) -> str:
    """Tables over these skills in GBNF, which llama.cpp and vLLM read.

    They are shorter and simpler than those that `parse` reads: with more room a small model repeats itself,
    and what `not after(A)` guards can stand below a rule with `after(A)`. A table for a task whose `stages`
    come one after the other begins with a rule for what comes after all of them, and so on, so that the model
    decides which skill is right then.
    """
    staged = "".join(f'"when {After(stages[:count])}" more ' for count in range(len(stages), 0, -1))
    flags = [name for name, fact in FACTS.items() if fact.type is bool]
    numbers = [name for name, fact in FACTS.items() if fact.type is int]
    return "\n".join(
        [
            f'root ::= {staged}rule{{1,{MOST_WRITTEN - len(stages)}}} "otherwise use " skill "\\n"',
            'rule ::= "when " guard more',
            'more ::= (" and " plain){0,2} " use " skill "\\n"',
            'guard ::= plain | "after(" stage (", " stage)? ")"',
            'stage ::= plain (" and " plain)?',
            'plain ::= "not "? flag | number " " op " " value',
            f"flag ::= {_choice(flags)}",
            f"number ::= {_choice(numbers)}",
            f"op ::= {_choice(OPS)}",
            'value ::= "0" | [1-9] [0-9]{0,3}',
            f"skill ::= {_choice(skills)}",
            "",
        ]
    )


def _choice(words: Sequence[str]) -> str:
    return " | ".join(f'"{word}"' for word in words)


# ---------------------------------------------------------------------------------------------- the program

_PROGRAM = """\
RULES: list[Skill] = [{skills}]
REASONS: list[str] = [{reasons}]


class Program:
{words}
    #
    # It was made of this table. The first rule that holds names the skill:
{table}

    def __init__(self) -> None:
        self.running: int = -1  # number of the rule whose skill runs
        self.resting: str = ""  # a skill that failed: it ended on its level and is still asked for
        self.rested: int = 0  # step at which it may act again
        self.quiet: int = 0  # step from which on no skill rests and none is refused
        self.refused: list[int] = [0] * len(RULES)  # until this step a rule's skill cannot start
        self.reason: str = ""  # the condition of the rule, for replays
{memory}
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        number = self.choose(state)
        failed = state.skill == RULES[number] and state.depth == state.skill_start_depth
        if failed:  # should_end has not interrupted it: it would have named another skill
            self.resting, self.rested = state.skill, state.step + {rest}
            self.quiet = max(self.quiet, self.rested)
            number = self.choose(state)
        for _ in RULES:
            if RULES[number] in available:
                break
            self.refused[number] = state.step + {retry}
            self.quiet = max(self.quiet, self.refused[number])
            number = self.choose(state)
        self.running = number
        if RULES[number] not in available:
            self.reason = "no skill of the table can start"
            return available[0]
        self.reason = REASONS[number]
        return RULES[number]

    def should_end(self, state: GameState) -> bool:
        number = self.choose(state)
        return number != self.running and RULES[number] != state.skill

    def choose(self, state: GameState) -> int:
{note}        # The first rule that holds, but for those whose skill rests or cannot start.
{choices}        return {last}

    def ready(self, number: int, state: GameState) -> bool:
        if state.step >= self.quiet:
            return True
        rests = RULES[number] == self.resting and state.step < self.rested
        return not rests and state.step >= self.refused[number]
"""
_WIDTH = 106  # of a comment


def program(table: Table, words: str) -> str:
    """Source of a program over skills that follows the table. words: what it does, for a comment.

    It asks for the skill of the first rule that holds and may start. It interrupts a skill when the table
    names another one. A skill that has ended without a change of level, although the table asks for it
    again, rests for `REST` steps, in which the next rule that holds may act.
    """
    memories = list(
        dict.fromkeys(one.stages for rule in table.rules for one in rule.guards if isinstance(one, After))
    )
    choices = [
        f"        if {_code(rule, memories)} and self.ready({number}, state):\n            return {number}\n"
        for number, rule in enumerate(table.rules)
    ]
    note = [line for number, stages in enumerate(memories) for line in _note(number, stages)]
    return _PROGRAM.format(
        skills=", ".join(f'"{rule}"' for rule in (*(one.skill for one in table.rules), table.otherwise)),
        reasons=", ".join(f'"{one}"' for one in (*(rule.condition for rule in table.rules), "otherwise")),
        words=_comment(words),
        table="\n".join(f"    #   {line}" for line in str(table).splitlines()),
        memory=f"        self.came: list[int] = {[0] * len(memories)}  # stages met of each `after`\n"
        if memories
        else "",
        note="        came = self.came\n" + "".join(note) if memories else "",
        choices="".join(choices),
        last=len(table.rules),
        rest=REST,
        retry=RETRY,
    )


def _code(rule: Rule, memories: Sequence[Stages]) -> str:
    """The condition of a rule in Python."""
    parts = []
    for one in rule.guards:
        if isinstance(one, After):
            op = "==" if one.holds else "<"
            parts.append(f"came[{memories.index(one.stages)}] {op} {len(one.stages)}")
        else:
            parts.append(one.code())
    return " and ".join(parts)


def _note(memory: int, stages: Stages) -> Iterator[str]:
    """The lines that follow an `after` through its stages."""
    for number, stage in enumerate(stages):
        holds = " and ".join(one.code() for one in stage)
        yield f"        if came[{memory}] == {number} and {holds}:\n"
        yield f"            came[{memory}] = {number + 1}\n"


def _comment(words: str) -> str:
    lines = textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"    # {line}" for line in lines)
