"""Checks of a program before it runs: structure, types and behaviour. Messages are in the user's terms.

`problems` and `skill_problems` only read the source. `behaviour` and `skill_behaviour` run it in the sandbox
on simulated games. `program` and `skill_program` raise what the first two find. `file_problems` does all of
it for a file. Each has one limit of time for all that it does, and returns within twice that limit.
"""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract, language, structure, syntax
from maestromotif.programs.deadline import Deadline
from maestromotif.programs.problems import Problem, ProgramError
from maestromotif.programs.sandbox import UNSUPPORTED, ProgramHost, TypeCheckError, type_check
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import DEFAULT_MAX_TURNS, Skill

# Seconds for the check of one program. It takes about one second, but far longer where other work keeps the
# processors busy: the sandbox is asked 280 times, and each answer waits for its turn.
LIMIT = 60.0
MOST = 20  # problems that are told at once
GAMES, STEPS = 32, 120  # of the behaviour tests: 3,840 states, played twice
KEPT = 100_000  # bytes that may be kept of the test's episodes; the programs of the repository keep 200
EACH_STEP = 100  # bytes by which a game's memory may grow at each step
# Seconds of processor time by which a game's step may become longer at each step. To go through a list of all
# steps takes a twentieth of it; what the programs of the repository seem to grow by, a fiftieth, is noise.
SLOWER = 2e-6
LONG, MANY = 10_000, 100  # steps and games, to say what that comes to
RARE = 0.01  # probability at each step that a game jumps to a late or odd part of an episode

# How the host uses a program. This code is appended to the source, so that the type checker checks the fit.
_USES = {
    "Program": "def _make() -> Program:\n    return Program()\n",
    "select": "def _select(program: Program, state: GameState, available: list[Skill]) -> Skill:\n"
    "    return program.select(state, available)\n",
    "Program.should_end": "def _interrupt(program: Program, state: GameState) -> bool:\n"
    "    return program.should_end(state)\n",
    "Program.reason": "def _reason(program: Program) -> str:\n    return program.reason\n",
    "may_start": "def _may_start(state: GameState) -> bool:\n    return may_start(state)\n",
    "should_end": "def _should_end(state: GameState) -> bool:\n    return should_end(state)\n",
}
_SELECT = "select(self, state: GameState, available: list[Skill]) -> Skill"
_SKILL_FUNCTIONS = ("may_start", "should_end")

# Under which a skill's program is tried: it is chosen at half of the times when it may start.
_TRIAL = """\
import random

class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return random.choice(available)
"""


def program(source: str, path: str, skills: Sequence[Skill], limit: float = LIMIT) -> None:
    """Checks a program over these skills. Raises ProgramError that lists every problem as file:line:column.

    limit: seconds.
    """
    _raise(problems(source, path, skills, limit))


def skill_program(source: str, path: str, limit: float = LIMIT) -> None:
    """Checks `may_start` and `should_end` of a skill. Raises ProgramError like `program`."""
    _raise(skill_problems(source, path, limit))


def problems(source: str, path: str, skills: Sequence[Skill], limit: float = LIMIT) -> list[Problem]:
    """What is wrong with the source of a program over these skills; empty if it may be run."""
    deadline = Deadline(limit)
    return _problems(structure.read(source, path), source, path, skills, deadline)


def _problems(
    read: structure.Read, source: str, path: str, skills: Sequence[Skill], deadline: Deadline
) -> list[Problem]:
    if read.tree is None:
        return read.problems
    lines, found = _program_lines(read.tree, path)
    reason = contract.reason_line(source)
    if lines and reason is not None:
        lines["Program.reason"] = reason
    return _first(read.problems + found) or _types(source, path, lines, skills, deadline)


def skill_problems(source: str, path: str, limit: float = LIMIT) -> list[Problem]:
    """What is wrong with the source of a skill's program; empty if it may be run."""
    deadline = Deadline(limit)
    return _skill_problems(structure.read(source, path), source, path, deadline)


