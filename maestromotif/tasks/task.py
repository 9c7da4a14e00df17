"""A task is a file `<folder>/<name>.md`: a YAML head with its conditions, and the task in plain words.

    ---
    name: golden_exit
    success: ["total(killed) >= 25", "gold >= 20 and deepest >= 3", left]
    published: ["total(killed) >= 25 and gold >= 20 and deepest >= 3", count(asked_to_leave) >= 1]
    program: policies/golden_exit.py
    ---
    Fight until you have some experience, collect gold, then leave the dungeon.

All keys but `name` are optional; a task without conditions has no end:

    success     conditions that must be met one after the other (`parse.py` has their language); an episode
                ends when they are, or can no longer be
    measure     a number that is read at the end of an episode, such as total(sold). The episode is then
                played to its end
    published   the success test of a paper, judged in the same episodes; published_measure likewise
    steps       environment steps after which an episode is truncated; default 10,000
    program     the program over skills that carries out the task; default policies/<name>.py
    paper       results that a paper gives, by agent: {MaestroMotif: 0.46, best baseline: 0.09}
    about       how the two tests differ, or where the task comes from; for tables
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif import head
from maestromotif.config.schema import Config
from maestromotif.config.section import MOST
from maestromotif.errors import UserError
from maestromotif.pipeline.store import file_contents
from maestromotif.skill import NAME
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.expressions import Flag, Step
from maestromotif.tasks.parse import parse_all, parse_number

PAPER_AGENT, PAPER_BASELINE = "MaestroMotif", "best baseline"  # keys of `paper`
STEPS = 10_000  # as in the paper; see `configs/published.yaml`
_KEYS = ("name", "success", "measure", "published", "published_measure", "steps", "program", "paper", "about")


@dataclass(frozen=True)
class Task:
    """A task as written. Of conditions, () is none; of measures, None."""

    name: str
    words: str
    program: str  # path of the program over skills
    success: tuple[str, ...] = ()
    measure: str | None = None
    published: tuple[str, ...] = ()
    published_measure: str | None = None
    steps: int = STEPS
    paper: Mapping[str, float] = field(default_factory=dict)  # its results, by agent
    about: str = ""
    path: Path = Path()
    digest: str = ""  # SHA-256 of the file

    @property
    def can_succeed(self) -> bool:
        """Whether the task can be achieved; otherwise an episode ends by death or at its last step."""
        return bool(self.success)

    @property
    def leaves(self) -> bool:
        """Whether it needs the hero to leave the dungeon, which is otherwise not asked of the agent."""
        formulas = [parse_all(texts, "") for texts in (self.success, self.published)]
        expressions = [one for formula in formulas if formula is not None for one in formula.expressions()]
        return any(
            isinstance(part, Flag) and part.text == "left" for one in expressions for part in one.parts()
        )


def tasks_of(config: Config) -> list[Task]:
    """The tasks of a run, with the programs of `compose.programs`. Raises UserError with all mistakes."""
    tasks, problems = [], []
    for name in config.compose.programs:
        try:
            _check_name(name)
            head.find(config.tasks_folder, name, "task")
        except UserError as error:
            problems.append(f"compose.programs.{name}: {error}")
    for name in config.tasks:
        try:
            task = load(config.tasks_folder, name)
        except UserError as error:
            problems.append(str(error))
        else:
            given = config.compose.programs.get(name)
            tasks.append(task if given is None else Task(**{**vars(task), "program": given}))
    if problems:
        raise UserError("\n".join(problems))
    return tasks


def steps_of(task: Task, config: Config) -> int:
    """Environment steps after which an episode of the task is truncated."""
    return task.steps if config.evaluate.max_steps is None else config.evaluate.max_steps


def task_files(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the tasks' files and programs. Raises UserError."""
    files: dict[str, str] = {}
    for task in tasks_of(config):
        files[str(task.path)] = task.digest
        files |= file_contents(f"the program of the task '{task.name}'", task.program)
    return files


