"""The files of labels, by `annotate` and `curate`: the judged captions, and each skill's pairs of them.

captions.jsonl             id, message (Latin-1), changes, count, caption: one line a judged caption
<skill>/preferences.npz    P pairs: first, second int32 (caption ids), label float32 (1 where the first is
the better, 0 the second, 1/2 a tie), margin float32 (log-odds); from `annotate`
also consistent bool, whether both orders or wordings agree
<skill>/scores.jsonl       id, score: what a caption was judged alone
<skill>/quality.json       figures of the labels
"""

from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.reading import INTEGER, read_arrays, read_json_lines

CAPTIONS = "captions.jsonl"
PREFERENCES = "preferences.npz"
SCORES = "scores.jsonl"
FIGURES = "quality.json"


def read_captions(folder: Path) -> list[dict[str, Any]]:
    """The judged captions in a folder of `annotate`: message (Latin-1), changes, count, caption.

    Raises UserError that names the line if one is damaged.
    """
    rows = list(read_json_lines(folder / CAPTIONS))
    for where, row in rows:
        message, changes = (
            row.get(name) if isinstance(row, dict) else None for name in ("message", "changes")
        )
        if not isinstance(message, str) or (not message.isascii() and max(message) > "\xff"):
            raise UserError(f"{where}: 'message' must be a text in Latin-1; run `annotate` again")
        if not isinstance(changes, list) or not all(
            type(code) is int and -128 <= code < 128 for code in changes
        ):
            raise UserError(f"{where}: 'changes' must be a list of codes; run `annotate` again")
    return [row for _, row in rows]


def write_preferences(work: Work, skill: str, pairs: np.ndarray, **columns: np.ndarray) -> None:
    """pairs: int [P, 2]; columns: label, margin and, of `annotate`, consistent, each [P]."""
    first, second = pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32)
    work.write_arrays(f"{skill}/{PREFERENCES}", first=first, second=second, **columns)


def read_preferences(folder: Path, skill: str) -> dict[str, np.ndarray]:
    """The pairs int32 [P, 2] under `pairs`, and the other columns under their names."""
    path = folder / skill / PREFERENCES
    columns = read_arrays(
        path,
        {"first": INTEGER, "second": INTEGER, "label": "f", "margin": "f"},
        optional={"consistent": "b"},
        remedy="run `annotate` again",
    )
    if len({(column.ndim, len(column)) for column in columns.values()}) > 1:
        raise UserError(f"{path}: damaged: its arrays differ in length; run `annotate` again")
    return {"pairs": np.column_stack([columns.pop("first"), columns.pop("second")]), **columns}
