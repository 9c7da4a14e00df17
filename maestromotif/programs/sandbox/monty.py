"""The sandbox for programs over skills, on pydantic-monty. Only this module depends on pydantic-monty.

Programs are untrusted. A separate interpreter (Monty) runs them in a worker process without files, network,
environment or package imports, and with limits on time, memory and recursion. One call serves all games of a
pool step: the changes in columns of plain numbers go in, and the games where a skill's call begins come out.

The worker runs an endless loop that is suspended at each exchange with the host. (Feeding it a new snippet
each step would be simpler, but Monty keeps every snippet.) A failure is a UserError with the program's file,
line and cause; there is no fallback.
"""

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pydantic_monty as monty
from jaxtyping import Bool, Int

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract
from maestromotif.programs.sandbox import shim
from maestromotif.programs.sandbox.host import CallEnd
from maestromotif.programs.sandbox.shim import Change
from maestromotif.skill import Skill

# A call takes well under a millisecond. The limit stops programs that never return. It counts wall-clock time
# and is generous, so that a busy machine never ends a long training run.
CALL_SECONDS = 10.0
MEMORY_BYTES = 64 << 20
RECURSION = 150


def _limits(call_seconds: float) -> monty.ResourceLimits:
    return {
        "max_turn_duration_secs": call_seconds,
        "max_memory": MEMORY_BYTES,
        "max_recursion_depth": RECURSION,
        "max_suspensions": 2**62,  # one exchange per pool step, for the whole run
    }


