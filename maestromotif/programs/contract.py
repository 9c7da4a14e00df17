"""What a program over skills is: the text that the type checker and the sandbox build it from.

A file in `policies/` defines one class. One object of it is made for every episode:

    class Program:
        def __init__(self) -> None: ...
        def select(self, state: GameState, available: list[Skill]) -> Skill: ...
        def should_end(self, state: GameState) -> bool: ...        # optional

`select` is asked when an episode begins and whenever the running skill ends; it returns one of
`available`, the names of the skills that may start now, in the order of the config and never empty.
`should_end` may end the running skill early; it is asked on every environment step.

A file `skills/<name>.py` defines two functions without memory:

    def may_start(state: GameState) -> bool: ...
    def should_end(state: GameState) -> bool: ...

`GameState` and `Skill` are there without an import. The language is a Python without class inheritance,
decorators on methods, generators, `del`, files, network and third-party packages; `random`, `math`, `re`,
`json`, `collections`, `functools`, `itertools`, `dataclasses` and `typing` can be imported. `random` is
seeded from the run's seed, the game, the episode and the step. What is printed is dropped.
"""

import ast
import re
from collections.abc import Sequence

from maestromotif.nethack.state import FIELDS
from maestromotif.skill import Skill

MODULES = ("collections", "dataclasses", "functools", "itertools", "json", "math", "random", "re", "typing")


def stubs(skills: Sequence[Skill]) -> str:
    """Declarations of GameState and Skill for the type checker; Skill is a Literal of these names."""
    fields = "\n".join(f"    {name}: {field.type.__name__}" for name, field in FIELDS.items())
    names = ", ".join(repr(skill.name) for skill in skills)
    skill_type = f"Literal[{names}]" if skills else "str"
    return (
        "from dataclasses import dataclass\nfrom typing import Literal\n\n"
        f"Skill = {skill_type}\n\n@dataclass(frozen=True)\nclass GameState:\n{fields}\n"
    )


def default_program(skill: Skill) -> str:
    """For a skill that is only a text: may always start; ends when the depth changes or its turns are up."""
    return (
        "def may_start(state: GameState) -> bool:\n"
        "    return True\n\n\n"
        "def should_end(state: GameState) -> bool:\n"
        f"    return state.depth != state.skill_start_depth or state.skill_turns >= {skill.max_turns}\n"
    )


def used_fields(sources: Sequence[str]) -> list[str]:
    """The fields of GameState whose names occur as words in the sources; only these are sent to the sandbox.

    A column of 64 values costs 15 us a call. A field that a program reaches by a name put
    together at run time is not found here: the program then fails with an AttributeError at that line.
    """
    words = {word for source in sources for word in re.findall(r"\w+", source)}
    return [name for name in FIELDS if name in words]


