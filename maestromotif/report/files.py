"""Files of artefacts, read and compared with a shape. Whatever is wrong is a UserError with file and field.

A shape is a type or several (`NUMBER`, `str`, `(str, NONE)`), a dictionary of fields and their shapes (a name
that ends in "?" may be missing, unknown fields are ignored), a list of one shape, or `Each` of a shape.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.pipeline.store import MANIFEST

NONE = type(None)
NUMBER = (int, float)
MAYBE = (int, float, NONE)  # a number, or null for "not known"


@dataclass(frozen=True)
class Each:
    """A dictionary with any names, whose values have this shape."""

    shape: Any


SHARE = {"share": MAYBE, "low": MAYBE, "high": MAYBE, "n": int}  # `quality.figures.share`


def read_json(path: Path, shape: Any = dict) -> Any:
    """The file's content. Raises UserError if it is no JSON or has another shape."""
    value = _parsed(_text(path), str(path), path)
    check(value, shape, path)
    return value


def read_jsonl(path: Path, shape: Any = dict) -> list[dict[str, Any]]:
    """One value a line. Raises UserError that names the line."""
    rows = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line:
            row = _parsed(line, f"{path}:{number}", path)
            check(row, shape, path, place=f"{path}:{number}")
            rows.append(row)
    return rows


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz file. Raises UserError if it cannot be read or lacks one."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: needs the arrays {', '.join(names)} ({error}); {again(path)}") from error


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


def _wrong(place: str, field: str, needed: str, value: Any, path: Path) -> str:
    told = json.dumps(value) if not isinstance(value, dict | list) else f"a {type(value).__name__}"
    return f"{place}: {field or 'the file'} must be {needed}, not {told[:60]}; {again(path)}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; {again(path)}") from error


def _parsed(text: str, place: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error}); {again(path)}") from error
