"""What a search for a program of a task leaves behind: the program with its provenance, and a table."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import yaml

from maestromotif.compose import prompts, table_prompts, told
from maestromotif.compose.candidates import Game
from maestromotif.compose.draft import WRITINGS
from maestromotif.compose.fixed_task import PROGRAM
from maestromotif.compose.transcript import block
from maestromotif.compose.tree import Tree
from maestromotif.intervals import bootstrap_mean, wilson
from maestromotif.language.model import LanguageModel
from maestromotif.pipeline.store import Work
from maestromotif.skill import Skill
from maestromotif.tasks.task import Task

PROMPT = "prompt.md"


def write_program(
    work: Work,
    task: Task,
    skills: Sequence[Skill],
    writing: str,
    tree: Tree,
    model: LanguageModel | None,
    games: Sequence[Game],
) -> None:
    """The program with its provenance, and the prompt that it began with."""
    best = tree.best
    assert best is not None
    prompt = prompts.task_program if writing == "python" else table_prompts.draft
    text = prompt(task, skills)
    work.write_text(PROMPT, text)
    head: dict[str, Any] = {
        "model": "none: edits of random tables" if model is None else model.name,
        "date": date.today().isoformat(),
        "prompt": PROMPT,
        "prompt_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "score": round(_rate(games), 4),
        "search": f"{told.summary(tree)}; there {told.score(best)}",
    }
    lines = yaml.safe_dump({"provenance": head}, sort_keys=False, width=1_000, allow_unicode=True)
    header = "".join(f"# {line}\n" for line in lines.splitlines())
    work.write_text(PROGRAM, f"{header}\n{best.candidate.source}")


def table(
    task: Task, writing: str, tree: Tree, rows: Mapping[str, Sequence[Game]], model: LanguageModel | None
) -> str:
    best = tree.best
    assert best is not None
    measured = "" if task.success else f"`{task.measure}`"
    first = f"games with at least 1 | mean of {measured}" if measured else "success | progress"
    lines = [f"| program | {first} | mean steps |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {_share(games)} | {_progress(games)} | {_steps(games)} |" for name, games in rows.items()
    ]
    games = len(rows["written"])
    many = len(tree.played) > 1
    lucky = "; it was chosen as the best of several, so that is too high on average" if many else ""
    by = "no model" if model is None else model.name
    return "\n".join(
        [
            task.words,
            "",
            f"Measured: {measured} ({task.about})."
            if measured
            else f"Done when: {', then '.join(f'`{one}`' for one in task.success)} ({task.about}).",
            "",
            *lines,
            "",
            f"Each played the same {games} games of at most {task.steps:,} steps, which the search did not "
            "see. In brackets: 95 % intervals.",
            f"In the search the written program had {told.score(best)}{lucky}.",
            f"Written by {by} ({WRITINGS[writing].doc}); {told.summary(tree)}.",
            "",
            *((block(best.candidate.table),) if best.candidate.table else ()),
            "",
        ]
    )


def figures(rows: Mapping[str, Sequence[Game]]) -> dict[str, Any]:
    """Of each program its success rate and the ends of that one's 95 % interval; mean progress; games."""
    return {
        "success": {
            name: [_rate(games), *wilson(sum(game.success for game in games), len(games))]
            for name, games in rows.items()
        },
        "progress": {name: sum(game.progress for game in games) / len(games) for name, games in rows.items()},
        "games": {name: len(games) for name, games in rows.items()},
    }


def _rate(games: Sequence[Game]) -> float:
    return sum(game.success for game in games) / len(games)


def _share(games: Sequence[Game]) -> str:
    low, high = wilson(sum(game.success for game in games), len(games))
    return f"{_rate(games):.0%} [{low:.0%}, {high:.0%}]"


def _progress(games: Sequence[Game]) -> str:
    values = [game.progress for game in games]
    low, high = bootstrap_mean(values)
    return f"{sum(values) / len(values):.2f} [{low:.2f}, {high:.2f}]"


def _steps(games: Sequence[Game]) -> str:
    return f"{sum(game.steps for game in games) / len(games):,.0f}"
