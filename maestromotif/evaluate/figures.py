"""What the stage `evaluate` logs: each agent's row as soon as it has played, and tables of all episodes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from maestromotif.agent.episodes import Episode
from maestromotif.evaluate.summary import agent_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import Tracker

DEPTHS = (2, 5, 10)

# Of a row of the results: name, unit, meaning.
_OF_ROW = (
    ("success", "share", "Share of the episodes that achieve the task."),
    ("success_low", "share", "Lower bound of its interval (Wilson; `evaluate.confidence`)."),
    ("success_high", "share", "Upper bound of its interval."),
    ("published", "share", "Share of the episodes that pass the published test of the task."),
    ("measured", "per episode", "Mean over the episodes of what the task measures."),
    ("published_measured", "per episode", "Mean over the episodes of what the published test measures."),
    ("progress_mean", "share", "Mean over the episodes of the task's progress: 1 where it was achieved."),
    (
        "progression_mean",
        "share",
        "Mean over the episodes of BALROG's progression.",
    ),
    ("deepest_mean", "levels", "Mean over the episodes of the deepest level reached."),
    ("deepest_low", "levels", "Lower bound of its interval (bootstrap)."),
    ("deepest_high", "levels", "Upper bound of its interval."),
    *((f"at_least_{depth}", "share", f"Share of the episodes that reach level {depth}.") for depth in DEPTHS),
    ("deaths", "episodes", "Episodes that end in death before the task is achieved."),
    ("steps_mean", "steps", "Mean number of environment steps of an episode."),
    ("steps_median", "steps", "Median number of environment steps of an episode."),
    ("prayers_per_1000", "prayers / 1,000 steps", "Prayers in 1,000 environment steps."),
)
LOGGED = (
    *(Logged(f"eval/{{task}}/{{place}}/{{agent}}/{name}", unit, doc) for name, unit, doc in _OF_ROW),
    Logged("eval/{task}/results", "table", "The figures of all agents."),
    Logged(
        "eval/{task}/episodes", "table", "Every episode: agent, seeds, success, depth, steps, end, prayers."
    ),
    Logged("eval/{task}/deaths", "table", "Causes of death of each agent, the most frequent first."),
    Logged(
        "eval/{task}/time",
        "table",
        "Share of each agent's steps by dungeon (0: the Dungeons of Doom, 2: the Gnomish Mines) and depth.",
    ),
)

_Keys = Sequence[tuple[str, str, Sequence[Episode]]]  # place, agent and its episodes, of each row


def track_agent(tracker: Tracker, step: int, row: Mapping[str, Any]) -> None:
    """Logs a row of the results. `{place}` is new, or seen for the dungeons of training."""
    prefix = f"eval/{row['task']}/{_place(row)}/{agent_of(row)}"
    tracker.row(step, {f"{prefix}/{name}": row[name] for name, _, _ in _OF_ROW if row[name] is not None})


def track_task(
    tracker: Tracker, step: int, rows: Sequence[Mapping[str, Any]], episodes: Mapping[str, Sequence[Episode]]
) -> None:
    """Logs the tables of a task. episodes: by the `agent` of each row."""
    prefix = f"eval/{rows[0]['task']}"
    keys = [(_place(row), agent_of(row), episodes[row["agent"]]) for row in rows]
    columns = [name for name, _, _ in _OF_ROW if any(row[name] is not None for row in rows)]
    results = [
        [place, agent, *(row[name] for name in columns)]
        for row, (place, agent, _) in zip(rows, keys, strict=True)
    ]
    tracker.table(step, f"{prefix}/results", ["place", "agent", *columns], results)
    told = ("success", "deepest", "steps", "end", "cause", "prayers")
    every = [
        [place, agent, *one.seeds, *(getattr(one, name) for name in told)]
        for place, agent, own in keys
        for one in own
    ]
    tracker.table(step, f"{prefix}/episodes", ["place", "agent", "core", "disp", "lgen", *told], every)
    causes = [
        [place, agent, cause, count]
        for place, agent, own in keys
        for cause, count in Counter(one.cause for one in own if one.cause).most_common()
    ]
    tracker.table(step, f"{prefix}/deaths", ["place", "agent", "cause", "episodes"], causes)
    tracker.table(step, f"{prefix}/time", ["place", "agent", "dungeon", "depth", "share"], _time(keys))


def _time(keys: _Keys) -> list[list[Any]]:
    table = []
    for place, agent, own in keys:
        steps: Counter[tuple[int, int]] = Counter()
        for episode in own:
            for where, count in episode.visited.items():
                dungeon, _, depth = where.partition(":")
                steps[int(dungeon), int(depth)] += count
        table += [
            [place, agent, dungeon, depth, round(count / steps.total(), 4)]
            for (dungeon, depth), count in sorted(steps.items())
        ]
    return table


def _place(row: Mapping[str, Any]) -> str:
    return "new" if row["levels"] is None else "seen"
