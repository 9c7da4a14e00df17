"""Text files with a short YAML head between '---' lines and a body in plain words: skills and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maestromotif.errors import UserError, did_you_mean, elsewhere
from maestromotif.reading import is_there, parse_yaml, read_text, yaml_value


@dataclass(frozen=True)
class Headed:
    """A file's head and body. lines: of the head's keys in the file, from 1; `top`: of the head itself."""

    path: Path
    text: str
    values: dict[str, Any]
    lines: dict[str, int]
    top: int
    body: str

    def at(self, key: str) -> str:
        """file:line of a key, for messages."""
        return f"{self.path}:{self.lines.get(key, self.top)}"


def find(folder: str | Path, name: str, kind: str) -> Path:
    """`<folder>/<name>.md`. Raises UserError with the names that exist; kind: what the folder holds."""
    folder = Path(folder)
    path = folder / f"{name}.md"
    if is_there(path):  # whatever it is: who reads it says what is wrong
        return path
    if not folder.is_dir():
        raise UserError(f"{path}: no such file; the folder {folder} does not exist{elsewhere(folder)}")
    there = sorted(file.stem for file in folder.glob("*.md"))
    if not there:
        raise UserError(f"{path}: no such file; the folder {folder} holds no {kind} (*.md)")
    raise UserError(f"{path}: no such file{did_you_mean(name, there)}")


def read(path: Path, keys: Sequence[str], needed: Sequence[str], body: str) -> Headed:
    """Reads a file whose head has some of `keys`, and all that are `needed`.

    body: what the file must say below the head. Raises UserError that lists every mistake with its line.
    """
    text = read_text(path)
    head, top, words = _split(path, text, needed, body)
    node = parse_yaml(head, str(path), top)
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:{top}: the head must be lines of 'key: value' with {', '.join(keys)}")
    problems = []
    lines: dict[str, int] = {}
    for key_node, _ in node.value:
        line, key = top + key_node.start_mark.line, str(key_node.value)
        if key not in keys:
            problems.append(f"{path}:{line}: unknown key '{key}'{did_you_mean(key, keys)}")
        lines[key] = line
    problems += [f"{path}:{top}: the key '{key}' is missing" for key in needed if key not in lines]
    if problems:
        raise UserError("\n".join(problems))
    if not any(map(str.isalnum, words)):  # there are characters that nobody sees
        last = text.count("\n") + 1
        raise UserError(f"{path}:{last}: nothing below the head; {body}")
    values = {str(key): value for key, value in yaml_value(node).items()}
    return Headed(path, text, values, lines, top, words)


def _split(path: Path, text: str, needed: Sequence[str], body: str) -> tuple[str, int, str]:
    """(head, line number of its first line, body)."""
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise UserError(f"{path}:1: the file is empty; it needs a YAML head between '---' lines; {body}")
    if lines[first].strip() != "---":
        given = ", ".join(f"{key}:" for key in needed)
        raise UserError(
            f"{path}:{first + 1}: no head; the file must start with a line '---', then {given}, then another "
            "line '---'"
        )
    end = next((n for n in range(first + 1, len(lines)) if lines[n].strip() == "---"), None)
    if end is None:
        raise UserError(f"{path}:{first + 1}: the head is not closed; add a line '---' below it")
    return "\n".join(lines[first + 1 : end]), first + 2, "\n".join(lines[end + 1 :]).strip()
