"""The files and overrides that a config's values come from, and the mistakes in them, each with its place."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel

from maestromotif.config.keys import (
    Key,
    field_of,
    kinds_of,
    may_hold_a_key,
    model_of,
    section_of,
    suggestion,
    written,
)
from maestromotif.config.references import functions_below, functions_in, refusal
from maestromotif.config.schema import FORMER, Config
from maestromotif.errors import UserError, did_you_mean, elsewhere
from maestromotif.reading import parse_yaml, read_text

COMMAND_LINE = "command line"
_NULLS = ("", "null")  # overrides that mean no value, where a text may be left out


@dataclass
class Layer:
    """One YAML file."""

    name: str
    values: DictConfig
    root: yaml.Node | None

    def line(self, key: Key) -> int | None:
        """The line, from 1, on which the file sets the key; None if it does not."""
        node, line = self.root, None
        for part in key:
            if isinstance(node, yaml.MappingNode):
                found = [
                    (k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == str(part)
                ]
                if not found:
                    return None
                line, node = found[-1][0].start_mark.line + 1, found[-1][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                return None
        return line


@dataclass
class Sources:
    """The files and overrides that values come from, and the mistakes in them."""

    layers: list[Layer] = field(default_factory=list)
    overridden: list[Key] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def stop_at_problems(self) -> None:
        if self.problems:
            raise self.error()

    def error(self) -> UserError:
        return UserError("\n".join(self.problems))

    def read(self, path: Path, asked_by: tuple[Path, ...] = ()) -> None:
        """Reads a file and, before it, those that it extends."""
        name = _shown(path)
        extended = f" (extended by {_shown(asked_by[-1])})" if asked_by else ""
        if _real(path) in map(_real, asked_by):
            cycle = " -> ".join(_shown(other) for other in (*asked_by, path))
            self.problems.append(f"{name}: 'extends' forms a cycle: {cycle}")
            return
        try:
            text = read_text(path)
            root = parse_yaml(text, name)
            values = OmegaConf.create(text) if root is not None else OmegaConf.create({})
        except UserError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            told = (
                f"{name}: no such file{extended}{_similar_files(path)}" if missing else f"{error}{extended}"
            )
            if path.suffix == ".md" and not missing:
                told += "; a config is a YAML file, such as configs/quickstart.yaml"
            self.problems.append(told)
        except yaml.YAMLError as error:  # OmegaConf's parser is libyaml, which is stricter in odd cases
            mark = getattr(error, "problem_mark", None)
            place = name if mark is None else f"{name}:{mark.line + 1}"
            self.problems.append(
                f"{place}: is not valid YAML: {getattr(error, 'problem', None) or first_line(error)}"
            )
        except OmegaConfBaseException:
            self._report_interpolations(name, root)
        else:
            # OmegaConf turns a text without a colon into {"abc": None}
            if not isinstance(values, DictConfig) or not isinstance(root, yaml.MappingNode | None):
                self.problems.append(f"{name}: should hold 'key: value' lines")
                return
            calls = [f"{name}:{line}: {refusal(call)}" for line, call in functions_below(root)]
            if calls:
                self.problems += calls
                return
            self._extend(path, Layer(name, values, root), asked_by)

    def _extend(self, path: Path, layer: Layer, asked_by: tuple[Path, ...]) -> None:
        bases = cast(dict[str, Any], OmegaConf.to_container(layer.values)).get("extends")
        if bases is not None or "extends" in layer.values:
            del layer.values["extends"]
        bases = [] if bases is None else bases if isinstance(bases, list) else [bases]
        # Names of files are needed before any value is known, so that they cannot refer to one.
        if not all(isinstance(base, str) and "${" not in base and "\0" not in base for base in bases):
            line = layer.line(("extends",))
            self.problems.append(
                f"{layer.name}:{line}: extends: should be a file or a list of files (got {bases!r})"
            )
            return
        for base in bases:
            self.read(path.parent / base, (*asked_by, path))
        _drop_empty_sections(layer.values, Config)
        self.layers.append(layer)

    def _report_interpolations(self, name: str, node: yaml.Node | None) -> None:
        """Reports the strings below a node in which `${` is not followed by a key and `}`."""
        if isinstance(node, yaml.ScalarNode):
            try:
                OmegaConf.create({"value": node.value})
            except OmegaConfBaseException:
                self.problems.append(
                    f"{name}:{node.start_mark.line + 1}: '${{' starts a reference such as ${{run.seed}}; "
                    f"write '\\${{' for the literal characters (got {node.value!r})"
                )
        elif isinstance(node, yaml.CollectionNode):
            for item in node.value:
                for part in item if isinstance(item, tuple) else (item,):
                    self._report_interpolations(name, part)

    def override(self, text: str) -> Layer | None:
        """An override as a layer; reports a problem and returns None if it is not valid."""
        if text.startswith("-"):
            bare = text.lstrip("-")
            example = bare if "=" in bare else f"{bare or 'train.steps'}=VALUE"
            self.problems.append(f"{COMMAND_LINE}: {text}: no dashes before an override; write {example}")
            return None
        name, equals, value = text.partition("=")
        key: Key = tuple(name.split("."))
        if not equals or not all(key):
            told = "".join(text.split(maxsplit=1)[:1])  # behind it may be a key
            self.problems.append(f"{COMMAND_LINE}: {told}: should be KEY=VALUE, such as train.steps=1000")
            return None
        if calls := functions_in(value):
            self.problems.append(f"{COMMAND_LINE}: {name}: {refusal(calls[0])}")
            return None
        try:
            parsed = _parsed(f"{COMMAND_LINE}: {name}", value, kinds_of(key))
        except (UserError, OmegaConfBaseException, yaml.YAMLError) as error:
            told = (
                str(error) if isinstance(error, UserError) else f"{COMMAND_LINE}: {name}: {first_line(error)}"
            )
            self.problems.append(f"{told} (got {value!r})")
            return None
        self.overridden.append(key)
        nested: Any = parsed
        for part in reversed(key):
            nested = {part: nested}
        try:
            return Layer(COMMAND_LINE, OmegaConf.create(nested), None)
        except OmegaConfBaseException as error:
            self.problems.append(f"{COMMAND_LINE}: {name}: {first_line(error)} (got {value!r})")
            return None

    def where(self, key: Key) -> str:
        """The place to fix: the command line, or file:line of the last file that sets the key.

        For a missing key, the line of the nearest enclosing section in a file.
        """
        if any(key[: len(name)] == name or name[: len(key)] == key for name in self.overridden):
            return COMMAND_LINE
        for length in range(len(key), 0, -1):
            for layer in reversed(self.layers):
                if line := layer.line(key[:length]):
                    return f"{layer.name}:{line}"
        return self.layers[-1].name

    def report(self, key: Key, message: str) -> None:
        self.problems.append(f"{self.where(key)}: {written(key)}: {message}")

    def report_validation(self, problem: Any) -> None:
        """Reports one of pydantic's errors in our wording."""
        key: Key = tuple(part for part in problem["loc"] if part != "[key]")  # of a mapping's key, not value
        info = field_of(key)
        got = "" if may_hold_a_key(info) else f" (got {problem['input']!r})"
        match problem["type"]:
            case "extra_forbidden":
                if now := FORMER.get(written(key)):
                    self.report(key, now)
                else:
                    self.report(key, f"unknown key{suggestion(key)}")
            case "missing":
                meaning = f": {info.description}" if info and info.description else ""
                self.report(key, f"must be set{meaning}")
            case "model_type":
                names = ", ".join(model_of(key).model_fields)
                self.report(key, f"should be a section with some of the keys {names}{got}")
            case "tuple_type" | "list_type":
                self.report(key, f"should be a list, such as [one, two]{got}")
            case "too_short":
                self.report(key, f"should have at least one entry, as in [one]{got}")
            case "dict_type":
                self.report(key, f"should be lines of 'key: value'{got}")
            case "literal_error":
                legal = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
                hint = did_you_mean(str(problem["input"]), legal, otherwise="")
                self.report(key, f"should be {problem['ctx']['expected']}{got}{hint}")
            case _:
                message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
                self.report(key, message[:1].lower() + message[1:] + got)