def _skill_problems(read: structure.Read, source: str, path: str, deadline: Deadline) -> list[Problem]:
    if read.tree is None:
        return read.problems
    found, lines = list(read.problems), {}
    for name in _SKILL_FUNCTIONS:
        there = structure.functions(read.tree.body, name)
        if len(there) > 1:
            found.append(Problem(path, there[1].lineno, None, "structure", f"a second function '{name}'"))
        elif there:
            lines[name] = there[0].lineno
        else:
            text = f"no function '{name}(state: GameState) -> bool'"
            found.append(Problem(path, 1, None, "structure", text))
    return _first(found) or _types(source, path, lines, [], deadline)


def behaviour(
    source: str, path: str, skills: Sequence[Skill], seed: int, limit: float = LIMIT
) -> dict[str, Any]:
    """Runs the program and the skills' programs on simulated games; returns counts (no times) as plain JSON.

    Raises ProgramError. The host rejects exceptions, time-outs, unknown skills and skills that may not start.
    This check also rejects programs whose choices depend on other games or on earlier episodes. limit:
    seconds for all games.
    """
    return _behaviour(source, path, skills, seed, Deadline(limit))


def _behaviour(
    source: str, path: str, skills: Sequence[Skill], seed: int, deadline: Deadline
) -> dict[str, Any]:
    calls = _play(source, path, skills, seed, 0, deadline)
    again = _play(source, path, skills, seed, 1, deadline)
    if not np.array_equal(calls, again):
        step, game = np.argwhere(calls != again)[0]
        text = (
            f"what it does in game {game} at step {step} depends on other games or on earlier "
            "episodes; keep all memory in 'self' and set it up in __init__, not in the class or the module "
            "(a skill's program has no memory)"
        )
        raise ProgramError([Problem(path, None, None, "memory", text)])
    began = Counter(calls[calls >= 0].tolist())
    return {
        "states": int(calls.size),
        "calls": {skill.name: began[k] for k, skill in enumerate(skills)},
    }


def skill_behaviour(source: str, path: str, seed: int, limit: float = LIMIT) -> None:
    """Runs a skill's program on simulated games, beside a skill that may always start.

    Raises ProgramError like `behaviour`.
    """
    _skill_behaviour(source, path, seed, Deadline(limit))


def _skill_behaviour(source: str, path: str, seed: int, deadline: Deadline) -> None:
    def skill(name: str, file: str, text: str | None) -> Skill:
        return Skill(name, "", "", "", DEFAULT_MAX_TURNS, Path(file), "", text)

    skills = [skill("tried", path, source), skill("other", "other.md", None)]
    _behaviour(_TRIAL, path, skills, seed, deadline)


def file_problems(
    source: str, path: str, skills: Sequence[Skill], seed: int, limit: float = LIMIT
) -> tuple[str, list[Problem]]:
    """What a file is, in words, and what is wrong with it, in its text and on simulated games.

    A file with a function may_start or should_end and without a class Program is a skill's program.
    """
    deadline = Deadline(limit)
    read = structure.read(source, path)
    of_skill = (
        read.tree is not None
        and not structure.classes(read.tree, "Program")
        and any(structure.functions(read.tree.body, name) for name in _SKILL_FUNCTIONS)
    )
    if of_skill:
        found = _skill_problems(read, source, path, deadline)
    else:
        found = _problems(read, source, path, skills, deadline)
    if not found:
        try:
            if of_skill:
                _skill_behaviour(source, path, seed, deadline)
            else:
                _behaviour(source, path, skills, seed, deadline)
        except ProgramError as error:
            found = list(error.problems)
    return ("a skill's program" if of_skill else "a program over skills"), found


def _raise(found: Sequence[Problem]) -> None:
    if found:
        raise ProgramError(found)


def _first(found: Sequence[Problem]) -> list[Problem]:
    """The first problems of a file, by line."""
    return sorted(found, key=lambda one: (one.line or 0, one.column or 0))[:MOST]


