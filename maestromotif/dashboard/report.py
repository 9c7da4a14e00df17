"""The stage `report`: one self-contained page about a run, for somebody who wants to believe it or not.

Everything in it comes from the artefacts and the config, so that the same artefacts give the same bytes. It
loads nothing: plots are inline SVG, the replay's player is inlined, and a content security policy forbids
the rest.
"""

import io
import keyword
import math
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup, escape

import maestromotif
from maestromotif import skill as skills
from maestromotif.dashboard import evidence, replay, svg, wandb_run
from maestromotif.dashboard.evidence import Evidence
from maestromotif.pipeline import NOT_IN_KEYS
from maestromotif.preferences.dataset import SOURCES
from maestromotif.settings import Config
from maestromotif.statistics import intervals_overlap
from maestromotif.store import Artefact, Work

HERE = Path(__file__).parent
AGENTS = ("trained", "untrained", "random")  # agents with a colour of their own
PUBLISHED_STEPS = 4_000_000_000  # MaestroMotif paper, appendix, table of hyper-parameters
SHOWN = 6  # captions at each end of a ranking
# Titles of the curves whose keys say too little, by the part of the key that is not a skill's name.
CURVE_TITLES = {
    "return": "Return",
    "skill/reward_per_call": "Reward in one call of the skill",
    "skill/reward_per_1k_steps": "Reward in 1,000 steps of the skill",
    "skill/time_share": "Share of all steps",
    "time_share": "Share of all steps",
    "skill/mean_duration": "Steps in one call of the skill",
    "depth/deepest_mean": "Deepest level of an episode, mean",
    "depth/at_least_2": "Share of episodes that reach level 2",
}
SHARES = ("share", "at_least", "rate")  # words in keys whose values lie between 0 and 1


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """Writes `report.html`, then the same to wandb. Raises UserError if an artefact lacks something."""
    found = evidence.read(config, inputs)
    work.write_text("report.html", page(config, found))
    wandb_run.log_run(config, inputs, work.path / "report.html")
    return {"agents": {row["agent"]: row["success"] for row in found.results}}