def _drop_empty_sections(values: DictConfig, model: type[BaseModel]) -> None:
    """A section whose lines are all commented out sets nothing; YAML reads it as null."""
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is None or name not in values or OmegaConf.is_interpolation(values, name):
            continue
        if not OmegaConf.is_missing(values, name) and values[name] is None:
            values.pop(name)
        elif isinstance(values.get(name), DictConfig):
            _drop_empty_sections(values[name], section)


def joined(overrides: Sequence[str]) -> Iterator[str]:
    """Joins `--train.steps 1000` to one override, so that the hint can show the right form."""
    rest = list(overrides)
    while rest:
        text = rest.pop(0)
        if (
            text.startswith("-")
            and "=" not in text
            and rest
            and "=" not in rest[0]
            and not rest[0].startswith("-")
        ):
            text = f"{text}={rest.pop(0)}"
        yield text


def _parsed(where: str, value: str, kinds: tuple[Any, ...]) -> Any:
    """The value of an override: text as it is written, all else as YAML.

    So run.name=2026 is a text, and nethack.options='my #1 file' has no comment.
    Raises UserError, or an error of OmegaConf.
    """
    if str in kinds:
        return None if type(None) in kinds and value in _NULLS else value
    root = parse_yaml(value, where, first=None)
    if root is not None and root.end_mark.index < len(value.rstrip()):
        raise UserError(f"{where}: should be one value; what follows the first would be lost")
    return cast(Any, OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"])))["value"]


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return elsewhere(path)
    return did_you_mean(path.name, [other.name for other in path.parent.iterdir()], otherwise="")


def _shown(path: Path) -> str:
    """The path as a user would write it: relative where that is shorter."""
    if path.is_absolute() and not path.is_relative_to(Path.cwd()):
        return str(path)
    real = _real(path)
    return str(real.relative_to(Path.cwd())) if real.is_relative_to(Path.cwd()) else str(path)


def _real(path: Path) -> Path:
    """The path without links; as it is if the links form a loop."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def first_line(error: BaseException) -> str:
    """OmegaConf adds lines about its own internals."""
    return str(error).splitlines()[0]
