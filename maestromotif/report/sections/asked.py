"""The path of the run, and what a person asked for."""

from typing import Any

from maestromotif import skill as skills
from maestromotif.config.schema import Config
from maestromotif.report.colours import colour
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.evaluated import main_row
from maestromotif.report.sections.writing import percent, short, thousands
from maestromotif.tasks.task import tasks_of


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "path": _path(config, found),
        "skills": _skills(config, found),
        "asked_tasks": tasks_of(config),
    }


def _path(config: Config, found: Evidence) -> list[tuple[str, str, list[str]]]:
    """The stages in order: id of the section, name, and a few short facts."""
    stages: list[tuple[str, str, list[str]]] = [
        ("asked", "words", [f"{len(config.skills)} skills", _tasks(config)])
    ]
    if found.collected:
        plays = [f"{len(play.deepest)} {play.source}" for play in found.collected.plays]
        stages.append(("collect", "collect", [f"{thousands(found.collected.steps)} steps", *plays[:2]]))
    if found.labels:
        pairs = sum(one.pairs for one in found.labels)
        judged = max(len(one.captions) for one in found.labels)
        stages.append(("annotate", "annotate", [f"{judged} captions", f"{thousands(pairs)} pairs"]))
    if found.quality is not None:
        gold = [one["gold"]["report"]["decided"] for one in found.quality.values() if one.get("gold")]
        least = min((one["share"] for one in gold if one and one["share"] is not None), default=None)
        stages.append(
            ("quality", "quality", ["no gold set" if least is None else f"gold set ≥ {percent(least)}"])
        )
    if found.curation is not None:
        rows = found.curation["skills"].values()
        kept = min(
            (row["kept"]["share"] for row in rows if row["kept"] and row["kept"]["share"] is not None),
            default=None,
        )
        again = sum(
            row["fates"].get(fate, 0) for row in rows for fate in ("confirmed", "replaced", "dropped")
        )
        facts = [] if kept is None else [f"kept ≥ {percent(kept)}"]
        stages.append(("curate", "curate", [*facts, f"{thousands(again)} asked again"]))
    if found.rewards:
        known = [one.accuracy for one in found.rewards if one.accuracy is not None]
        worst = [f"accuracy ≥ {percent(min(known))}"] if known else []
        stages.append(("distil", "distil", [f"{len(found.rewards)} rewards", *worst]))
    if found.soup is not None:
        stages.append(("soup", "soup", ["rewards averaged"]))
    if found.gate is not None:
        count = len(found.gate["problems"])
        problems = "passed" if not count else "1 problem" if count == 1 else f"{count} problems"
        judged = sum(row["judged"] for row in found.gate["rows"])
        stages.append(("gate", "gate", [problems, f"{judged} events judged"]))
    if found.curve:
        steps = short(found.curve[-1]["env_step"])
        stages.append(("train", "train", [f"{steps} steps", f"{config.nethack.games} games"]))
    if found.programs:
        stages.append(("compose", "compose", [_tasks(config)]))
    if found.results:
        best = main_row(found)
        reached = f"level {best['deepest_mean']:.2f} on average"
        if best["success"] is not None:
            reached = f"{percent(best['success'])} success"
        stages.append(("evaluate", "evaluate", [f"{best['episodes']} episodes", reached]))
    return stages


def _tasks(config: Config) -> str:
    return config.tasks[0] if len(config.tasks) == 1 else f"{len(config.tasks)} tasks"


def _skills(config: Config, found: Evidence) -> list[dict[str, str]]:
    """Name, text and file of each skill; the text is the one that the reward models were made from."""
    if found.rewards:
        texts = [card.description for card in found.rewards]
    else:
        texts = [one.description for one in skills.skills_of(config)]
    return [
        {"name": name, "css": colour(index), "description": text, "file": f"skills/{name}.md"}
        for index, (name, text) in enumerate(zip(config.skills, texts, strict=True))
    ]
