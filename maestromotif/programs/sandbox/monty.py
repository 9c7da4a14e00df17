"""The sandbox for programs over skills, on pydantic-monty.

Programs are untrusted. A separate interpreter (Monty) runs them in a worker process without files, network,
environment or package imports, and with limits on time, memory and recursion. One call serves all games of a
pool step: the changes in columns of plain numbers go in, and the games where a skill's call begins come out.

The worker runs an endless loop that is suspended at each exchange with the host. (Feeding it a new snippet
each step would be simpler, but Monty keeps every snippet.) Monty also suspends a program that asks the host
for something else, such as a file, and would then start the limit of time again. So the first such request
ends the program: one call is one turn, under one limit. A failure is a `problems.ProgramError` with the
program's file, line and cause; there is no fallback.
"""

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from types import TracebackType

import numpy as np
import pydantic_monty as monty
from jaxtyping import Bool, Int

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract, language, syntax
from maestromotif.programs.problems import Problem, ProgramError, printable
from maestromotif.programs.sandbox import shim
from maestromotif.programs.sandbox.host import CallEnd
from maestromotif.programs.sandbox.shim import Change
from maestromotif.programs.sandbox.worker import MEMORY_BYTES, Worker, drop
from maestromotif.skill import Skill

# A call takes well under a millisecond. The limit stops programs that never return. It counts wall-clock time
# and is generous, so that a busy machine never ends a long training run.
CALL_SECONDS = 10.0

# Each source gets places of its own: the lines, and the characters, of what the worker is given.
_FIRST_LINE = 1000
_PROGRAM = "<string>"  # how Monty calls what `exec` runs: the programs
LOADING = -4  # with inside.py: source k is being loaded if LOADING - k is executing