def _program_lines(tree: ast.Module, path: str) -> tuple[dict[str, int], list[Problem]]:
    """Keys of _USES -> the line that defines each; and what a program over skills lacks, or has twice."""
    found = structure.classes(tree, "Program")
    if not found:
        names = ", ".join(node.name for node in tree.body if isinstance(node, ast.ClassDef)) or "none"
        text = f"no class 'Program'; the file defines these classes: {names}"
        return {}, [Problem(path, 1, None, "structure", text)]
    if len(found) > 1:
        text = f"a second class 'Program'; the first is on line {found[0].lineno}"
        return {}, [Problem(path, found[1].lineno, None, "structure", text)]
    one = found[0]
    select = structure.functions(one.body, "select")
    interrupt = structure.functions(one.body, "should_end")
    if not select:
        return {}, [Problem(path, one.lineno, None, "structure", f"class Program has no method '{_SELECT}'")]
    lines = {"Program": one.lineno, "select": select[-1].lineno}
    if interrupt:
        lines["Program.should_end"] = interrupt[-1].lineno
    twice = [
        Problem(path, methods[1].lineno, None, "structure", f"a second method '{methods[1].name}'")
        for methods in (select, interrupt, structure.functions(one.body, "__init__"))
        if len(methods) > 1
    ]
    return lines, twice


def _play(
    source: str, path: str, skills: Sequence[Skill], seed: int, neighbours: int, deadline: Deadline
) -> np.ndarray:
    """int32 [STEPS, GAMES / 2], for the even games: the skill index where a call begins, else -1.

    The even games get the same states for every `neighbours`. The odd games do not, and the short episode
    that all games play first differs too. Raises ProgramError also for memory and for time that grow.
    """
    watched = slice(0, GAMES, 2)
    near = contract.compared_numbers([source, *(skill.program for skill in skills if skill.program)])
    dice, others, past = (
        Dice(GAMES, one, RARE, near) for one in (seed, seed + 1 + neighbours, seed + 3 + neighbours)
    )
    running = np.full(GAMES, -1, np.int32)
    began = np.full((STEPS, GAMES), -1, np.int32)

    def check_time(host: ProgramHost | None = None) -> None:
        if not deadline.left:
            text = f"it took more than {deadline.seconds:g} s for {GAMES} simulated games of {STEPS} steps"
            own = host.cpu_seconds() if host is not None else None
            if own is not None and own < deadline.seconds / 4:
                text += (
                    f", {own:.1f} s of them its own work; while the machine is busy, give it a longer limit"
                )
            raise ProgramError([Problem(path, None, None, "limit", text)])

    # A call that begins just before the deadline has half of the limit, and is killed soon after that.
    check_time()
    with ProgramHost(source, skills, GAMES, seed, path, deadline.seconds / 2) as host:

        def step(*given: Any) -> tuple[np.ndarray, np.ndarray]:
            check_time(host)
            running, switched, _ = host.step(*given)
            return running, switched

        for _ in range(20):  # an earlier episode, which must not affect the next
            past.fresh[:] = running < 0
            running, switched = step(past.state, running, past.fresh)
            past.advance(running, switched)
        dice.fresh[:] = others.fresh[:] = True
        spent = [host.cpu_seconds()]
        for number in range(STEPS):
            state = {name: column.copy() for name, column in others.state.items()}
            fresh = others.fresh.copy()
            for name, column in dice.state.items():
                state[name][watched] = column[watched]
            fresh[watched] = dice.fresh[watched]
            running, switched = step(state, running, fresh)
            spent.append(host.cpu_seconds())
            began[number, switched] = running[switched]
            dice.advance(running, switched)
            others.advance(running, switched)
            if number == 0:
                first = len(host.dump())
        _check_pace(path, spent)
        last = len(host.dump())
        step(dice.state, running, np.ones(GAMES, bool))
        _check_memory(path, (last - first) / (GAMES * STEPS), len(host.dump()) - first)
    return began[:, watched]


def _check_pace(path: str, spent: Sequence[float | None]) -> None:
    """Raises ProgramError for steps that take longer and longer.

    spent: seconds of processor time before the first step and after each. They do not count the time for
    which a busy machine lets the program wait.
    """
    known = np.diff([one for one in spent if one is not None])
    if len(known) < STEPS:
        return
    few = STEPS // 4
    grown = float(np.median(known[-few:]) - np.median(known[:few])) / (STEPS - few) / GAMES
    if grown > SLOWER:
        text = (
            f"it gets slower at each step of a game: after {LONG:,} steps, {MANY} games would take about "
            f"{grown * LONG * MANY:,.0f} s for a step, and a call has a limit; do no more work for every "
            "step that is over"
        )
        raise ProgramError([Problem(path, None, None, "limit", text)])