def page(config: Config, found: Evidence) -> str:
    """The report as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = _quality_columns(found)
    return environment.get_template("report.html").render(
        config=config,
        version=maestromotif.__version__,
        style=replay.style(),
        legend=svg.legend,
        confidence=svg.percent(config.evaluate.confidence),
        contents=_contents(found),
        path=_path(config, found),
        skills=_skills(config, found),
        skill_keys=[(name, svg.colour(index)) for index, name in enumerate(config.skills)],
        collected=_collected(found.collected),
        labels=[_label(config, one, columns) for one in found.labels],
        judged=max((len(one.captions) for one in found.labels), default=0),
        method={
            "pointwise": "scoring each one alone and ordering pairs from the scores",
            "pairwise": "comparing pairs in both orders",
        }[config.annotate.method],
        quality_columns=["pairs", "ties", *(name.replace("_", " ") for name in columns)],
        model=found.model,
        rewards=[_reward(config, one) for one in found.rewards],
        rewards_from=config.reward.path,
        accuracy=_accuracy(config, found),
        accuracy_note=_sentence(found.rewards[0].note) if found.rewards else "",
        quantiles=_quantiles(config, found),
        threshold_note=_threshold_note(config),
        env_steps=_thousands(found.curve[-1]["env_step"]) if found.curve else "0",
        window=_window(found),
        curves=_curves(config, found),
        diagnostics=_diagnostics(config, found),
        program=_program(found.programs["program"]),
        training=_program(found.programs["training"]),
        skill_programs=[_program(one) for one in found.skill_programs],
        results=[_result(found, row) for row in found.results],
        verdict=_verdict(config, found),
        fairness=_fairness(config, found),
        agent_keys=[(one.agent, agent_colour(one.agent)) for one in found.episodes],
        success_plot=_estimates(found, "success", "share of episodes", (0.0, 1.0)),
        deepest_plot=_estimates(found, "deepest", "dungeon level", _depth_range(found)),
        depth_plot=_depths([(one.agent, one.deepest) for one in found.episodes]),
        steps_plot=_lengths(config, found),
        replay=replay.fragment(found.replay),
        replay_title=_sentence(found.replay.title),
        limits=_limits(config, found),
        digests=found.digests,
        config_text=_config_text(config),
    )


# --------------------------------------------------------------------------------------------- what was asked


def _contents(found: Evidence) -> list[tuple[str, str]]:
    sections = [("path", "Path"), ("asked", "Asked")]
    sections += [("collect", "Collect")] if found.collected else []
    sections += [("annotate", "Annotate")] if found.labels else []
    sections += [("distil", "Distil")] if found.rewards else []
    sections += [("train", "Train"), ("compose", "Compose"), ("evaluate", "Evaluate")]
    return [*sections, ("replay-section", "Replay"), ("limits", "Limits"), ("provenance", "Provenance")]


def _path(config: Config, found: Evidence) -> Markup:
    stages: list[tuple[str, str, list[str]]] = [
        ("asked", "words", [f"{len(config.skills)} skills", "1 task"])
    ]
    if found.collected:
        plays = [f"{len(play.deepest)} {play.source}" for play in found.collected.plays]
        stages.append(("collect", "collect", [f"{_thousands(found.collected.steps)} steps", *plays[:2]]))
    if found.labels:
        pairs = sum(one.pairs for one in found.labels)
        judged = max(len(one.captions) for one in found.labels)
        stages.append(("annotate", "annotate", [f"{judged} captions", f"{_thousands(pairs)} pairs"]))
    if found.rewards:
        known = [one.accuracy for one in found.rewards if one.accuracy is not None]
        worst = [f"accuracy ≥ {svg.percent(min(known))}"] if known else []
        stages.append(("distil", "distil", [f"{len(found.rewards)} rewards", *worst]))
    steps = svg.short(found.curve[-1]["env_step"]) if found.curve else "0"
    best = _main_row(found)
    stages += [
        ("train", "train", [f"{steps} steps", f"{config.nethack.games} games"]),
        ("compose", "compose", [Path(config.task.program).name]),
        ("evaluate", "evaluate", [f"{best['episodes']} episodes", f"{svg.percent(best['success'])} success"]),
    ]
    return svg.path(stages)


def _skills(config: Config, found: Evidence) -> list[dict[str, str]]:
    """Name, text and file of each skill; the text is the one that the reward models were made from."""
    if found.rewards:
        texts = [card.description for card in found.rewards]
    else:
        texts = [one.description for one in skills.load_all(config.skills_folder, config.skills)]
    return [
        {"name": name, "css": svg.colour(index), "description": text, "file": f"skills/{name}.md"}
        for index, (name, text) in enumerate(zip(config.skills, texts, strict=True))
    ]


# ------------------------------------------------------------------------------------------ collect, annotate


def _collected(collected: evidence.Collected | None) -> dict[str, Any] | None:
    if collected is None:
        return None
    return {
        "steps": _thousands(collected.steps),
        "empty": _thousands(collected.empty),
        "distinct": _thousands(collected.distinct),
        "depths": _depths([(play.source, play.deepest) for play in collected.plays]),
        "swatches": [(play.source, agent_colour(play.source)) for play in collected.plays],
        "recorded": any(play.source == "recordings" for play in collected.plays),
        "plays": [
            {
                "source": play.source,
                "steps": _thousands(play.steps),
                "episodes": len(play.deepest),
                "mean": f"{np.mean(play.deepest):.2f}",
                "most": max(play.deepest),
                "ends": _listed(play.ends),
            }
            for play in collected.plays
        ],
        "changed": ", ".join(f"{name} {_thousands(count)}" for name, count in collected.changed.items()),
        "frequent": [(text, _thousands(count)) for text, count in collected.frequent],
    }


def _quality_columns(found: Evidence) -> list[str]:
    """Names of the plain numbers of the quality files, beside pairs and ties, in their order there."""
    return list(
        dict.fromkeys(
            name
            for one in found.labels
            for name, value in one.quality.items()
            if isinstance(value, int | float) and name not in ("pairs", "ties")
        )
    )


def _label(config: Config, one: evidence.Labels, columns: list[str]) -> dict[str, Any]:
    scores = [score for _, score in one.captions]
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)
    count, edges = np.histogram(scores, bins=20, range=(low, high if high > low else low + 1))
    css = svg.colour(config.skills.index(one.skill))
    series = svg.Series("", [], count.tolist(), css)
    labels = [f"{edge:.2g}" for edge in (edges[:-1] + edges[1:]) / 2]
    return {
        "skill": one.skill,
        "css": css,
        "measure": one.measure,
        "quality": [
            _thousands(one.pairs),
            f"{_thousands(one.ties)} ({svg.percent(one.ties / max(1, one.pairs))})",
            *(_number(one.quality.get(name)) for name in columns),
        ],
        "count": len(scores),
        "events": _bars([(f"{event} ({count})", score) for event, score, count in one.events], low, high),
        "top": _bars(one.captions[:SHOWN], low, high),
        "bottom": _bars(one.captions[SHOWN:][-SHOWN:], low, high),
        "histogram": svg.columns(labels, [series], one.measure, "captions"),
    }


def _bars(rows: Sequence[tuple[str, float]], low: float, high: float) -> list[tuple[str, float, float]]:
    """(text, value, width of its bar in %) of every row."""
    size = high - low if high > low else 1.0
    return [(text, value, round(100 * (value - low) / size, 1)) for text, value in rows]


# ---------------------------------------------------------------------------------------------- distil, train


def _reward(config: Config, one: evidence.RewardCard) -> dict[str, Any]:
    values = [value for _, value in (*one.top, *one.bottom)]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return {
        "skill": one.skill,
        "css": svg.colour(config.skills.index(one.skill)),
        "cells": [
            "–" if one.accuracy is None else svg.percent(one.accuracy),
            "–" if one.interval is None else _interval(one.interval, svg.percent),
            "–" if one.accuracy_train is None else svg.percent(one.accuracy_train),
            _thousands(one.held_out),
            _number(one.mean),
            _number(one.std),
            _number(_threshold(config, one)),
        ],
        "top": _bars(one.top[:SHOWN], low, high),
        "bottom": _bars(one.bottom[:SHOWN], low, high),
    }


def _threshold(config: Config, one: evidence.RewardCard) -> float:
    """Normalised reward below which a step of this skill earns nothing."""
    wanted = config.reward.quantile_of.get(one.skill, config.reward.quantile)
    return float(np.interp(wanted, [x for x, _ in one.quantiles], [y for _, y in one.quantiles]))


def _accuracy(config: Config, found: Evidence) -> Markup:
    rows = [
        svg.Estimate(
            name=one.skill,
            value=one.accuracy,
            low=one.interval.low,
            high=one.interval.high,
            colour=svg.colour(config.skills.index(one.skill)),
            note=f"on {one.held_out} pairs",
        )
        for one in found.rewards
        if one.accuracy is not None and one.interval is not None
    ]
    lowest = min((row.low for row in rows), default=0.5)
    return svg.intervals(
        rows,
        "share of held-out pairs ordered as labelled",
        (min(0.4, math.floor(10 * lowest) / 10), 1.0),
        as_percent=True,
        baseline=(0.5, "guessing"),
    )


def _quantiles(config: Config, found: Evidence) -> Markup:
    series = [
        svg.Series(one.skill, [x for x, _ in one.quantiles], [y for _, y in one.quantiles], svg.colour(index))
        for index, one in enumerate(found.rewards)
    ]
    return svg.lines(
        series,
        "share of observations with a lower reward",
        "normalised reward z",
        mark=(config.reward.quantile, f"threshold {config.reward.quantile:g}"),
    )


def _threshold_note(config: Config) -> str:
    own = ", ".join(f"{name} {quantile:g}" for name, quantile in config.reward.quantile_of.items())
    return f"Thresholds of their own: {own}." if own else ""


def _window(found: Evidence) -> int:
    """Rows of the curve over which bold lines are means: about a twentieth of it, an odd number."""
    return len(found.curve) // 20 | 1


def _curves(config: Config, found: Evidence) -> list[dict[str, Any]]:
    """Everything that is known by skill, one plot a quantity, then what is known of depth."""
    by_quantity: dict[str, dict[str, str]] = {}
    for key in _keys(found):
        for name in config.skills:
            if name in key.split("/"):
                quantity = "/".join(part for part in key.split("/") if part != name)
                by_quantity.setdefault(quantity, {})[name] = key
    plots = [
        _curve(
            found,
            quantity,
            [
                (name, keys[name], svg.colour(index))
                for index, name in enumerate(config.skills)
                if name in keys
            ],
        )
        for quantity, keys in by_quantity.items()
    ]
    return plots + [
        _curve(found, key, [(key, key, "trained")]) for key in _keys(found) if key.startswith("depth/")
    ]


def _diagnostics(config: Config, found: Evidence) -> list[dict[str, Any]]:
    """All other numbers of the curve."""
    return [
        _curve(found, key, [(key, key, "random")])
        for key in _keys(found)
        if not key.startswith("depth/") and not set(config.skills) & set(key.split("/"))
    ]


def _keys(found: Evidence) -> list[str]:
    return [key for key in dict.fromkeys(key for row in found.curve for key in row) if key != "env_step"]


def _curve(found: Evidence, quantity: str, lines: list[tuple[str, str, str]]) -> dict[str, Any]:
    """`lines`: (name, key, colour class)."""
    series = []
    for name, key, css in lines:
        rows = [row for row in found.curve if key in row]
        series.append(svg.Series(name, [row["env_step"] for row in rows], [row[key] for row in rows], css))
    share = any(word in quantity for word in SHARES) and all(0 <= y <= 1 for one in series for y in one.y)
    return {
        "title": CURVE_TITLES.get(
            quantity, quantity.removeprefix("skill/").replace("_", " ").replace("/", ": ")
        ),
        "figure": svg.lines(
            series,
            "environment steps",
            "share" if share else quantity.split("/")[-1].replace("_", " "),
            y_range=(0.0, 1.0) if share else None,
            as_percent=share,
            window=_window(found),
        ),
        "swatches": [(name, css) for name, _, css in lines] if len(lines) > 1 else [],
    }


# ------------------------------------------------------------------------------------------ compose, evaluate


def highlight(source: str) -> Markup:
    """Python source with keywords, strings, comments and numbers in spans, if it can be tokenised."""
    kinds = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}
    lines = source.splitlines(keepends=True)
    out: list[Markup | str] = []
    row, column = 1, 0

    def copy_to(line: int, end: int) -> None:
        nonlocal row, column
        while row < line:
            out.append(escape(lines[row - 1][column:]))
            row, column = row + 1, 0
        if row <= len(lines):
            out.append(escape(lines[row - 1][column:end]))
        column = end

    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            css = kinds.get(token.type)
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                css = "keyword"
            if css:
                copy_to(*token.start)
                out.append(Markup('<span class="{}">').format(css))
                copy_to(*token.end)
                out.append(Markup("</span>"))
    except (tokenize.TokenError, SyntaxError):
        return escape(source)
    copy_to(len(lines) + 1, 0)
    return Markup("").join(out)


def _program(one: evidence.Program) -> dict[str, Any]:
    return {"role": one.role, "source": highlight(one.source), "origin": one.origin}


def _result(found: Evidence, row: dict[str, Any]) -> dict[str, Any]:
    own = next((one for one in found.episodes if one.agent == row["agent"]), None)
    steps = row.get("steps_mean")
    return {
        "agent": row["agent"],
        "css": agent_colour(row["agent"]),
        "episodes": _thousands(row["episodes"]),
        "success": svg.percent(row["success"]),
        "success_interval": _interval((row["success_low"], row["success_high"]), svg.percent),
        "deepest": f"{row['deepest_mean']:.2f}",
        "deepest_interval": _interval((row["deepest_low"], row["deepest_high"]), "{:.2f}".format),
        "steps": "–" if steps is None else _thousands(round(steps)),
        "ends": _listed(own.ends) if own else "–",
    }


def _main_row(found: Evidence) -> dict[str, Any]:
    """The row that the run is about: the trained agent's, or else the first one."""
    return next((row for row in found.results if row["agent"] == "trained"), found.results[0])


