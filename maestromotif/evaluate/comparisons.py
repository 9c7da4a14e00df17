"""A task's first agent against the others in the same dungeons: the difference, and how sure it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from maestromotif.agent.episodes import Episode
from maestromotif.evaluate.difference import compare_means, compare_success
from maestromotif.tasks.task import Task

Row = dict[str, Any]
COMPARED = {"success": "success", "measured": "what is measured", "deepest": "the deepest level"}


def what_counts(task: Task) -> str:
    """The field of an episode by which agents are compared: success, what is measured, or the depth."""
    if task.can_succeed:
        return "success"
    return "deepest" if task.measure is None else "measured"


def comparisons(
    task: Task, episodes: Mapping[str, Sequence[Episode]], levels: Mapping[str, int | None], confidence: float
) -> list[Row]:
    """A row for each agent that has an agent to be compared with.

    episodes: of at least two for each agent, else there are no rows. levels: agent -> the number of its
    dungeons; agents are compared only in the same ones. What is compared is success, or what the task
    measures, or the deepest level.
    """
    rows: list[Row] = []
    for number in dict.fromkeys(levels.values()):
        main, *others = [agent for agent in episodes if levels[agent] == number]
        rows += [_row(task, main, other, episodes, confidence) for other in others if len(episodes[main]) > 1]
    return rows


def _row(
    task: Task, main: str, other: str, episodes: Mapping[str, Sequence[Episode]], confidence: float
) -> Row:
    what = what_counts(task)
    first, second = ({tuple(one.seeds): one for one in episodes[agent]} for agent in (main, other))
    if task.can_succeed:
        found = compare_success(
            {seeds: one.success for seeds, one in first.items()},
            {seeds: one.success for seeds, one in second.items()},
            confidence,
        )
    else:
        found = compare_means(
            {seeds: getattr(one, what) for seeds, one in first.items()},
            {seeds: getattr(one, what) for seeds, one in second.items()},
            confidence,
        )
    numbers = ("difference", "low", "high", "p_value", "detectable")
    rounded = {name: None if (value := getattr(found, name)) is None else round(value, 4) for name in numbers}
    return {"task": task.name, "agent": main, "other": other, "of": what, **rounded, "paired": found.paired}


def lines(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown; "" without rows."""
    if not rows:
        return ""
    of = COMPARED[rows[0]["of"]]
    text = f"\n| difference of {of} | | p | detectable |\n| --- | --- | --- | --- |\n"
    for row in rows:
        detectable = "–" if row["detectable"] is None else f"{row['detectable']:.2f}"
        text += (
            f"| {row['agent']} - {row['other']} | {row['difference']:+.2f} [{row['low']:+.2f}, "
            f"{row['high']:+.2f}] | {row['p_value']:.3g} | {detectable} |\n"
        )
    return f"{text}\nDetectable: the smallest difference that so many episodes show with 80 % probability.\n"
