"""The provenance of a program, from the comment block at its top.

The block is YAML behind '#': the key `provenance` with

model           the language model that wrote the program
date            when it was written
prompt          the prompt's file, relative to the program's folder
prompt_sha256   SHA-256 of that file when the program was written
score           its measured success, or null

and for a skill's program also `text` and `text_sha256`: the skill's text that it was written from. A program
that a search found has `search`: what was searched, and its score there.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

from maestromotif.errors import UserError, did_you_mean
from maestromotif.reading import parse_yaml, yaml_value

REQUIRED = ("model", "date", "prompt", "prompt_sha256", "score")
_OPTIONAL = ("text", "text_sha256", "search")


def parse(source: str, path: str) -> dict[str, Any]:
    """The header's keys and values as plain JSON. Raises UserError for missing, unknown or bad keys."""
    block = []
    for line in source.split("\n"):
        if not line.startswith("#"):
            break
        block.append(line.removeprefix("#").removeprefix(" "))
    try:
        node = parse_yaml("\n".join(block), path)
    except UserError as error:
        raise UserError(f"{error}; the comment at the top is the provenance header, in YAML") from error
    head = None if node is None else yaml_value(node)
    fields = head.get("provenance") if isinstance(head, dict) else None
    if not isinstance(fields, dict):
        raise UserError(
            f"{path}:1: no provenance header; the file must begin with a comment '# provenance:' that has "
            f"{', '.join(REQUIRED)}; 'maestromotif prompt CONFIG {Path(path).stem}' prints one"
        )
    missing = [key for key in REQUIRED if key not in fields]
    unknown = [str(key) for key in fields if key not in (*REQUIRED, *_OPTIONAL)]
    problems = [f"{path}:1: the provenance header lacks '{key}'" for key in missing]
    for key in unknown:
        hint = did_you_mean(key, (*REQUIRED, *_OPTIONAL))
        problems.append(f"{path}:1: the provenance header has an unknown key '{key}'{hint}")
    for key in ("model", "date", "prompt", "prompt_sha256"):
        if key in fields and not fields[key]:
            problems.append(f"{path}:1: '{key}' of the provenance header is empty")
    score = fields.get("score")
    if score is not None and (type(score) not in (int, float) or not math.isfinite(score)):
        problems.append(f"{path}:1: 'score' of the provenance header must be a number or null, got {score!r}")
    if problems:
        raise UserError("\n".join(problems))
    return {key: value if key == "score" else str(value) for key, value in fields.items()}


def stale(fields: dict[str, Any], path: Path) -> list[str]:
    """Reasons for a stale program: files named in its header that are missing or have changed since."""
    found = []
    for key in ("prompt", "text"):
        if key in fields:
            file = path.parent / str(fields[key])
            if not file.is_file():
                found.append(f"{fields[key]} is missing")
            elif hashlib.sha256(file.read_bytes()).hexdigest() != fields.get(f"{key}_sha256"):
                found.append(f"{fields[key]} has changed since")
    return found
