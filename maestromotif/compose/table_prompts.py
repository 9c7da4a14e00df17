"""Prompts that ask a small language model for a table of rules, rendered from the facts and the skills.

They are short: a small model on a CPU reads about a hundred tokens a second.
"""

from collections.abc import Sequence

from maestromotif.compose import aims
from maestromotif.compose.rules import FACTS
from maestromotif.skill import Skill
from maestromotif.tasks.task import Task

# What an example's skill is for -> an event that a skill of this kind wants.
_ROLES = {"explore": "explored", "down": "descended", "up": "ascended", "live": "prayed_well", "sell": "sold"}
# Tasks, when they are done, and their tables, with roles in place of skills; one whose role no skill has is
# left out.
_EXAMPLES = (
    (
        "Go down to dungeon level 5.",
        "depth >= 5",
        "when downstairs_seen use {down}\notherwise use {explore}\n",
    ),
    (
        "First go down to dungeon level 2, then climb back up to dungeon level 1.",
        "depth >= 2, then depth == 1",
        "when after(depth >= 2) use {up}\nwhen downstairs_seen use {down}\notherwise use {explore}\n",
    ),
    (
        "Reach level 4, but not before you have killed three monsters. Stay alive.",
        "kills >= 3, then depth >= 4",
        "when badly_hurt use {live}\nwhen kills >= 3 and downstairs_seen use {down}\n"
        "otherwise use {explore}\n",
    ),
    (
        "Collect 50 gold pieces without going below level 2.",
        "gold >= 50, and never depth > 2",
        "when depth >= 3 use {up}\nwhen idle_steps > 80 and downstairs_seen and depth == 1 use {down}\n"
        "otherwise use {explore}\n",
    ),
    (
        "Sell an item to a shopkeeper, then go down to level 6.",
        "items_sold >= 1, then depth >= 6",
        "when items_sold >= 1 and downstairs_seen use {down}\n"
        "when shopkeeper_in_view and sellable_items >= 1 and items_sold == 0 use {sell}\n"
        "when explored > 300 and downstairs_seen use {down}\notherwise use {explore}\n",
    ),
)


def draft(task: Task, skills: Sequence[Skill]) -> str:
    """Asks for a table for the task."""
    return f"{_opening(skills)}\n\n{_task(task)}\nTable:"


def improve(task: Task, skills: Sequence[Skill], table: str, stories: Sequence[str]) -> str:
    """Asks for a better table, after what happened in games under this one."""
    games = "\n\n".join(stories)
    return (
        f"{_opening(skills)}\n\n{_task(task)}\nTable:\n{table}\n"
        f"This happened in games under this table:\n{games}\n\n"
        "Why was it not achieved, or achieved late? Write a better table for the same task.\nTable:"
    )


def crossover(task: Task, skills: Sequence[Skill], first: str, second: str) -> str:
    """Asks for a table that joins what is good in two."""
    return (
        f"{_opening(skills)}\n\n{_task(task)}\nOne table:\n{first}\nAnother table:\n{second}\n"
        "Write a table that joins what is good in both.\nTable:"
    )


def debug(task: Task, skills: Sequence[Skill], table: str, problems: Sequence[str]) -> str:
    """Asks for a table without these problems."""
    told = "\n".join(problems)
    return (
        f"{_opening(skills)}\n\n{_task(task)}\nThis table is refused:\n{table}\n{told}\n\n"
        "Write a table without these mistakes.\nTable:"
    )


def _opening(skills: Sequence[Skill]) -> str:
    roles = {
        role: next((one.name for one in skills if event in one.wanted), None)
        for role, event in _ROLES.items()
    }
    examples = [
        f"{_stated(words, done)}\nTable:\n{table.format(**roles)}"
        for words, done, table in _EXAMPLES
        if all(name is not None for role, name in roles.items() if f"{{{role}}}" in table)
    ]
    numbers = ", ".join(name for name, fact in FACTS.items() if fact.type is int)
    flags = ", ".join(name for name, fact in FACTS.items() if fact.type is bool)
    return "\n".join(
        [
            "A table of rules says which skill a NetHack agent uses. The first rule that holds counts.",
            "",
            "Skills:",
            *(
                f"- {one.name} ({', '.join(one.wanted)}): {_first_sentences(one.description)}"
                for one in skills
            ),
            "",
            f"Numbers: {numbers}",
            f"Flags: {flags}",
            "after(A) says that A has been true before. after(A, B) says that A came, and then B.",
            "",
            *examples,
        ]
    )


def _task(task: Task) -> str:
    return _stated(task.words, aims.in_words(task.success))


def _stated(words: str, done: str) -> str:
    return f"Task: {words}" + (f"\nDone when: {done}" if done else "")


def _first_sentences(text: str, characters: int = 130) -> str:
    """As many sentences as fit; at least one."""
    told = ""
    for sentence in " ".join(text.split()).split(". "):
        if told and len(told) + len(sentence) > characters:
            break
        told += f"{sentence.rstrip('.')}. "
    return told.strip()
