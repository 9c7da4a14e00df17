"""Files of artefacts, read and compared with a shape. Whatever is wrong is a UserError with file and field.

A shape is a type or several (`NUMBER`, `str`, `(str, NONE)`), a dictionary of fields and their shapes (a name
that ends in "?" may be missing, unknown fields are ignored), a list of one shape, `Each` of a shape, or a
`Rule`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif import reading
from maestromotif.errors import UserError
from maestromotif.pipeline.store import MANIFEST

NONE = type(None)
NUMBER = (int, float)
MAYBE = (int, float, NONE)  # a number, or null for "not known"


@dataclass(frozen=True)
class Each:
    """A dictionary with any names, whose values have this shape."""

    shape: Any


@dataclass(frozen=True)
class Rule:
    """A value for which `holds` is true; `needs` says in words what it must be."""

    needs: str
    holds: Callable[[Any], bool]


def _is_figure(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping) or not isinstance(value.get("n"), int):
        return False
    known = [value.get(name) for name in ("low", "high")] + [value.get("share", value.get("mean"))]
    return not value["n"] or all(isinstance(one, int | float) and math.isfinite(one) for one in known)


FIGURE = Rule("a share or mean with low, high and n, or null", _is_figure)  # of `quality.figures`


def read_json(path: Path, shape: Any = dict) -> Any:
    """The file's content. Raises UserError if it is no JSON or has another shape."""
    with _remedied(path):
        value = reading.read_json(path)
    check(value, shape, path)
    return value


def read_jsonl(path: Path, shape: Any = dict) -> list[dict[str, Any]]:
    """One value a line. Raises UserError that names the line."""
    with _remedied(path):
        rows = list(reading.read_json_lines(path))
    for place, row in rows:
        check(row, shape, path, place=place)
    return [row for _, row in rows]


def read_source(path: Path) -> str:
    """The text of a program. Raises UserError."""
    with _remedied(path):
        return reading.read_text(path)


def read_arrays(path: Path, **kinds: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz file, by their kinds as in `reading.read_arrays`. Raises UserError."""
    return reading.read_arrays(path, kinds, remedy=again(path))


def same_length(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Raises UserError unless all arrays have as many rows."""
    if len({len(one) for one in arrays.values()}) > 1:
        found = ", ".join(f"{name} {len(one)}" for name, one in arrays.items())
        raise UserError(f"{path}: its arrays need equally many rows (there are: {found}); {again(path)}")


def check(value: Any, shape: Any, path: Path, field: str = "", place: str = "") -> None:
    """Raises UserError, naming the field, unless `value` has the shape."""
    place = place or str(path)
    if isinstance(shape, Each | dict):
        if not isinstance(value, Mapping):
            raise UserError(_wrong(place, field, "an object with fields", value, path))
        if isinstance(shape, Each):
            parts = {name: (one, shape.shape) for name, one in value.items()}
        else:
            for name in shape:
                if not name.endswith("?") and name not in value:
                    known, inside = ", ".join(map(str, value)) or "none", f"{field}: " if field else ""
                    raise UserError(f"{place}: {inside}no field '{name}' (there is: {known}); {again(path)}")
            parts = {
                name.removesuffix("?"): (value[name.removesuffix("?")], of)
                for name, of in shape.items()
                if name.removesuffix("?") in value
            }
        for name, (one, of) in parts.items():
            check(one, of, path, f"{field}.{name}" if field else str(name), place)
    elif isinstance(shape, Rule):
        if not shape.holds(value):
            raise UserError(_wrong(place, field, shape.needs, value, path))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise UserError(_wrong(place, field, "a list", value, path))
        for index, one in enumerate(value):
            check(one, shape[0], path, f"{field}[{index}]", place)
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            needed = [_KINDS[kind] for kind in kinds if not (kind is int and float in kinds)]
            raise UserError(_wrong(place, field, " or ".join(needed), value, path))
        if number and not math.isfinite(value):
            raise UserError(_wrong(place, field, "a finite number", value, path))


def again(path: Path) -> str:
    """What to do about a damaged file."""
    return f"run the stage '{path_stage(path)}' again"


def path_stage(path: Path) -> str:
    """The stage whose artefact holds `path`: the folder above with a manifest, or else its own folder."""
    for folder in path.parents:
        if (folder / MANIFEST).is_file():
            return folder.name
    return path.parent.name


_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "an object with fields",
    list: "a list",
    NONE: "null",
}


@contextmanager
def _remedied(path: Path) -> Iterator[None]:
    """Adds to errors what to do about the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; {again(path)}") from error


def _wrong(place: str, field: str, needed: str, value: Any, path: Path) -> str:
    told = json.dumps(value) if not isinstance(value, dict | list) else f"a {type(value).__name__}"
    return f"{place}: {field or 'the file'} must be {needed}, not {told[:60]}; {again(path)}"