def _verdict(config: Config, found: Evidence) -> str:
    """What the success intervals say of the trained agent against others on the same levels, and no more."""
    by_levels: dict[int | None, list[dict[str, Any]]] = {}
    for row in found.results:
        by_levels.setdefault(row.get("levels"), []).append(row)
    level = svg.percent(config.evaluate.confidence)
    sentences = [f"{_compared(rows, level)}." for rows in by_levels.values()]
    if len(sentences) == 2:
        few = next(levels for levels in by_levels if levels is not None)
        sentences[0] = f"In the {few} dungeons of the training: {sentences[0]}"
        sentences[1] = f"In dungeons with levels never seen: {sentences[1]}"
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _compared(rows: list[dict[str, Any]], level: str) -> str:
    """The first row, which is the trained agent's, against the others."""
    main, *others = rows
    if not others:
        return f"the {main['agent']} agent was evaluated alone, so nothing can be said of a difference"

    def bounds(row: dict[str, Any]) -> tuple[svg.Number, svg.Number]:
        return row["success_low"], row["success_high"]

    def names(rows: list[dict[str, Any]]) -> str:
        return _and([row["agent"].partition(",")[0] for row in rows])

    apart = [row for row in others if not intervals_overlap(bounds(main), bounds(row))]
    better = [row for row in apart if row["success"] < main["success"]]
    worse = [row for row in apart if row["success"] > main["success"]]
    alike = [row for row in others if row not in apart]
    said = []
    if better:
        said.append(f"succeeds more often than {names(better)}")
    if worse:
        said.append(f"succeeds less often than {names(worse)}")
    if alike:
        said.append(f"cannot be told from {names(alike)} (the intervals overlap)")
    return f"by {level} intervals on its success rate, the {names([main])} agent {_and(said)}"


