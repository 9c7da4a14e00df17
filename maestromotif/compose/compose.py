"""Stage `compose`: checks the programs of a run before they run, and stores the checked copies.

Artefact: `training.py` (selects skills while they are trained), `tasks/<name>.py` (carries out a task),
`skills/<name>.py` (when each skill may start and should end; the default for a skill without a program) and
`check.json`: each file's SHA-256, provenance and the counts of its behaviour tests.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maestromotif import skill
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.programs import check, contract, provenance
from maestromotif.skill import Skill
from maestromotif.tasks.task import task_files, tasks_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger(__name__)

CHECK = "check.json"
TRAINING = "training"  # the role of the training program; the others have the names of their tasks


def program_file(role: str) -> str:
    """Path of a checked program over skills in the artefact; role: `TRAINING`, or the name of a task."""
    return f"{role}.py" if role == TRAINING else f"tasks/{role}.py"


def skill_file(skill: str) -> str:
    """Path of a skill's checked program in the artefact."""
    return f"skills/{skill}.py"


LOGGED = (Logged("programs/{role}/{skill}", "calls", "Calls of the skill on the program's trial states."),)


def reads(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the files of skills, tasks and programs over skills. Raises UserError."""
    return (
        skill.skill_files(config)
        | file_contents("compose.training", config.compose.training)
        | task_files(config)
    )


def foresee(config: Config) -> None:
    """Raises UserError that lists what can be seen to be wrong with the programs without running them."""
    _checked(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Runs the stage. Raises UserError that lists every problem of every program."""
    skills, tasks = skill.skills_of(config), tasks_of(config)
    files = _files(config)
    sources, report = _checked(config)

    for role, file in files.items():
        counts = check.behaviour(sources[role], file, skills, seed=config.run.seed)
        report["programs"][role]["behaviour"] = counts
        tracker.row(0, {f"programs/{role}/{name}": calls for name, calls in counts["calls"].items()})
        idle = [name for name, calls in counts["calls"].items() if calls == 0]
        if idle:
            log.warning("%s never used %s on %d trial states", file, ", ".join(idle), counts["states"])

    for role, source in sources.items():
        work.write_text(program_file(role), source)
    for one in skills:
        work.write_text(skill_file(one.name), one.program or contract.default_program(one))
    work.write_json(CHECK, report)
    return {
        "tasks": {task.name: task.words for task in tasks},
        "programs": {role: entry["provenance"] for role, entry in report["programs"].items()},
    }


def _files(config: Config) -> dict[str, str]:
    """Path of the program over skills of each role."""
    return {TRAINING: config.compose.training} | {task.name: task.program for task in tasks_of(config)}


def _checked(config: Config) -> tuple[dict[str, str], dict[str, Any]]:
    """Source of the program of each role, and the report. Raises UserError that lists every problem."""
    skills = skill.skills_of(config)
    report: dict[str, Any] = {"skills": {}, "programs": {}}
    sources, problems = dict[str, str](), list[str]()
    for one in skills:
        try:
            report["skills"][one.name] = _skill_program(one)
        except UserError as error:
            problems.append(str(error))
    for role, file in _files(config).items():
        try:
            sources[role] = contract.read(file)
            report["programs"][role] = _program(sources[role], file, skills)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return sources, report


def _program(source: str, path: str, skills: Sequence[Skill]) -> dict[str, Any]:
    origin = provenance.parse(source, path)
    check.program(source, path, skills)
    return _entry(source, Path(path), origin)


def _skill_program(one: Skill) -> dict[str, Any]:
    if one.program is None:
        return {"file": None, "default": True}
    path = one.program_path
    origin = provenance.parse(one.program, str(path))
    check.skill_program(one.program, str(path))
    return _entry(one.program, path, origin)


def _entry(source: str, path: Path, origin: dict[str, Any]) -> dict[str, Any]:
    stale = provenance.stale(origin, path)
    for reason in stale:
        log.warning("%s: %s; the program may no longer fit", path, reason)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(source.encode()).hexdigest(),
        "provenance": origin,
        "stale": stale,
    }
