"""The code around the programs, inside the sandbox. It is never imported; `shim.source` reads its text.

It is written in Monty's Python, which has no iterators, no inheritance and no `collections.abc`. The host
provides the names below TYPE_CHECKING. `exec` loads each program into its own namespace, so programs see none
of the names here.

`serve()` never returns. Each turn it passes its answer to the host function `_exchange` and gets what has
changed since the last turn. Speed matters here: one turn serves all games of a pool step.
"""

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestromotif.programs.sandbox.shim import Answer, Change, Given, _exchange

    GameState: Any  # the class, with only the fields that the programs name
    names: list[str]  # of the K skills
    sources: list[str]  # the program over skills, then one source per skill, each shifted to its own lines
    games: int  # N
    first_game: int  # number of the first of these games in the whole run
    seed: int
    balance: float  # probability of calling the least used skill instead of asking the program
    columns: int  # number of fields of GameState
    names_skill: bool  # the last field is `skill`, which follows from `running`
    draws: bool  # a source or `balance` needs `random`
    draws_every_step: bool  # ... on every step, not only to select a skill
    explains: bool  # the program over skills has a `reason`
    most_reason: int  # characters of it


# What is executing. -4 - k: source k is being loaded; -3: Program's __init__; -2: its select;
# -1: its should_end; k: should_end of skill k; K + k: its may_start. The host reads it after a limit is hit.
at = -4


def load(which: int, source: str) -> dict[str, Any]:
    """The names that a program defines."""
    global at
    # Text that a program runs would blame lines of other files.
    space: dict[str, Any] = {"GameState": GameState, "Skill": str, "exec": None, "eval": None}
    at = -4 - which
    exec(source, space)
    GameState(*[0] * columns)  # fails here if this source has changed the class that all of them share
    return space


spaces = [load(which, source) for which, source in enumerate(sources)]
sources = []  # which a snapshot need not hold
Program = spaces[0]["Program"]
may_start = [space["may_start"] for space in spaces[1:]]
should_end = [space["should_end"] for space in spaces[1:]]
interrupts = hasattr(Program, "should_end")
index = {name: k for k, name in enumerate(names)}

number = len(names)  # K
every_game = list(range(games))
players: list[Any] = [None] * games  # each game's Program, for the current episode
running = [-1] * games  # skill indexes
table: list[list[Any]] = [[None] * games for _ in range(columns)]  # GameState, one list per field
fresh_games = [False] * games
step = 0
began = [0] * games  # step at which the episode began
episode = [0] * games

BITS_64 = 2**64 - 1


def key(game: int) -> int:
    """The seed of `random` for a game at this step.

    splitmix64 over (seed, game, episode, step): Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators".
    """
    mixed = seed & BITS_64
    for part in (first_game + game, episode[game], step - began[game]):
        mixed = (mixed + part + 0x9E3779B97F4A7C15) & BITS_64
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & BITS_64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & BITS_64
        mixed ^= mixed >> 31
    return mixed >> 2


def write(column: list[Any], change: "Change") -> None:
    where, values = change
    if where is None:
        column[:] = values
    else:
        for i, game in enumerate(where):
            column[game] = values[i]


def take_in(fresh: list[int], runs: "Change", values: "list[Change]") -> None:
    """Updates `running`, `table` and the episodes."""
    global step
    step += 1
    write(running, runs)
    for column, change in enumerate(values):
        write(table[column], change)
    if names_skill:
        skill = table[-1]
        for game in every_game if runs[0] is None else runs[0]:
            k = running[game]
            skill[game] = names[k] if k >= 0 else ""
    for game in fresh:
        fresh_games[game] = True
        began[game] = step
        episode[game] += 1


def act(rarest: list[int]) -> "Answer":
    """Runs the programs of all games. Returns the calls that begin, or the first fault."""
    global at
    called, skills, interrupted, told = [], [], [], []
    # `map` takes two thirds of the time of a call with `*row` for each game.
    states = list(map(GameState, *table)) if table else [GameState() for _ in every_game]
    for game in every_game:
        state = states[game]
        k = running[game]
        by_program = False
        if draws_every_step:
            random.seed(key(game))
        if k >= 0:
            at = k
            end = should_end[k](state)
            if end is False and interrupts:
                at = -1
                end = players[game].should_end(state)
                by_program = True
            if end is False:
                continue
            if end is not True:
                return ("should_end", game, at, repr(end)[:80])
        if draws:
            random.seed(key(game))
        if fresh_games[game]:
            at = -3
            players[game] = Program()
        row = [column[game] for column in table]
        state = GameState(*row)  # again, in case should_end has found a way to change it
        available = []
        for j in range(number):
            at = number + j
            may = may_start[j](state)
            if may is True:
                available.append(names[j])
            elif may is not False:
                return ("may_start", game, j, repr(may)[:80])
        at = -2
        state = GameState(*row)
        if explains:
            players[game].reason = ""
        if available and balance and random.random() < balance:
            k = [j for j in rarest if names[j] in available][0]  # noqa: RUF015
        elif available:
            chosen = players[game].select(state, available[:])
            if not isinstance(chosen, str) or chosen not in available:
                return ("select", game, -1, repr(chosen)[:80])
            k = index[chosen]
        elif k < 0:
            return ("nothing", game, -1, "")
        else:
            continue
        called.append(game)
        skills.append(k)
        if by_program:
            interrupted.append(game)
        if explains:
            reason = players[game].reason
            if not isinstance(reason, str):
                return ("reason", game, -1, repr(reason)[:80])
            told.append(reason[:most_reason])
    return (called, skills, interrupted, told)


def serve() -> None:
    answer: Answer | None = None
    while True:
        given: Given = _exchange(answer)
        fresh, rarest, runs, values = given
        take_in(fresh, runs, values)
        answer = act(rarest)
        for game in fresh:
            fresh_games[game] = False