def draws_every_step(program: str, skill_programs: Sequence[str]) -> bool:
    """Whether `random` is used by code that runs on every step: all but Program's __init__ and select.

    Seeding it costs 4 us a game, as much as all the rest; where chance is only drawn to select a skill, it is
    seeded only then. Uses are found by name.
    """
    try:
        trees = [ast.parse(program), *map(ast.parse, skill_programs)]
    except (SyntaxError, ValueError, RecursionError):
        return True
    rarely = {
        id(node)
        for body in trees[0].body
        if isinstance(body, ast.ClassDef) and body.name == "Program"
        for method in body.body
        if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "select")
        for node in ast.walk(method)
    }
    for tree in trees:
        names = {"random"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                from_random = isinstance(node, ast.ImportFrom) and node.module == "random"
                names |= {a.asname or a.name for a in node.names if from_random or a.name == "random"}
        for node in ast.walk(tree):
            if id(node) in rarely:
                continue
            if (isinstance(node, ast.Name) and node.id in names) or (
                isinstance(node, ast.Attribute) and node.attr in names
            ):
                return True
    return False


def shim(fields: Sequence[str], names_skill: bool, names: Sequence[str]) -> str:
    """The code around the programs inside the sandbox.

    fields: of GameState, without `skill`, which is there too if `names_skill`; names: of the skills.

    It expects `_sources` (one program over skills, then one source a skill, each already shifted to its own
    lines), `_games`, `_balance`, `_seed`, `_first_game`, `_draws` (whether a source or `_balance` needs
    `random`) and `_draws_every_step`. `_serve()` never returns: each turn it hands its answer to the host
    function `_exchange` and gets from it what has changed since the turn before.

    In: `fresh` (games whose episode begins), `rarest` (skill indexes, the one that acted least first; empty
    without `_balance`), then `running` and `values`, one a field: each (games, what stands there now), where
    None stands for all games. Out: (games where a call begins, skill indexes), or (what, game, skill index,
    text) on a fault.
    """
    known = [*fields, "skill"] if names_skill else fields
    annotated = "\n".join(f"    {name}: {FIELDS[name].type.__name__}" for name in known) or "    pass"
    return f"""
import random as _random
from dataclasses import dataclass as _dataclass

@_dataclass(frozen=True)
class GameState:
{annotated}

def _load(source):
    space = {{"GameState": GameState, "Skill": str}}
    exec(source, space)
    return space

_names = {list(names)!r}
_index = {{name: k for k, name in enumerate(_names)}}
_spaces = [_load(source) for source in _sources]
_program = _spaces[0]["Program"]
_may_start = [space["may_start"] for space in _spaces[1:]]
_should_end = [space["should_end"] for space in _spaces[1:]]
_interrupts = hasattr(_program, "should_end")
_players = [None] * _games
_at = [-1, -1]

_every_game = list(range(_games))
_running = [-1] * _games
_table = [[None] * _games for _ in range({len(known)})]
_fresh = [False] * _games
_steps = [0]
_began = [0] * _games
_episode = [0] * _games
_64_bits = 2**64 - 1

def _key(game):
    # splitmix64 over (seed, game, episode, step): Steele, Lea & Flood 2014, "Fast splittable pseudorandom
    # number generators"
    key = _seed & _64_bits
    for part in (_first_game + game, _episode[game], _steps[0] - _began[game]):
        key = (key + part + 0x9E3779B97F4A7C15) & _64_bits
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _64_bits
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _64_bits
        key ^= key >> 31
    return key >> 2

def _write(column, change):
    games, values = change
    if games is None:
        column[:] = values
    else:
        for i, game in enumerate(games):
            column[game] = values[i]

def _take_in(fresh, running, values):
    _steps[0] += 1
    _write(_running, running)
    for column, change in enumerate(values):
        _write(_table[column], change)
    if {names_skill}:
        names = _table[-1]
        for game in _every_game if running[0] is None else running[0]:
            k = _running[game]
            names[game] = _names[k] if k >= 0 else ""
    for game in fresh:
        _fresh[game] = True
        _began[game] = _steps[0]
        _episode[game] += 1

def _step(rarest):
    began, skills = [], []
    game = 0
    for row in zip(*_table) if _table else [()] * _games:
        state = GameState(*row)
        k = _running[game]
        _at[0] = game
        fresh = _fresh[game]
        if _draws_every_step or (_draws and fresh):
            _random.seed(_key(game))
        if fresh:
            _at[1] = -1
            _players[game] = _program()
            k = -1
        end = k < 0
        if not end:
            _at[1] = k
            end = _should_end[k](state)
            if end is False and _interrupts:
                _at[1] = -1
                end = _players[game].should_end(state)
            if end is not True and end is not False:
                return ("should_end", game, _at[1], repr(end)[:80])
        if end:
            if _draws and not fresh:
                _random.seed(_key(game))
            available = []
            for j in range(len(_names)):
                _at[1] = j
                may = _may_start[j](state)
                if may is True:
                    available.append(_names[j])
                elif may is not False:
                    return ("may_start", game, j, repr(may)[:80])
            _at[1] = -1
            if available and _balance and _random.random() < _balance:
                k = [j for j in rarest if _names[j] in available][0]
            elif available:
                chosen = _players[game].select(state, available[:])
                if not isinstance(chosen, str) or chosen not in available:
                    return ("select", game, -1, repr(chosen)[:80])
                k = _index[chosen]
            elif k < 0:
                return ("nothing", game, -1, "")
            else:
                end = False
        if end:
            began.append(game)
            skills.append(k)
        game += 1
    return (began, skills)

def _serve():
    answer = None
    while True:
        fresh, rarest, running, values = _exchange(answer)
        _take_in(fresh, running, values)
        answer = _step(rarest)
        for game in fresh:
            _fresh[game] = False
"""