def _estimates(found: Evidence, what: str, label: str, x_range: tuple[float, float]) -> Markup:
    rows = [
        svg.Estimate(
            name=row["agent"],
            value=row["success"] if what == "success" else row["deepest_mean"],
            low=row[f"{what}_low"],
            high=row[f"{what}_high"],
            colour=agent_colour(row["agent"]),
            note=f"{row['episodes']} episodes",
        )
        for row in found.results
    ]
    return svg.intervals(rows, label, x_range, as_percent=what == "success")


def _depths(groups: list[tuple[str, list[int]]]) -> Markup:
    """Share of each group's episodes by deepest level, one column a group and level."""
    deepest = [level for _, levels in groups for level in levels]
    if not deepest:
        return svg.columns([], [], "deepest level", "share of episodes")
    levels = list(range(min(deepest), max(deepest) + 1))
    series = [
        svg.Series(name, [], [own.count(level) / max(1, len(own)) for level in levels], agent_colour(name))
        for name, own in groups
    ]
    return svg.columns(
        [str(level) for level in levels], series, "deepest level", "share of episodes", as_percent=True
    )


def _depth_range(found: Evidence) -> tuple[float, float]:
    """Axis of mean deepest levels, from the first level on."""
    low = min(1.0, *(row["deepest_low"] for row in found.results))
    high = max(2.0, *(row["deepest_high"] for row in found.results))
    return low, low + 1.05 * (high - low)


