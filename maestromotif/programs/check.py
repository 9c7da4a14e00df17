"""Checks of a program before it runs: structure, types and behaviour. Messages are in the user's terms.

`program` and `skill_program` only read the source; `behaviour` runs it in the sandbox on simulated games.
"""

import ast
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost, type_check
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill

MAX_SOURCE = 100_000  # characters
GAMES, STEPS = 32, 120  # of the behaviour tests: 3,840 states, played twice

# How the host uses a program. This code is appended to the source, so that the type checker checks the fit.
_USES = {
    "Program": "def _make() -> Program:\n    return Program()\n",
    "select": "def _select(program: Program, state: GameState, available: list[Skill]) -> Skill:\n"
    "    return program.select(state, available)\n",
    "Program.should_end": "def _interrupt(program: Program, state: GameState) -> bool:\n"
    "    return program.should_end(state)\n",
    "may_start": "def _may_start(state: GameState) -> bool:\n    return may_start(state)\n",
    "should_end": "def _should_end(state: GameState) -> bool:\n    return should_end(state)\n",
}


def program(source: str, path: str, skills: Sequence[Skill]) -> None:
    """Checks a program over these skills. Raises UserError that lists every problem as file:line:column."""
    tree = _parse(source, path)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = next((node for node in classes if node.name == "Program"), None)
    if found is None:
        names = ", ".join(node.name for node in classes) or "none"
        raise UserError(f"{path}:1: no class 'Program'; the file defines these classes: {names}")
    methods = {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}
    if "select" not in methods:
        raise UserError(
            f"{path}:{found.lineno}: class Program has no method "
            "'select(self, state: GameState, available: list[Skill]) -> Skill'"
        )
    lines = {"Program": found.lineno, "select": methods["select"].lineno}
    if "should_end" in methods:
        lines["Program.should_end"] = methods["should_end"].lineno
    _check_types(source, path, lines, skills)


def skill_program(source: str, path: str) -> None:
    """Checks `may_start` and `should_end` of a skill. Raises UserError like `program`."""
    tree = _parse(source, path)
    functions = {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef)}
    lines = {name: functions.get(name, 0) for name in ("may_start", "should_end")}
    missing = [name for name, line in lines.items() if not line]
    if missing:
        raise UserError(
            "\n".join(f"{path}:1: no function '{name}(state: GameState) -> bool'" for name in missing)
        )
    _check_types(source, path, lines, [])


def behaviour(source: str, path: str, skills: Sequence[Skill], seed: int) -> dict[str, Any]:
    """Runs the program and the skills' programs on simulated games; returns counts (no times) as plain JSON.

    Raises UserError. The host rejects exceptions, time-outs, unknown skills and skills that may not start.
    This check also rejects programs whose choices depend on other games or on earlier episodes.
    """
    calls = _play(source, path, skills, seed, neighbours=0)
    again = _play(source, path, skills, seed, neighbours=1)
    if not np.array_equal(calls, again):
        step, game = np.argwhere(calls != again)[0]
        raise UserError(
            f"{path}: what it does in game {game} at step {step} depends on other games or on earlier "
            "episodes; keep all memory in 'self' and set it up in __init__, not in the class or the module"
        )
    began = Counter(calls[calls >= 0].tolist())
    return {
        "states": int(calls.size),
        "calls": {skill.name: began[k] for k, skill in enumerate(skills)},
    }


def _play(source: str, path: str, skills: Sequence[Skill], seed: int, neighbours: int) -> np.ndarray:
    """int32 [STEPS, GAMES / 2], for the even games: the skill index where a call begins, else -1.

    The even games get the same states for every `neighbours`. The odd games do not, and the short episode
    that all games play first differs too.
    """
    watched = slice(0, GAMES, 2)
    dice, others, past = (
        Dice(GAMES, seed),
        Dice(GAMES, seed + 1 + neighbours),
        Dice(GAMES, seed + 3 + neighbours),
    )
    running = np.full(GAMES, -1, np.int32)
    began = np.full((STEPS, GAMES), -1, np.int32)
    with ProgramHost(source, skills, GAMES, seed, path) as host:
        for _ in range(20):  # an earlier episode, which must not affect the next
            past.fresh[:] = running < 0
            running, switched, *_ = host.step(past.state, running, past.fresh)
            past.advance(running, switched)
        dice.fresh[:] = others.fresh[:] = True
        for step in range(STEPS):
            state = {name: column.copy() for name, column in others.state.items()}
            fresh = others.fresh.copy()
            for name, column in dice.state.items():
                state[name][watched] = column[watched]
            fresh[watched] = dice.fresh[watched]
            running, switched, *_ = host.step(state, running, fresh)
            began[step, switched] = running[switched]
            dice.advance(running, switched)
            others.advance(running, switched)
    return began[:, watched]


def _parse(source: str, path: str) -> ast.Module:
    if len(source) > MAX_SOURCE:
        raise UserError(f"{path}: {len(source)} characters; the limit for a program is {MAX_SOURCE}")
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}:{error.offset}: not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not Python: {error}") from error


def _check_types(source: str, path: str, lines: dict[str, int], skills: Sequence[Skill]) -> None:
    """`lines`: the names that the host uses (keys of _USES) -> the line that defines each."""
    text = source if source.endswith("\n") else source + "\n"
    row = text.count("\n") + 1
    used_on: dict[int, str] = {}
    for name in lines:
        text += _USES[name]
        used_on |= {row: name, row + 1: name}
        row += 2
    names = [skill.name for skill in skills]
    problems = []
    for record in type_check(text, contract.stubs(skills)):
        message = _explain(record["code"], record["message"], names)
        row, column = record["location"]["row"], record["location"]["column"]
        if row not in used_on:
            problems.append(f"{path}:{row}:{column}: {message}")
        else:
            name = used_on[row]
            short = name.rpartition(".")[2]
            problems.append(f"{path}:{lines[name]}: {short} has the wrong signature: {message}")
    if problems:
        raise UserError("\n".join(problems))


def _explain(code: str, message: str, skills: Sequence[str]) -> str:
    """The checker's message, in this project's terms where those are clearer."""
    text = message.replace("`", "'")
    read_only = re.search(r"Property '(\w+)' defined in 'GameState' is read-only", text)
    if read_only:
        return f"GameState.{read_only[1]} cannot be set; a program may only read the state"
    if code in ("unresolved-attribute", "invalid-assignment") and "type 'GameState'" in text:
        name = re.findall(r"'(\w+)'", text.replace("'GameState'", ""))[-1]
        return f"GameState has no field '{name}'{did_you_mean(name, FIELDS)}"
    found = text.rpartition("found ")[2]
    strange = [name for name in re.findall(r'"([^"]*)"', found) if name not in skills]
    if skills and "Literal[" in found and strange:
        return f"'{strange[0]}' is not a skill of this run{did_you_mean(strange[0], skills)}"
    if code == "unresolved-import":
        name = re.findall(r"'([\w.]+)'", text)[0]
        return f"no module '{name}' in the sandbox; available are {', '.join(contract.MODULES)}"
    if code == "unresolved-reference":
        return f"{text[0].upper()}{text[1:]}"
    return text