def load(folder: str | Path, name: str) -> Task:
    """Reads `<folder>/<name>.md`. Raises UserError that lists every mistake with its line."""
    _check_name(name)
    path = head.find(folder, name, "task")
    found = head.read(path, _KEYS, ("name",), "say in plain words what the agent should do")
    values = {"program": f"policies/{name}.py", **found.values}
    problems = _problems(found, values, name)
    if problems:
        raise UserError("\n".join(problems))
    for key in ("success", "published"):
        values[key] = tuple(values.get(key, ()))
    digest = hashlib.sha256(found.text.encode()).hexdigest()
    return Task(**values, words=found.body, path=path, digest=digest)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"tasks: '{name}' is not a task's name; use small letters, digits and _, as in 'delphi'"
        )


def _problems(found: head.Headed, values: Mapping[str, Any], name: str) -> list[str]:
    problems = []
    for key in ("name", "program", "about", "measure", "published_measure"):
        if key in values and not (isinstance(values[key], str) and values[key].strip()):
            problems.append(f"{found.at(key)}: '{key}' must be text, got {values[key]!r}")
    if not problems and values["name"] != name:
        problems.append(
            f"{found.at('name')}: the name is '{values['name']}' but the file is '{found.path.name}'; "
            "they must be the same"
        )
    steps = values.get("steps", STEPS)
    if type(steps) is not int or not 1 <= steps < MOST:
        problems.append(
            f"{found.at('steps')}: 'steps' must be a whole number of at least 1 and less than 2**53, "
            f"got {steps!r}"
        )
    paper = values.get("paper", {})
    if not isinstance(paper, dict) or not all(map(_is_result, paper.items())):
        problems.append(
            f"{found.at('paper')}: 'paper' must give a number for each agent, such as {{Motif: 0.09}}, "
            f"got {paper!r}"
        )
    for key in ("success", "published"):
        given = values.get(key, [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            problems.append(
                f"{found.at(key)}: '{key}' must be a list of conditions, such as [depth >= 2, depth == 1], "
                f"got {given!r}"
            )
            continue
        try:
            parse_all(given, f"{found.at(key)}: {key}")
        except UserError as error:
            problems.append(str(error))
    for key in ("measure", "published_measure"):
        if isinstance(values.get(key), str) and values[key].strip():
            try:
                parse_number(values[key], f"{found.at(key)}: {key}")
            except UserError as error:
                problems.append(str(error))
    return problems


def _is_result(result: tuple[object, object]) -> bool:
    """Whether it is an agent's name and a finite number."""
    agent, value = result
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return isinstance(agent, str) and math.isfinite(value)


class Judge:
    """Judges episodes of a task in N games: its own test and the published one, step by step."""

    def __init__(self, task: Task, games: int) -> None:
        self._task = task
        self._own = Success(task.success, games, task.measure, f"{task.path}: success")
        self._published = Success(task.published, games, task.published_measure, f"{task.path}: published")
        self._plays_on = task.measure is not None or task.published_measure is not None
        self._achieved_at = np.zeros(games, np.int64)
        self._steps = np.zeros(games, np.int64)

    def begin(self, where: np.ndarray, state: Mapping[str, np.ndarray]) -> None:
        """Episodes begin in the games bool [N], with this GameState."""
        self._own.begin(where, state)
        self._published.begin(where, state)
        self._achieved_at[where] = self._steps[where] = 0

    def update(self, step: Step, active: np.ndarray) -> np.ndarray:
        """Take in a step of the active games. bool [N]: where the game need not be played on."""
        self._step = step
        self._steps[active] += 1
        met = self._own.update(step, active)
        self._achieved_at[met] = self._steps[met]
        self._published.update(step, active)
        if self._plays_on or not (self._task.success or self._task.published):
            return np.zeros_like(active)
        decided = active.copy()
        for test, conditions in ((self._own, self._task.success), (self._published, self._task.published)):
            if conditions:
                decided &= test.achieved | test.failed
        return decided

    @property
    def achieved(self) -> np.ndarray:
        """Where the task's own conditions have been met, bool [N]."""
        return self._own.achieved

    def verdict(self, game: int) -> dict[str, Any]:
        """What is known of a game's episode after its last step: fields of `Episode`."""
        task = self._task
        return {
            "success": bool(self._own.achieved[game]),
            "achieved_at": int(self._achieved_at[game]),
            "progress": round(float(self._own.progress()[game]), 6),
            "published": bool(self._published.achieved[game]) if task.published else None,
            "measured": int(self._own.measured(self._step)[game]) if task.measure else None,
            "published_measured": (
                int(self._published.measured(self._step)[game]) if task.published_measure else None
            ),
        }
