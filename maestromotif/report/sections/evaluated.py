"""What the agents achieved, what that says, and what it does not."""

from typing import Any

import numpy as np
from markupsafe import Markup

from maestromotif.config.schema import Config
from maestromotif.evaluate.summary import agent_of, has_success, measure, summary
from maestromotif.intervals import intervals_overlap
from maestromotif.report import plots
from maestromotif.report.evidence import AgentEpisodes, Evidence
from maestromotif.report.plots import Axis, Columns, Estimate
from maestromotif.report.sections.writing import (
    Number,
    agent_colour,
    and_,
    interval,
    listed,
    number,
    percent,
    short,
    thousands,
)

PUBLISHED_STEPS = 4_000_000_000  # MaestroMotif paper, appendix, table of hyper-parameters


def values(config: Config, found: Evidence) -> dict[str, Any]:
    if not found.results:
        nothing: dict[str, Any] = {"summary": "", "results": [], "verdict": "", "fairness": "", "limits": []}
        return nothing | {"has_success": False, "tasks": []}
    return {
        "has_success": has_success(found.results),
        "summary": summary(found.results, config.evaluate.confidence),
        "results": [_dungeons(found, levels, rows) for levels, rows in by_dungeons(found)],
        "tasks": _tasks(found) if len(found.tasks) > 1 else [],
        "verdict": _verdict(config, found),
        "fairness": _fairness(config, found),
        "limits": _limits(config, found),
    }


def by_dungeons(found: Evidence) -> list[tuple[int | None, list[dict[str, Any]]]]:
    """The rows of results by set of dungeons: new ones first, because that is what counts, with levels None.

    In each set the trained agent comes first and the others follow in their order.
    """
    sets: dict[int | None, list[dict[str, Any]]] = {}
    for row in found.results:
        sets.setdefault(row.get("levels"), []).append(row)
    ordered = sorted(sets.items(), key=lambda item: item[0] is not None)
    return [(levels, sorted(rows, key=lambda row: agent_of(row) != "trained")) for levels, rows in ordered]


def _tasks(found: Evidence) -> list[dict[str, Any]]:
    """A row for each task and agent: all that its tests say."""

    def share(row: dict[str, Any], name: str) -> str:
        if row[name] is None:
            return "–"
        return f"{percent(row[name])} [{percent(row[f'{name}_low'])}, {percent(row[f'{name}_high'])}]"

    def mean(row: dict[str, Any], name: str) -> str:
        if row[name] is None:
            return "–"
        return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"

    return [
        {
            "task": task if number == 0 else "",
            "agent": row["agent"],
            "css": agent_colour(row["agent"]),
            "success": share(row, "success"),
            "published": share(row, "published"),
            "measured": mean(row, "measured"),
            "published_measured": mean(row, "published_measured"),
            "deepest": f"{row['deepest_mean']:.2f}",
            "deaths": f"{thousands(row['deaths'])} of {thousands(row['episodes'])}",
        }
        for task, rows in found.tasks.items()
        for number, row in enumerate(rows)
    ]