def _check_memory(path: str, each_step: float, kept: int) -> None:
    """Raises ProgramError for memory that would end a long run.

    each_step: bytes by which a game's memory grows at each step. kept: bytes left when all episodes are over.
    """
    if kept > KEPT:
        text = (
            f"it keeps {kept:,} bytes of episodes that are over, and more with each; keep all memory in "
            "'self' and set it up in __init__, not in the class, the module or a cache without a limit"
        )
        raise ProgramError([Problem(path, None, None, "memory", text)])
    if each_step > EACH_STEP:
        text = (
            f"its memory grows by {each_step:,.0f} bytes at each step of a game, which fills the sandbox's "
            f"memory in a long episode; up to {EACH_STEP} are allowed, so keep numbers and no states or texts"
        )
        raise ProgramError([Problem(path, None, None, "limit", text)])


def _types(
    source: str, path: str, lines: dict[str, int], skills: Sequence[Skill], deadline: Deadline
) -> list[Problem]:
    """The type checker's problems. lines: the names that the host uses (keys of _USES) -> where each is."""
    text = _without_future(source)
    text = text if text.endswith("\n") else text + "\n"
    row = len(re.findall(r"\r\n|\r|\n", text)) + 1
    used_on: dict[int, str] = {}
    for name in lines:
        text += _USES[name]
        used_on |= {row: name, row + 1: name}
        row += 2
    names = [skill.name for skill in skills]
    try:
        records = type_check(text, contract.stubs(skills), deadline.left)
    except TypeCheckError as error:
        told = f"the type check {error} and was stopped; write it shorter and simpler"
        return [Problem(path, None, None, "limit", told)]
    found = []
    for record in records[:MOST]:
        message = _explain(record["code"], record["message"], names)
        row, column = record["location"]["row"], record["location"]["column"]
        kind = "lacks" if record["code"] in _LACKING else "types"
        if row in used_on:
            name = used_on[row]
            what = "type" if name == "Program.reason" else "signature"
            message = f"{name.rpartition('.')[2]} has the wrong {what}: {message}"
            row, column = lines[name], None
        found.append(Problem(path, row, column, kind, message))
    return found


_LACKING = ("unresolved-import", UNSUPPORTED)
_QUOTED = re.compile(r"'([^']+)'")  # a name in a message; not all letters of names are \w


def _without_future(source: str) -> str:
    """The source with `pass` for imports from `__future__`: the sandbox has it, the type checker does not."""
    found = [
        node
        for node in syntax.parse(source).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level
    ]
    if not found:
        return source
    lines = re.split(rb"\r\n|\r|\n", source.encode())
    for node in found:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset :]
        lines[first] = lines[first][: node.col_offset] + b"pass" + rest
        lines[first + 1 : last + 1] = [b""] * (last - first)
    return b"\n".join(lines).decode()


def _explain(code: str, message: str, skills: Sequence[str]) -> str:
    """The checker's message, in this project's terms where those are clearer."""
    text = message.replace("`", "'")
    read_only = re.search(r"Property '(\w+)' defined in 'GameState' is read-only", text)
    if read_only:
        return f"GameState.{read_only[1]} cannot be set; a program may only read the state"
    if code in ("unresolved-attribute", "invalid-assignment") and "type 'GameState'" in text:
        names = _QUOTED.findall(text.replace("'GameState'", ""))
        if names:
            return f"GameState has no field '{names[-1]}'{did_you_mean(names[-1], FIELDS)}"
    found = text.rpartition("found ")[2]
    strange = [name for name in re.findall(r'"([^"]*)"', found) if name not in skills]
    if skills and "Literal[" in found and strange:
        return f"'{strange[0]}' is not a skill of this run{did_you_mean(strange[0], skills)}"
    if code == "unresolved-import" and (names := _QUOTED.findall(text)):
        if "has no member" in text and len(names) == 2:
            return f"no '{names[1]}' in the sandbox's '{names[0]}'"
        return language.no_module(names[0])
    if code == "unresolved-reference" and (names := _QUOTED.findall(text)):
        lacking = language.lacking(f"`{names[0]}`")
        return lacking if hasattr(builtins, names[0]) else f"{text[0].upper()}{text[1:]}"
    return text
