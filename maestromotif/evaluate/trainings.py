"""A task's results over several trainings of one method (`evaluate.trainings`): mean and spread."""

from collections.abc import Mapping, Sequence
from typing import Any

from maestromotif.agent.episodes import Episode
from maestromotif.evaluate.comparisons import COMPARED, what_counts
from maestromotif.evaluate.training_seeds import spread
from maestromotif.intervals import Interval
from maestromotif.tasks.task import Task

Row = dict[str, Any]


def trainings(
    task: Task,
    episodes: Mapping[str, Sequence[Episode]],
    levels: Mapping[str, int | None],
    agents: Mapping[str, str],
    confidence: float,
) -> list[Row]:
    """A row for each set of dungeons that at least two trainings have played.

    episodes: at least two for each row of the results; levels: row -> the number of its dungeons; agents: row
    of a training -> its agent.
    """
    what, rows = what_counts(task), []
    for number in dict.fromkeys(levels.values()):
        of = {agents[row]: episodes[row] for row in episodes if row in agents and levels[row] == number}
        if len(of) < 2 or min(map(len, of.values())) < 2:
            continue
        found = spread([[float(getattr(one, what)) for one in played] for played in of.values()], confidence)
        rows.append(
            {
                "task": task.name,
                "levels": number,
                "of": what,
                "means": {agent: round(mean, 4) for agent, mean in zip(of, found.means, strict=True)},
                "mean": round(found.mean, 4),
                "deviation": None if found.deviation is None else round(found.deviation, 4),
                "by_chance": round(found.by_chance, 4),
                "over_trainings": _rounded(found.over_seeds),
                "over_episodes": _rounded(found.over_episodes),
            }
        )
    return rows


def lines(rows: Sequence[Row], confidence: float) -> str:
    """The rows as sentences; "" without rows."""
    text = ""
    for row in rows:
        low, high = row["over_trainings"]
        less, more = row["over_episodes"]
        text += (
            f"\nOver {len(row['means'])} trainings, the mean of {COMPARED[row['of']]} is {row['mean']:.3f}. "
            f"Trainings with other seeds: {100 * confidence:g} % interval [{low:.3f}, {high:.3f}]. These "
            f"policies in other episodes: [{less:.3f}, {more:.3f}]. The trainings' means have a standard "
            f"deviation of {row['deviation']:.3f}; the luck of the episodes alone would give "
            f"{row['by_chance']:.3f}.\n"
        )
    return text


def _rounded(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(bound, 4) for bound in interval]
