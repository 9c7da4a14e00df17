"""The path of the run, and what a person asked for."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from maestromotif import skill as skills
from maestromotif.config.schema import Config
from maestromotif.report import svg
from maestromotif.report.evidence import Evidence
from maestromotif.report.sections.evaluated import main_row
from maestromotif.report.sections.writing import thousands


def values(config: Config, found: Evidence) -> dict[str, Any]:
    return {
        "path": _path(config, found),
        "skills": _skills(config, found),
        "skill_keys": [(name, svg.colour(index)) for index, name in enumerate(config.skills)],
    }


def _path(config: Config, found: Evidence) -> Markup:
    stages: list[tuple[str, str, list[str]]] = [
        ("asked", "words", [f"{len(config.skills)} skills", "1 task"])
    ]
    if found.collected:
        plays = [f"{len(play.deepest)} {play.source}" for play in found.collected.plays]
        stages.append(("collect", "collect", [f"{thousands(found.collected.steps)} steps", *plays[:2]]))
    if found.labels:
        pairs = sum(one.pairs for one in found.labels)
        judged = max(len(one.captions) for one in found.labels)
        stages.append(("annotate", "annotate", [f"{judged} captions", f"{thousands(pairs)} pairs"]))
    if found.rewards:
        known = [one.accuracy for one in found.rewards if one.accuracy is not None]
        worst = [f"accuracy ≥ {svg.percent(min(known))}"] if known else []
        stages.append(("distil", "distil", [f"{len(found.rewards)} rewards", *worst]))
    steps = svg.short(found.curve[-1]["env_step"]) if found.curve else "0"
    best = main_row(found)
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
        texts = [one.description for one in skills.skills_of(config)]
    return [
        {"name": name, "css": svg.colour(index), "description": text, "file": f"skills/{name}.md"}
        for index, (name, text) in enumerate(zip(config.skills, texts, strict=True))
    ]
