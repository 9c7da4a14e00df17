"""The command `judge`: judges pairs of captions from a file in the same way as the annotation.

An input line is {"skill": ..., "a": ..., "b": ...}: a skill's name or its text, and two captions as strings.
An output line is {"label": "a" | "b" | "tie" | null, "margin": ..., "consistent": ...}: the caption that the
model prefers (null: its answer was nonsense), the log-odds, and whether both orders agree.
"""

import json
import math
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maestromotif.annotate.answers import Judge
from maestromotif.annotate.labels import Comparison
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.progress import Progress
from maestromotif.reading import is_there, read_json_lines
from maestromotif.skill import load


class Pair(NamedTuple):
    skill: str
    a: str
    b: str


def judge_file(config: Config, path: Path) -> Iterator[str]:
    """Yields a line of JSON per line of the file. Raises UserError with file and line if a line is wrong."""
    pairs = read(path)
    judge, settings = Judge(config.language, config.annotate), config.annotate
    one = np.array([[0, 1]])  # the only pair of two captions
    comparisons = [Comparison(_goal(config, pair.skill), pair[1:], one, settings) for pair in pairs]
    asked = [question for comparison in comparisons for question in comparison.questions()]
    with Progress("judge", len(asked), "questions", done=sum(judge.known(asked))) as progress:
        judge.ask(asked, progress)
    for comparison in comparisons:
        found = comparison.label(judge)
        margin = float(found.margin[0])
        if math.isnan(margin):
            verdict: dict[str, Any] = {"label": None, "margin": None, "consistent": False}
        else:
            better = {1.0: "a", 0.0: "b", 0.5: "tie"}[float(found.label(settings)[0])]
            verdict = {"label": better, "margin": round(margin, 4), "consistent": bool(found.consistent[0])}
        yield json.dumps(verdict)


def read(path: Path) -> list[Pair]:
    """The pairs in the file. Raises UserError that names the line and what is wrong with it."""
    pairs = [_pair(found, where) for where, found in read_json_lines(path)]
    if not pairs:
        raise UserError(
            f'{path}: no pairs; a line should look like {{"skill": "descender", "a": "...", "b": "..."}}'
        )
    return pairs


def _pair(found: Any, where: str) -> Pair:
    if not isinstance(found, dict):
        raise UserError(f"{where}: should be a JSON object with the fields {', '.join(Pair._fields)}")
    for field in Pair._fields:
        if not isinstance(found.get(field), str) or not found[field].strip():
            raise UserError(
                f"{where}: the field '{field}' should be a text (got {reprlib.repr(found.get(field))})"
            )
    if unknown := sorted(set(found) - set(Pair._fields)):
        raise UserError(f"{where}: unknown field '{unknown[0]}'; known: {', '.join(Pair._fields)}")
    return Pair(*(found[field] for field in Pair._fields))


def _goal(config: Config, skill: str) -> str:
    """The text of the skill with this name, or `skill` itself if there is no such skill."""
    named = skill.isidentifier() and is_there(Path(config.skills_folder) / f"{skill}.md")
    return load(config.skills_folder, skill).description if named else skill