def _lengths(config: Config, found: Evidence, bins: int = 10) -> Markup:
    """Share of each agent's episodes by their number of steps."""
    longest = max((max(one.steps, default=0) for one in found.episodes), default=0)
    edges = np.linspace(0, max(config.evaluate.max_steps, longest), bins + 1)
    series = [
        svg.Series(
            one.agent,
            [],
            (np.histogram(one.steps, edges)[0] / max(1, len(one.steps))).tolist(),
            agent_colour(one.agent),
        )
        for one in found.episodes
    ]
    labels = [f"≤ {svg.short(edge)}" for edge in edges[1:].tolist()]
    return svg.columns(labels, series, "environment steps", "share of episodes", as_percent=True)


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
            f" Training was confined to {config.nethack.levels} dungeons: the first rows meet their maps "
            "again, with other monsters, items and dice; the rows “new levels” meet maps never seen."
        )
    return said


def _limits(config: Config, found: Evidence) -> list[str]:
    """What a careful reader would object, said first."""
    main = _main_row(found)
    games = len({seeds for one in found.episodes for seeds in one.seeds})
    limits = [
        f"Each agent played {_thousands(main['episodes'])} episodes of at most "
        f"{_thousands(config.evaluate.max_steps)} steps, {_thousands(games)} different games in all. The "
        "intervals tell how much luck is in these episodes, not how much is in training: there was one "
        f"training run, with seed {config.run.seed}, and another seed may end elsewhere.",
    ]
    if found.curve:
        steps = found.curve[-1]["env_step"]
        limits.append(
            f"Training saw {_thousands(steps)} environment steps, {100 * steps / PUBLISHED_STEPS:.2g} % of "
            f"the {_thousands(PUBLISHED_STEPS)} for which the published MaestroMotif agents were trained."
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
        "The program over skills does a part of the work. What learning added is the difference between the "
        "untrained agent, which runs the same program, and the trained one."
    )
    limits.append(
        "The replay is one episode, chosen to be looked at: the first success, or without one the episode "
        "that went deepest. The table says how often such episodes happen."
    )
    return limits


# ---------------------------------------------------------------------------------------------------- writing


def agent_colour(name: str) -> str:
    """CSS class of an agent or a source of observations."""
    return name if name in (*AGENTS, *SOURCES) else "c9"


def _config_text(config: Config) -> str:
    """The config as YAML, without what only says where things lie and how fast they go on this machine."""
    values = config.model_dump(mode="json")
    for key in NOT_IN_KEYS - {"run.name"}:
        section, _, field = key.partition(".")
        values[section].pop(field)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _thousands(value: int | float) -> str:
    """12345.0 -> '12,345'."""
    return f"{int(value):,}"


def _number(value: Any) -> str:
    """A figure of a table: whole numbers whole, others with three digits, nothing for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _thousands(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def _interval(bounds: tuple[svg.Number, svg.Number], write: Callable[[svg.Number], str]) -> str:
    return f"{write(bounds[0])} to {write(bounds[1])}"


def _sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {_thousands(count)}" for name, count in counts.items())


def _and(words: list[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
