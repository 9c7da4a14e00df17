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
from maestromotif.reading import read_arrays, read_json_lines

CAPTIONS = "captions.jsonl"
PREFERENCES = "preferences.npz"
SCORES = "scores.jsonl"
FIGURES = "quality.json"


def read_captions(folder: Path) -> list[dict[str, Any]]:
    """The judged captions in a folder of `annotate`: message (Latin-1), changes, count, caption."""
    return [row for _, row in read_json_lines(folder / CAPTIONS)]


def write_preferences(work: Work, skill: str, pairs: np.ndarray, **columns: np.ndarray) -> None:
    """pairs: int [P, 2]; columns: label, margin and, of `annotate`, consistent, each [P]."""
    first, second = pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32)
    work.write_arrays(f"{skill}/{PREFERENCES}", first=first, second=second, **columns)


def read_preferences(folder: Path, skill: str) -> dict[str, np.ndarray]:
    """The pairs int32 [P, 2] under `pairs`, and the other columns under their names."""
    path = folder / skill / PREFERENCES
    columns = read_arrays(
        path, "first", "second", "label", "margin", optional=["consistent"], remedy="run `annotate` again"
    )
    if len({(column.ndim, len(column)) for column in columns.values()}) > 1:
        raise UserError(f"{path}: damaged: its arrays differ in length; run `annotate` again")
    return {"pairs": np.column_stack([columns.pop("first"), columns.pop("second")]), **columns}