class ProgramHost:
    """Runs one program over skills for N games. A context manager; not thread-safe.

    program: source of the class Program; path: its file, for messages; skills: K skills, in index order;
    games: N; seed: of the sandbox's `random`, which is reseeded for every game and step, so that a game's
    choices do not depend on other games; call_seconds: time limit of one call, of all games together, and of
    loading the programs; a step returns or raises within 1.5 times as long; first_game: number of the first
    of these games in the whole run; balance: probability that a call goes to the skill that has acted
    least in these games, of those that may start, instead of the program's choice.
    """

    def __init__(
        self,
        program: str,
        skills: Sequence[Skill],
        games: int,
        seed: int,
        path: str = "program.py",
        call_seconds: float = CALL_SECONDS,
        first_game: int = 0,
        balance: float = 0.0,
    ) -> None:
        self._set_up(program, skills, games, seed, path, call_seconds, balance)
        try:
            session = self._worker.session
            setup = {
                "names": self._names,
                "sources": self._shifted,
                "games": games,
                "first_game": first_game,
                "seed": seed,
                "balance": balance,
                "columns": len(self._fields) + self._names_skill,
                "names_skill": self._names_skill,
                "draws": balance > 0 or any("random" in source for source in self._sources),
                "draws_every_step": contract.draws_every_step(program, self._sources[1:]),
                "explains": contract.reason_line(program) is not None,
                "most_reason": contract.MOST_REASON,
            }
            inside = shim.source([*self._fields, "skill"] if self._names_skill else self._fields)
            loaded = session.feed_start(inside, inputs=setup, print_callback=drop, external_lookup={})
            if not isinstance(loaded, monty.MontyComplete):
                raise self._asked(loaded)
            self._advance(session.feed_start("serve()", print_callback=drop, external_lookup={}))
        except BaseException as error:
            failure = self._failure(error) if isinstance(error, monty.MontyError) else error
            self.close()
            raise failure from None

    def _set_up(
        self,
        program: str,
        skills: Sequence[Skill],
        games: int,
        seed: int,
        path: str,
        call_seconds: float,
        balance: float,
    ) -> None:
        """Everything but the code in the worker: sources and their lines, a new worker, counters."""
        self._names = [skill.name for skill in skills]
        self._paths = [path]
        self._sources = [program]
        for skill in skills:
            self._paths.append(str(skill.program_path if skill.program is not None else skill.path))
            self._sources.append(
                skill.program if skill.program is not None else contract.default_program(skill)
            )
        self._first_line = []
        self._shifted = []
        place = _FIRST_LINE
        for source in self._sources:
            self._first_line.append(place)
            self._shifted.append("\n" * place + source)
            place += len(source.encode(errors="replace")) + 1  # no less than its lines
        used = contract.used_fields(self._sources)
        self._fields = [name for name in used if name != "skill"]  # its name follows from `running`
        self._names_skill = "skill" in used
        self.games, self._seed, self._call_seconds, self._balance = games, seed, call_seconds, balance
        self._acted = np.zeros(len(self._names), np.int64)  # steps of each skill, if calls are balanced
        self._sent: np.ndarray | None = (
            None  # the worker's copy: a row for the running skills, then one per field
        )
        self._worker = Worker(call_seconds, seed)
        self._waiting: monty.FunctionSnapshot | None = None
        self.told: dict[int, str] = {}

    def step(
        self,
        state: dict[str, np.ndarray],
        running: Int[np.ndarray, " N"],
        fresh: Bool[np.ndarray, " N"],
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """See `Host.step`. Sends only changes to the worker."""
        if self._waiting is None:
            raise UserError(f"{self._paths[0]}: the program has failed before and cannot run again")
        acting = np.where(fresh, -1, running).astype(np.int32)
        rarest: list[int] = []
        if self._balance > 0:
            self._acted += np.bincount(running[running >= 0], minlength=len(self._names))
            rarest = np.argsort(self._acted, kind="stable").tolist()
        running_change, *values = self._changes(acting, state)
        given = (fresh.nonzero()[0].tolist(), rarest, running_change, values)
        try:
            self._advance(self._waiting.resume({"return_value": given}))
            answer = self._waiting.args[0]
            if isinstance(answer[0], str):
                raise self._fault(*answer)
        except BaseException as error:
            failure = self._failure(error) if isinstance(error, monty.MontyError) else error
            self.close()
            raise failure from None
        games, skills, interrupted, *said = answer  # a snapshot of an older version says nothing
        self.told = (
            {game: printable(text) for game, text in zip(games, *said, strict=False) if text}
            if said and said[0]
            else {}
        )
        switched = np.zeros(self.games, bool)
        switched[games] = True
        reason = np.full(self.games, CallEnd.NOT, np.int8)
        reason[switched & (acting >= 0)] = CallEnd.SKILL
        reason[interrupted] = CallEnd.PROGRAM
        reason[fresh] = CallEnd.EPISODE
        acting[games] = skills
        return acting, switched, reason

    def dump(self) -> bytes:
        """See `Host.dump`. The bytes are a line of JSON, then the worker's memory."""
        if self._waiting is None:
            raise UserError(f"{self._paths[0]}: the program has failed before and cannot be saved")
        head = {
            "programs": self._digest(),
            "seed": self._seed,
            "games": self.games,
            "call_seconds": self._call_seconds,
            "balance": self._balance,
            "acted": self._acted.tolist(),
        }
        try:
            memory = self._waiting.dump()
        except monty.MontyError as error:  # too little of the sandbox's memory is left for the copy
            failure = self._failure(error)
            self.close()
            raise failure from None
        return json.dumps(head).encode() + b"\n" + memory

    @classmethod
    def load(
        cls, data: bytes, program: str, skills: Sequence[Skill], path: str = "program.py"
    ) -> "ProgramHost":
        """Restores a host from `dump`. Raises UserError if the programs have changed."""
        head_bytes, _, worker = data.partition(b"\n")
        head = json.loads(head_bytes)
        host = cls.__new__(cls)
        host._set_up(
            program, skills, head["games"], head["seed"], path, head["call_seconds"], head["balance"]
        )
        try:
            if head["programs"] != host._digest():
                raise UserError(
                    f"{path}: the program or a skill's program was changed since the checkpoint was written; "
                    "restore the old text, or run the stage from the beginning"
                )
            host._acted = np.array(head["acted"], np.int64)
            host._advance(host._worker.session.load_snapshot(worker, print_callback=drop, external_lookup={}))
        except BaseException:
            host.close()
            raise
        return host

    def cpu_seconds(self) -> float | None:
        """Processor time that the programs have taken so far; None where the system does not tell."""
        return self._worker.cpu_seconds()

    def close(self) -> None:
        """Stops the worker. Safe to call twice."""
        self._waiting = None
        self._worker.close()

    def __enter__(self) -> "ProgramHost":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps([self._names, self._sources]).encode()).hexdigest()

    def _changes(self, acting: np.ndarray, state: dict[str, np.ndarray]) -> list[Change]:
        """Differences from the worker's copy: of the running skills, then of each field."""
        # `np.stack` takes ten times as long for numbers and flags together.
        now = np.array([acting, *(state[name] for name in self._fields)], np.int32)
        moved = np.ones_like(now, bool) if self._sent is None else now != self._sent
        self._sent = now
        changes: list[Change] = []
        for kind, row, where, count in zip(
            [int, *(FIELDS[name].type for name in self._fields)],
            now,
            moved,
            moved.sum(1).tolist(),
            strict=True,
        ):
            if count:
                whole = 2 * count > self.games
                values = (row if whole else row[where]).astype(kind)
                changes.append((None if whole else where.nonzero()[0].tolist(), values.tolist()))
            else:
                changes.append(([], []))
        return changes

    def _advance(self, snapshot: monty.SyncSnapshot) -> None:
        """Takes the worker's request for the next columns. Raises ProgramError for every other request."""
        if isinstance(snapshot, monty.MontyComplete):
            raise self._refused("exception", self._paths[0], None, "the program left the sandbox's loop")
        if (
            not isinstance(snapshot, monty.FunctionSnapshot)
            or snapshot.function_name != "_exchange"
            or snapshot.position.filename == _PROGRAM
        ):
            raise self._asked(snapshot)
        self._waiting = snapshot

    def _asked(self, snapshot: monty.SyncSnapshot) -> ProgramError:
        """The error for a program that asked the host for something, by which it would go on for ever."""
        if isinstance(snapshot, monty.NameLookupSnapshot):
            kind, text = "exception", f"NameError: name '{snapshot.variable_name}' is not defined"
        elif not isinstance(snapshot, monty.FunctionSnapshot):
            kind, text = "asks", "it waits for something; programs cannot `await`"
        elif snapshot.function_name == "import":
            name = next((str(value) for value in snapshot.args), "")
            kind, text = "lacks", language.no_module(name)
        elif snapshot.is_os_function:
            kind = "asks"
            text = f"asks for {snapshot.function_name}; programs have no files, network, clock or environment"
        else:
            kind, text = "exception", f"NameError: name '{snapshot.function_name}' is not defined"
        file, line = self._paths[0], None
        position = getattr(snapshot, "position", None)
        if position is not None and position.filename == _PROGRAM and position.start >= _FIRST_LINE:
            which = max(k for k, first in enumerate(self._first_line) if first <= position.start)
            before = self._shifted[which].encode(errors="replace")[: position.start]
            file, line = self._paths[which], before.count(b"\n") + 1 - self._first_line[which]
        return self._refused(kind, file, line, text)

    def _refused(self, kind: str, file: str, line: int | None, text: str) -> ProgramError:
        return ProgramError([Problem(file, line, None, kind, text)])

    def _place(self, line: int) -> tuple[str, int]:
        """File and line for a line in the worker's numbering."""
        which = max((k for k, first in enumerate(self._first_line) if first < line), default=0)
        return self._paths[which], max(1, line - self._first_line[which])

    def _definition(self, which: int, name: str) -> tuple[str, int | None]:
        """File and line of a definition; `which` 0 is the program, k + 1 the skill k."""
        for node in ast.walk(syntax.parse(self._sources[which])):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                return self._paths[which], node.lineno
        return self._paths[which], None

    def _fault(self, what: str, game: int, skill: int, text: str) -> ProgramError:
        """The error for a call that returned a wrong value."""
        if what == "nothing":
            return self._refused(
                "answer",
                self._paths[0],
                None,
                f"no skill may start at the beginning of an episode (game {game}); "
                f"may_start is False for all of {', '.join(self._names)}; add a skill that may always start",
            )
        if what == "reason":
            line = contract.reason_line(self._sources[0])
            told = f"reason is {text} (game {game}); it must be a text"
            return self._refused("answer", self._paths[0], line, told)
        file, line = self._definition(skill + 1, what)
        name = text.strip("'\"")
        if what in ("should_end", "may_start"):
            told = f"{what} returned {text} (game {game}); it must return True or False"
        elif name in self._names:
            told = (
                f"select returned '{name}' (game {game}), which may not start now; it must "
                "return one of the skills in 'available'"
            )
        else:
            hint = did_you_mean(name, self._names)
            told = f"select returned {text} (game {game}), which is not a skill{hint}"
        return self._refused("answer", file, line, told)

    def _failure(self, error: monty.MontyError) -> ProgramError:
        """The error for an exception that a program raised, or that a limit raised in it."""
        slow = f"it took more than {self._call_seconds:g} s for one call and was stopped"
        if isinstance(error, monty.MontyCrashedError):
            ended = f"the sandbox's process ended while the program ran: {error}"
            return self._refused("limit", *self._program(), slow if error.timed_out else ended)
        frames = (
            error.traceback() if isinstance(error, monty.MontyRuntimeError | monty.MontySyntaxError) else []
        )
        lines = [frame.line for frame in frames if frame.filename == _PROGRAM and frame.line > _FIRST_LINE]
        cause = error.exception()
        what = f"{type(cause).__name__}: {cause}".removesuffix(": ")
        kind = "limit" if isinstance(cause, RecursionError) else "exception"
        refused = re.search(r"\(<string>, line (\d{1,9})\)", what)
        if (
            refused and isinstance(cause, SyntaxError) and not lines
        ):  # no program raised it: its text is wrong
            return self._refused("lacks", *self._place(int(refused[1])), what[: refused.start()].strip())
        if isinstance(cause, NotImplementedError):
            kind = "lacks"
        if isinstance(cause, TimeoutError) and "turn time limit" in str(cause):
            kind, what = "limit", slow
        elif isinstance(cause, MemoryError) and "memory limit" in str(cause):
            kind, what = "limit", f"it took more than {MEMORY_BYTES >> 20} MB of memory and was stopped"
        return self._refused(kind, *(self._place(lines[-1]) if lines else self._culprit()), what)

    def _program(self) -> tuple[str, int | None]:
        """File and line of the class Program. When the worker is gone, it cannot say what was running."""
        return self._definition(0, "Program")

    def _culprit(self) -> tuple[str, int | None]:
        """File and line of the function that was running when a limit without a traceback was hit."""
        try:
            what = self._worker.session.feed_run("at", print_callback=drop)
        except (monty.MontyError, RuntimeError):
            return self._program()
        if isinstance(what, list):  # of an older version's snapshot, which tells the game, too
            what = what[1]
        count = len(self._names)
        if what <= LOADING:
            return self._paths[LOADING - what], None
        if what < 0:
            name = {-1: "should_end", -2: "select", -3: "__init__"}[what]
            file, line = self._definition(0, name)
            return (file, line) if line is not None else self._program()
        return self._definition(what % count + 1, "should_end" if what < count else "may_start")
