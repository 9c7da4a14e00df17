"""Prompts that ask a language model for a program, rendered from the tables and the skills of a config.

There are three: for a skill's own program (`skill_program`), for the program that selects skills in training
(`training_program`), and for the program that carries out a task (`task_program`). Every prompt lists every
field of GameState, from `contract.game_state`.
"""

import hashlib
import textwrap
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.rules import BETWEEN_PRAYERS, FIRST_PRAYER
from maestromotif.nethack.state import CHANGES
from maestromotif.programs import contract
from maestromotif.skill import Skill, skills_of
from maestromotif.tasks import parse
from maestromotif.tasks.task import Task, tasks_of

_WIDTH = 106

_SKILL = """\
A skill of a NetHack agent is described below in words. From the words, write two Python functions without
memory, with these annotations:
"""

_SKILL_RULES = """\
`may_start` says whether the skill may be chosen now. `should_end` is asked on every environment step
while the skill runs. A skill must not get stuck. Some actions take no game turn, so limit the environment
steps of a call as well, to about twice the number of game turns.
"""

_PROGRAM = """\
You write a program that decides which skill a NetHack agent uses when. The skills are neural policies
that are there already; you choose among them. Write one Python class:
"""

_PROGRAM_RULES = """\
One object is made for every episode, so keep in `self` whatever must be remembered. `select` is called
when an episode begins and each time the running skill has ended. `available` holds the names of the
skills that may start now and is never empty; return one of them. `should_end` is called on every
environment step and may end the running skill early. Each skill also ends by itself, as described below.
"""

_TRAINING = """\
The skills are learned by reinforcement while your program runs, from knowing nothing. Every skill must
get plenty of steps in situations where it can reach its goal. The program is also used with some of the
skills only, so look through `available` and return no name that is not in it.

1. Start a skill where its goal is within reach, and never where it cannot be reached: such steps teach
   nothing and are taken from the other skills. If a skill can find what another one needs, let it find
   that first, then interrupt it soon.
2. Give a skill time before you interrupt it: at least 20 game turns, sometimes up to 100.
3. In the beginning of training a skill mostly fails. When a skill has ended without reaching its goal,
   let another one bring the agent to a different place before you try again.
4. Draw a greatest depth between 2 and 4 for every episode. Deeper levels kill an agent that knows
   nothing.
5. After arriving on a new level the agent stands on the stairs that it came by. If a skill leads back,
   turn round about half of the time: this is the easiest place to learn it. At the greatest depth always
   turn round.
6. Use skills that can seldom start whenever they may start. Give all other skills a fair share, at
   random.
"""

_TASK_RULES = """\
The skills are not perfect. When one has ended without success, let another one bring the agent to a
different place for a while, then try again. The agent may also fall through a trap door and find itself
deeper than planned.
"""

_LIMITS = f"""\
An episode ends at the latest when the hero dies, or after {{steps:,}} environment steps. A god hears a prayer
when the hit points are below 6 or a seventh of the maximum, or when `hunger` is 3 or more, not before turn
{FIRST_PRAYER} and not within {BETWEEN_PRAYERS} turns of the last prayer; otherwise no skill prays. The hero
gets hungry after about 800 turns without a meal, and weak 100 turns later.
"""

_ANNOTATE = "`GameState` and `Skill` need no import. The file is type-checked, so annotate everything."
_ANSWER = "Answer with the Python file only."
_PLAN = f"{_ANSWER} Say in one comment line at the top of the class what the plan is."


class Prompt(NamedTuple):
    """A prompt, and the program that it asks for."""

    text: str
    program: Path  # the file of the program
    skill: Skill | None = None  # the skill it belongs to; None for a program over skills


def of(config: Config, what: str) -> Prompt:
    """The prompt for "training", or for the program of the task or skill with this name.

    Raises UserError for any other name, and for an error in a skill.
    """
    skills = skills_of(config)
    if what == "training":
        return Prompt(training_program(skills), Path(config.compose.training))
    for task in tasks_of(config):
        if task.name == what:
            return Prompt(task_program(task, skills), Path(task.program))
    for skill in skills:
        if skill.name == what:
            return Prompt(skill_program(skill), skill.program_path, skill)
    known = ("training", *config.tasks, *config.skills)
    raise UserError(f"prompt: there is no program for '{what}'{did_you_mean(what, known)}")