class ProgramHost:
    """Runs one program over skills for N games. A context manager; not thread-safe.

    program: source of the class Program; path: its file, for messages; skills: K skills, in index order;
    games: N; seed: of the sandbox's `random`, which is reseeded for every game and step, so that a game's
    choices do not depend on other games; call_seconds: time limit of one call; first_game: number of the
    first of these games in the whole run; balance: probability that a call goes to the skill that has acted
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
            session = self._session
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
            }
            inside = shim.source([*self._fields, "skill"] if self._names_skill else self._fields)
            session.feed_run(inside, inputs=setup, print_callback=_drop, external_lookup={})
            self._advance(session.feed_start("serve()", print_callback=_drop, external_lookup={}))
        except (monty.MontyError, UserError) as error:
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
        # Each source gets its own range of lines, so that a line in a traceback identifies the file.
        self._first_line = []
        self._shifted = []
        lines = 0
        for source in self._sources:
            self._first_line.append(lines)
            self._shifted.append("\n" * lines + source)
            lines += source.count("\n") + 1
        used = contract.used_fields(self._sources)
        self._fields = [name for name in used if name != "skill"]  # its name follows from `running`
        self._names_skill = "skill" in used
        self.games, self._seed, self._call_seconds, self._balance = games, seed, call_seconds, balance
        self._acted = np.zeros(len(self._names), np.int64)  # steps of each skill, if calls are balanced
        self._sent: np.ndarray | None = (
            None  # the worker's copy: a row for the running skills, then one per field
        )
        self._pool: monty.Monty | None = monty.Monty(max_processes=1, turn_duration_limit_grace=5.0)
        self._pool.__enter__()
        self._session = self._pool.checkout(
            limits=_limits(call_seconds),
            os_policy={"sleep": "zero", "random_start": {"seed": seed}, "process_time": "zero"},
        )
        self._session.__enter__()
        self._waiting: monty.FunctionSnapshot | None = None

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
            if len(answer) != 3:
                raise self._fault(*answer)
        except (monty.MontyError, UserError) as error:
            failure = self._failure(error) if isinstance(error, monty.MontyError) else error
            self.close()
            raise failure from None
        games, skills, interrupted = answer
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
        return json.dumps(head).encode() + b"\n" + self._waiting.dump()

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
            host._advance(host._session.load_snapshot(worker, print_callback=_drop, external_lookup={}))
        except BaseException:
            host.close()
            raise
        return host

    def close(self) -> None:
        """Stops the worker. Safe to call twice."""
        self._waiting = None
        if self._pool is not None:
            self._session.__exit__(None, None, None)
            self._pool.__exit__(None, None, None)
            self._pool = None

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
        now = np.stack([acting, *(state[name] for name in self._fields)]).astype(np.int32)
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
        """Runs until the worker asks for the next columns; refuses every other request."""
        while not (isinstance(snapshot, monty.FunctionSnapshot) and snapshot.function_name == "_exchange"):
            if isinstance(snapshot, monty.MontyComplete):
                raise UserError(f"{self._paths[0]}: the program left the sandbox's loop")
            snapshot = snapshot.resume_auto()
        self._waiting = snapshot

    def _place(self, line: int) -> str:
        """'file:line' for a line in the worker's numbering."""
        which = max(k for k, first in enumerate(self._first_line) if first < line)
        return f"{self._paths[which]}:{line - self._first_line[which]}"

    def _definition(self, which: int, name: str) -> str:
        """'file:line' of a function's definition; `which` 0 is the program, k + 1 the skill k."""
        for node in ast.walk(ast.parse(self._sources[which])):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return f"{self._paths[which]}:{node.lineno}"
        return self._paths[which]

    def _fault(self, what: str, game: int, skill: int, text: str) -> UserError:
        """The error for a call that returned a wrong value."""
        if what == "nothing":
            return UserError(
                f"{self._paths[0]}: no skill may start at the beginning of an episode (game {game}); "
                f"may_start is False for all of {', '.join(self._names)}; add a skill that may always start"
            )
        place = self._definition(skill + 1, what)
        if what in ("should_end", "may_start"):
            return UserError(f"{place}: {what} returned {text} (game {game}); it must return True or False")
        name = text.strip("'\"")
        if name in self._names:
            return UserError(
                f"{place}: select returned '{name}' (game {game}), which may not start now; it must "
                "return one of the skills in 'available'"
            )
        hint = did_you_mean(name, self._names)
        return UserError(f"{place}: select returned {text} (game {game}), which is not a skill{hint}")

    def _failure(self, error: monty.MontyError) -> UserError:
        """The error for an exception that a program raised, or that a limit raised in it."""
        if isinstance(error, monty.MontyCrashedError):
            return UserError(f"{self._paths[0]}: the sandbox's process ended while the program ran: {error}")
        frames = (
            error.traceback() if isinstance(error, monty.MontyRuntimeError | monty.MontySyntaxError) else []
        )
        # exec loads the programs, and names their frames <string>; other frames belong to the shim.
        lines = [frame.line for frame in frames if frame.filename == "<string>"]
        what = f"{type(error.exception()).__name__}: {error.exception()}"
        syntax = re.search(r"\(<string>, line (\d+)\)", what)
        if syntax:
            return UserError(f"{self._place(int(syntax[1]))}: {what[: syntax.start()].strip()}")
        if isinstance(error.exception(), TimeoutError):
            what = f"it took more than {self._call_seconds:g} s for one call and was stopped"
        elif isinstance(error.exception(), MemoryError):
            what = f"it took more than {MEMORY_BYTES >> 20} MB of memory and was stopped"
        if lines:
            return UserError(f"{self._place(lines[-1])}: {what}")
        return UserError(f"{self._culprit()}: {what}")

    def _culprit(self) -> str:
        """The file whose function was running when a limit without a traceback was hit."""
        try:
            _, skill = self._session.feed_run("at")
        except (monty.MontyError, RuntimeError):
            return " or ".join(dict.fromkeys(self._paths))
        return self._paths[int(skill) + 1]


def type_check(source: str, stubs: str) -> list[dict[str, Any]]:
    """The type checker's errors (ty's JSON records: code, message, location {row, column}) in `source`."""
    with (
        monty.Monty(max_processes=1, request_timeout=6 * CALL_SECONDS) as pool,
        pool.checkout(
            limits=_limits(CALL_SECONDS),
            type_check=True,
            type_check_stubs=stubs,
            type_check_format="json",
        ) as session,
    ):
        try:
            session.feed_run(source, print_callback=_drop, external_lookup={})
        except monty.MontyTypingError as error:
            return [record for record in json.loads(error.display()) if record["severity"] == "error"]
        except monty.MontyError:
            return []  # the types are right; ProgramHost reports errors at run time
    return []


def _drop(stream: str, text: str) -> None:
    """Discards printed output, which could flood the log of a long run."""