def _dungeons(found: Evidence, levels: int | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything about the agents in one set of dungeons."""
    names = [row["agent"] for row in rows]
    episodes = sorted(
        (one for one in found.episodes if one.agent in names), key=lambda one: names.index(one.agent)
    )
    title = "New dungeons" if levels is None else f"The {levels} dungeons of training"
    where = title[0].lower() + title[1:]
    return {
        "title": title,
        "rows": [_result(row) for row in rows],
        "plots": [
            *([_success(rows, where)] if has_success(rows) else []),
            (
                f"Deepest level, mean, {where}",
                plots.html(
                    plots.intervals(
                        _estimates(rows, "deepest"), Axis("dungeon level", "", _depth_range(found))
                    ),
                    f"mean deepest level of each agent with intervals, {where}",
                ),
            ),
            (f"Deepest level, {where}", depths([(agent_of(vars(one)), one.deepest) for one in episodes])),
            (f"Length of an episode, {where}", _lengths(rows[0]["max_steps"], episodes)),
        ],
    }


def _success(rows: list[dict[str, Any]], where: str) -> tuple[str, Markup]:
    axis = Axis("share of episodes", "share", (-0.02, 1.02))
    figure = plots.intervals(_estimates(rows, "success"), axis)
    return f"Success, {where}", plots.html(figure, f"success of each agent with intervals, {where}")


def _result(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "agent": agent_of(row),
        "css": agent_colour(row["agent"]),
        "episodes": thousands(row["episodes"]),
        "success": percent(row["success"]) if has_success([row]) else "",
        "success_interval": interval((row["success_low"], row["success_high"]), percent)
        if has_success([row])
        else "",
        "deepest": f"{row['deepest_mean']:.2f}",
        "deepest_interval": interval((row["deepest_low"], row["deepest_high"]), "{:.2f}".format),
        "deaths": f"{thousands(row['deaths'])} of {thousands(row['episodes'])}",
        "steps": number(None if row["steps_median"] is None else round(row["steps_median"])),
        "prayers": "–" if row["prayers_per_1000"] is None else f"{row['prayers_per_1000']:.1f}",
        "causes": listed({name.removeprefix("killed by "): n for name, n in row["causes"].items()}) or "–",
    }


def main_row(found: Evidence) -> dict[str, Any]:
    """The row that the run is about: the trained agent's in new dungeons, or else the first one."""
    return by_dungeons(found)[0][1][0]


def _verdict(config: Config, found: Evidence) -> str:
    """What the intervals say of the trained agent against others on the same levels, and no more.

    They are those of the success, or of the deepest level if the task has no end.
    """
    by_levels = by_dungeons(found)
    level = percent(config.evaluate.confidence)
    sentences = [f"{_compared(rows, level)}." for _, rows in by_levels]
    if len(sentences) == 2:
        sentences[0] = f"In new dungeons: {sentences[0]}"
        sentences[1] = f"In the {by_levels[1][0]} dungeons of training: {sentences[1]}"
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _compared(rows: list[dict[str, Any]], level: str) -> str:
    """The first row, which is the trained agent's, against the others."""
    main, *others = rows
    if not others:
        return f"the {main['agent']} agent was evaluated alone, so nothing can be said of a difference"

    value, low, high = measure(rows)

    def bounds(row: dict[str, Any]) -> tuple[Number, Number]:
        return row[low], row[high]

    def names(rows: list[dict[str, Any]]) -> str:
        return and_([agent_of(row) for row in rows])

    apart = [row for row in others if not intervals_overlap(bounds(main), bounds(row))]
    better = [row for row in apart if row[value] < main[value]]
    worse = [row for row in apart if row[value] > main[value]]
    alike = [row for row in others if row not in apart]
    said = []
    counted = value == "success"
    if better:
        said.append(f"{'succeeds more often' if counted else 'comes deeper'} than {names(better)}")
    if worse:
        said.append(f"{'succeeds less often' if counted else 'comes less deep'} than {names(worse)}")
    if alike:
        said.append(f"cannot be distinguished from {names(alike)} (the intervals overlap)")
    of = "success rate" if counted else "mean deepest level"
    return f"by {level} intervals on its {of}, the {names([main])} agent {and_(said)}"


def _estimates(rows: list[dict[str, Any]], what: str) -> list[Estimate]:
    return [
        Estimate(
            name=agent_of(row),
            value=row["success"] if what == "success" else row["deepest_mean"],
            low=row[f"{what}_low"],
            high=row[f"{what}_high"],
            colour=agent_colour(row["agent"]),
            note=f"{row['episodes']} episodes",
        )
        for row in rows
    ]


def depths(groups: list[tuple[str, list[int]]]) -> Markup:
    """Share of each group's episodes by deepest level, one column a group and level."""
    deepest = [level for _, levels in groups for level in levels]
    levels = list(range(min(deepest), max(deepest) + 1)) if deepest else []
    series = [
        Columns(name, [own.count(level) / max(1, len(own)) for level in levels], agent_colour(name))
        for name, own in groups
    ]
    figure = plots.columns(
        [str(level) for level in levels],
        series,
        Axis("deepest dungeon level"),
        Axis("share of episodes", "share"),
    )
    return plots.html(figure, "share of episodes by deepest level", "No episodes.")


def _depth_range(found: Evidence) -> tuple[float, float]:
    """Axis of mean deepest levels, from the first level on."""
    low = min(1.0, *(row["deepest_low"] for row in found.results))
    high = max(2.0, *(row["deepest_high"] for row in found.results))
    air = 0.04 * (high - low)
    return low - air, high + air


def _lengths(limit: int, episodes: list[AgentEpisodes], bins: int = 10) -> Markup:
    """Share of each agent's episodes by their number of steps."""
    longest = max((max(one.steps, default=0) for one in episodes), default=0)
    edges = np.linspace(0, max(limit, longest), bins + 1)
    series = [
        Columns(
            agent_of(vars(one)),
            (np.histogram(one.steps, edges)[0] / max(1, len(one.steps))).tolist(),
            agent_colour(one.agent),
        )
        for one in episodes
    ]
    labels = [f"≤ {short(edge)}" for edge in edges[1:].tolist()]
    figure = plots.columns(labels, series, Axis("environment steps"), Axis("share of episodes", "share"))
    return plots.html(figure, "share of episodes by length", "No episodes.")


def _fairness(config: Config, found: Evidence) -> str:
    """What the seeds of the episodes say about the comparison."""
    seeds_of = {one.agent: one.seeds for one in found.episodes}
    by_levels: dict[int | None, list[Any]] = {}
    for row in found.results:
        by_levels.setdefault(row.get("levels"), []).append(seeds_of.get(row["agent"]))
    fair = all(seeds == group[0] for group in by_levels.values() for seeds in group)
    same = "All agents met the same games" if fair else "Agents met different games"
    said = f"{same}, on seeds kept apart from those of training."
    if config.nethack.levels is not None:
        said += (
            f" Training was confined to {config.nethack.levels} dungeons: there agents meet its maps again, "
            "with other monsters, items and dice; new dungeons have maps that training never saw."
        )
    return said


def _limits(config: Config, found: Evidence) -> list[str]:
    """The objections of a careful reader."""
    main = main_row(found)
    shown = "one success, one failure" if has_success([main]) else "the deepest"
    games = len({seeds for one in found.episodes for seeds in one.seeds})
    limits = [
        f"Each agent played {thousands(main['episodes'])} episodes of at most "
        f"{thousands(main['max_steps'])} steps, {thousands(games)} different games in total. The "
        "intervals cover the luck of these episodes, not the luck of training: there was one training run, "
        f"with seed {config.run.seed}, and another seed may give another result.",
    ]
    if found.curve:
        steps = found.curve[-1]["env_step"]
        limits.append(
            f"Training saw {thousands(steps)} environment steps, {100 * steps / PUBLISHED_STEPS:.2g} % of "
            f"the {thousands(PUBLISHED_STEPS)} for which the published MaestroMotif agents were trained."
        )
    if found.labels:
        name = found.model.get("model", config.language.model)
        limits.append(
            f"The only judge of what a skill wants was {name}. Its preferences were not compared "
            "with people’s: read its most and least wanted captions above and judge for yourself."
        )
    if found.rewards:
        limits.append(
            "Held-out accuracy is agreement with the same language model, on captions that the reward model "
            "did not see. It says that the reward model learned the judge, not that the judge is right."
        )
    limits.append(
        "The program over skills does part of the work. Learning added the difference between the "
        "untrained agent, which runs the same program, and the trained one."
    )
    limits.append(
        f"The replays are single episodes: {shown}, the longest, and a death of the commonest cause, as far "
        "as there are such. The table says how often they happen."
    )
    return limits