def skill_program(skill: Skill) -> str:
    """The prompt for `may_start` and `should_end` of a skill."""
    lines = [f"name: {skill.name}", f"starts: {skill.starts}", f"ends: {skill.ends}"]
    lines += [f"game turns at most: {skill.max_turns}"]
    return _text(
        "# When a skill may start and when it should end",
        _SKILL,
        _code(contract.SKILL_FORM),
        _SKILL_RULES,
        _ANNOTATE.replace("`GameState` and `Skill` need", "`GameState` needs"),
        *_surroundings(),
        f"## The skill `{skill.name}`",
        "\n".join(f"- {line}" for line in lines),
        _wrapped(skill.description),
        _listed("Events that it is for:", skill.wanted),
        _listed("Events that are bad:", skill.forbidden),
        _ANSWER,
    )


def training_program(skills: Sequence[Skill]) -> str:
    """The prompt for the program that selects these skills in training."""
    return _text(
        "# A program under which the skills are trained",
        *_over_skills(skills),
        "## What is wanted",
        _TRAINING,
        _PLAN,
    )


def task_program(task: Task, skills: Sequence[Skill]) -> str:
    """The prompt for the program that carries out a task with these skills."""
    conditions = ", then ".join(f"`{condition}`" for condition in task.success)
    return _text(
        "# A program that carries out a task",
        *_over_skills(skills),
        "## The task",
        _wrapped(task.words),
        _wrapped(
            "The task is achieved when these conditions on `GameState` have become true one after the other: "
            f"{conditions}."
            if conditions
            else "The task has no end: an episode ends when the hero dies or the last step is played."
        ),
        *_meanings(task),
        _wrapped(_LIMITS.format(steps=task.steps)),
        _TASK_RULES,
        _PLAN,
    )


def _meanings(task: Task) -> list[str]:
    """What is measured, and what the calls mean that the conditions use."""
    told = []
    if task.measure is not None:
        told.append(_wrapped(f"At the end of an episode, `{task.measure}` is measured; the more the better."))
    texts = (*task.success, task.measure or "")
    calls = {
        name: one
        for name, one in (parse.FORMULAS | parse.NUMBERS | parse.FLAGS).items()
        if any(f"{name}(" in text for text in texts)
    }
    if calls:
        told.append("\n".join(f"- `{one.form}`: {one.doc}" for one in calls.values()))
    if any("truth." in text for text in texts):
        told.append(_wrapped("`truth` is what the game alone knows. Programs cannot read it."))
    return told


def instructions(prompt: Prompt) -> str:
    """Where to save the prompt and the answer, and the provenance header that the answer needs."""
    place = Path("prompts", f"{prompt.program.stem}.md")
    facts = {
        "model": "name and version of the language model",
        "date": date.today().isoformat(),
        "prompt": place,
        "prompt_sha256": hashlib.sha256(prompt.text.encode()).hexdigest(),
    }
    if prompt.skill is not None:
        facts |= {"text": prompt.skill.path.name, "text_sha256": prompt.skill.digest}
    header = "\n".join(f"#   {key}: {value}" for key, value in {**facts, "score": "null"}.items())
    return (
        f"Save this prompt as {prompt.program.parent / place} and the answer as {prompt.program}, below this "
        f"header:\n\n# provenance:\n{header}\n"
    )


def _over_skills(skills: Sequence[Skill]) -> list[str]:
    """The parts that all prompts for programs over skills share."""
    return [
        _PROGRAM,
        _code(contract.PROGRAM_FORM),
        _PROGRAM_RULES,
        _ANNOTATE,
        *_surroundings(),
        "## The skills",
        "\n".join(_described(skill) for skill in skills),
    ]


def _surroundings() -> list[str]:
    """The parts on what a program sees, and on its language."""
    return [
        "## What the program sees",
        "Every field is a plain value.",
        _code(contract.game_state()),
        "## The language",
        _wrapped(contract.LANGUAGE),
    ]


def _described(skill: Skill) -> str:
    """An entry of the list of skills. A skill without its own program has the default one."""
    starts, ends = skill.starts, skill.ends
    if skill.program is None:
        starts, ends = "at any time", f"when the depth has changed, or after {skill.max_turns} game turns"
    return _wrapped(
        f"- `{skill.name}` may start {starts}. It ends {ends}. Its text: {skill.description}",
        "  ",
    )


def _listed(title: str, events: Sequence[str]) -> str:
    """Events and changes with their documentation; "" if there are none."""
    docs = {name: EVENTS[name].doc if name in EVENTS else CHANGES[name].doc for name in events}
    return "\n".join([title, "", *(f"- `{name}`: {doc}" for name, doc in docs.items())]) if docs else ""


def _code(text: str) -> str:
    return f"```python\n{text}```"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _text(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
