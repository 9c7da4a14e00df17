"""The task of a search, fixed before any program is drafted: words, conditions, and who wrote them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from maestromotif.compose import served, success
from maestromotif.compose.transcript import Transcript
from maestromotif.errors import UserError
from maestromotif.language.model import LanguageModel
from maestromotif.pipeline.store import Work
from maestromotif.reading import is_there
from maestromotif.skill import Skill
from maestromotif.tasks.parse import parse_all
from maestromotif.tasks.task import Task, load

TASK, PROGRAM = "task.md", "program.py"


def fixed(
    work: Work,
    words: str,
    steps: int,
    conditions: Sequence[str],
    model: Callable[[], LanguageModel],
    skills: Sequence[Skill],
    transcript: Transcript,
) -> Task:
    """The task of a folder; if the folder has none, that of the words, which is written there.

    words: in words, or the path of a task's file. steps: of an episode, for a task in words. conditions: of
    the user; () lets the model write them, unless the file has them. Raises UserError if the folder has
    another task, if the conditions can never be met, and if no skill works towards a part of them.
    """
    path = work.path / TASK
    if path.exists():
        task = load(path.parent, path.stem)
        given = _loaded(words).words if is_file(words) else " ".join(words.split())
        if task.words != given or (conditions and tuple(conditions) != task.success):
            raise UserError(
                f"{path}: is another task, or has other conditions, which are fixed: name another folder "
                "with --output"
            )
        return task
    if is_file(words):
        task = _of_file(words, conditions)
    else:
        task = _of_words(words, steps, conditions, model, skills, transcript)
    _check_served(task, skills)
    head: dict[str, Any] = {"name": path.stem, "success": list(task.success)}
    head |= {} if task.measure is None else {"measure": task.measure}
    head |= {"steps": task.steps, "program": PROGRAM, "about": task.about}
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1_000)
    work.write_text(TASK, f"---\n{written}---\n{task.words}\n")
    return load(path.parent, path.stem)


def _of_file(words: str, conditions: Sequence[str]) -> Task:
    task = _loaded(words)
    what = "conditions" if task.success else "measure"
    about = "conditions given by the user" if conditions else f"{what} of {task.path.name}"
    found = tuple(conditions) or task.success
    task = Task(
        **{**vars(task), "success": found, "about": about, "measure": None if found else task.measure}
    )
    if not task.success and task.measure is None:
        raise UserError(
            f"{task.path}: has no conditions and measures nothing, so no program of it can be good; give "
            "conditions with --success"
        )
    return task


def _of_words(
    words: str,
    steps: int,
    conditions: Sequence[str],
    model: Callable[[], LanguageModel],
    skills: Sequence[Skill],
    transcript: Transcript,
) -> Task:
    transcript.add("Task", words)
    if not conditions and (parts := served.strange(words, skills)):
        named = ", ".join(repr(part) for part in parts)
        raise UserError(
            f"compose: {words!r}: no condition can be written for {named}: no word of it is known from the "
            "events, fields, skills and generated tasks (docs/compose.md); leave it out, say it in other "
            "words, or give conditions with --success"
        )
    found, about = tuple(conditions), "conditions given by the user"
    if found:
        parse_all(found, "--success")
    else:
        made = success.write(model(), words, transcript=transcript)
        found = made.conditions
        about = f"conditions written by a model: {model().name}, {made.votes} of {made.answers} answers"
    return Task("task", " ".join(words.split()), PROGRAM, found, steps=steps, about=about)


def _check_served(task: Task, skills: Sequence[Skill]) -> None:
    """Raises UserError that says which part of the task no skill works towards."""
    measured = () if task.success or task.measure is None else (f"{task.measure} >= 1",)
    missing = served.unserved((*task.success, *measured), skills)
    if missing:
        parts = "\n".join(
            f"  {part}: no skill wants {events}, and none counts it as progress" for part, events in missing
        )
        raise UserError(
            f"compose: {task.words!r}: the skills {', '.join(one.name for one in skills)} do not serve this "
            f"part of the task:\n{parts}\nLeave it out, train a skill for it, or correct the conditions "
            f"with --success; now they are: {', then '.join((*task.success, *measured))} ({task.about})"
        )


def _loaded(words: str) -> Task:
    return load(Path(words).parent, Path(words).stem)


def is_file(words: str) -> bool:
    """Whether it is the path of a task's file."""
    return words.endswith(".md") and is_there(Path(words)) and Path(words).is_file()


def is_task(text: str) -> bool:
    """Whether it is a task, in words or as its file, and not a config."""
    return is_file(text) or (" " in text.strip() and not is_there(Path(text)))


def folder_name(words: str) -> str:
    """A folder's name for the task."""
    if is_file(words):
        return Path(words).stem
    return "_".join(re.findall(r"[a-z0-9]+", words.lower())[:8]) or "task"
