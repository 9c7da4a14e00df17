"""Loads a config from YAML files and overrides, or reports every mistake in them at once.

    load("configs/quickstart.yaml", ["train.steps=2000"])

Instead of the file, its folder may be named if it is called config.yaml, as in a run's folder.
A file may name others under `extends:` (one or a list, relative to itself). Later ones win over earlier ones,
the file itself over those, and overrides over all. `${run.seed}` refers to another value. Mistakes look like

    configs/mine.yaml:12: train.step: unknown key; did you mean 'steps'?
    command line: train.gamma: should be less than or equal to 1 (got 2)

All settings and their defaults are in `schema.py`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from maestromotif.config.learning import CLONED
from maestromotif.config.references import functions_below, functions_in, refusal
from maestromotif.config.schema import AGENTS, FORMER, ONLY, Config
from maestromotif.errors import UserError, did_you_mean, elsewhere
from maestromotif.reading import parse_yaml, read_text

COMMAND_LINE = "command line"
CONFIG = "config.yaml"  # of a folder that has a config, such as a run's
_NULLS = ("", "null")  # overrides that mean no value, where a text may be left out
Key = tuple[str | int, ...]  # ("annotate", "changes", 0) is written annotate.changes[0]
_NO_REPETITION: tuple[Key, ...] = (  # lists in which a name twice says nothing more
    ("run", "further"),
    ("skills",),
    ("tasks",),
    ("annotate", "changes"),
    ("annotate", "statistics"),
    ("train", "network", "sees"),
    ("evaluate", "agents"),
    ("evaluate", "trainings"),
)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Loads a file with overrides `key.sub=value`. Raises UserError with all mistakes, one per line."""
    sources = Sources()
    if not str(path):
        raise UserError(f"{COMMAND_LINE}: the name of the config is empty")
    inside = Path(path) / CONFIG
    if str(path).startswith("-"):
        raise UserError(f"{COMMAND_LINE}: {path}: name the config first, then KEY=VALUE without dashes")
    sources.read(inside if inside.is_file() else Path(path))
    given = [sources.override(text) for text in _joined(overrides)]
    sources.stop_at_problems()

    merged = OmegaConf.create(defaults(Config))
    leaves: dict[Key, Any] = {}
    for layer in [*sources.layers, *filter(None, given)]:
        leaves |= _leaves(OmegaConf.to_container(layer.values))
        merged = _merge(sources, merged, layer)
    for key in (key for key, value in leaves.items() if value == "???"):  # what a base file left open
        sources.report(key, "must be set; it is still '???'")
    sources.stop_at_problems()

    values = _resolve(sources, merged, ())
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        for problem in problems:
            wrong_inside = any(problem["loc"] == other["loc"][:-1] for other in problems)
            if not (problem["type"] == "too_short" and wrong_inside):
                sources.report_validation(problem)
    else:
        _check_relations(sources, config)
        if not sources.problems:
            return config
    raise sources.error()


def dump(config: Config) -> str:
    """The whole config, defaults included, as YAML that `load` reads back to an equal config."""
    values = _escape(config.model_dump(mode="json"))
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes text that OmegaConf would read as a number, such as 0E0; YAML 1.1 does not."""


def _quoted_number(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        float(text)
    except ValueError:
        return dumper.represent_str(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'")


_Dumper.add_representer(str, _quoted_number)


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The default of every field that has one, so that `${...}` can refer to values that no file sets."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if section := _section(info):
            values[name] = defaults(section)
        elif not info.is_required():
            values[name] = info.get_default(call_default_factory=True)
    return values


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
                f"{place}: is not valid YAML: {getattr(error, 'problem', None) or _first_line(error)}"
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
            parsed = _parsed(f"{COMMAND_LINE}: {name}", value, _kinds(Config, key))
        except (UserError, OmegaConfBaseException, yaml.YAMLError) as error:
            told = (
                str(error)
                if isinstance(error, UserError)
                else f"{COMMAND_LINE}: {name}: {_first_line(error)}"
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
            self.problems.append(f"{COMMAND_LINE}: {name}: {_first_line(error)} (got {value!r})")
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
        self.problems.append(f"{self.where(key)}: {_written(key)}: {message}")

    def report_validation(self, problem: Any) -> None:
        """Reports one of pydantic's errors in our wording."""
        key: Key = tuple(part for part in problem["loc"] if part != "[key]")  # of a mapping's key, not value
        info = _field(Config, key)
        got = "" if _may_hold_a_key(info) else f" (got {problem['input']!r})"
        match problem["type"]:
            case "extra_forbidden":
                if now := FORMER.get(_written(key)):
                    self.report(key, now)
                else:
                    self.report(key, f"unknown key{_suggest(key)}")
            case "missing":
                meaning = f": {info.description}" if info and info.description else ""
                self.report(key, f"must be set{meaning}")
            case "model_type":
                names = ", ".join(_names(_model(key)))
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


def _may_hold_a_key(info: FieldInfo | None) -> bool:
    """Whether a field or one of its section's is not to be shown, because users put keys there."""
    if info is None:
        return False
    section = _section(info)
    return not info.repr or (section is not None and any(map(_may_hold_a_key, section.model_fields.values())))


def _joined(overrides: Sequence[str]) -> Iterator[str]:
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


def _merge(sources: Sources, below: Any, layer: Layer) -> Any:
    try:
        return OmegaConf.merge(below, layer.values)
    except (OmegaConfBaseException, TypeError) as error:
        found = [*_misfits(OmegaConf.to_container(below), OmegaConf.to_container(layer.values))]
        for key, needed, value in found:
            got = "" if _may_hold_a_key(_field(Config, key)) else f" (got {value!r})"
            sources.report(key, f"should be {needed}{got}")
        if not found:
            sources.problems.append(f"{layer.name}: {_first_line(error)}")
        return below


def _misfits(below: Any, above: Any, key: Key = ()) -> Iterator[tuple[Key, str, Any]]:
    """(key, what it should be, value) of each value that is a list and should be none, or the reverse.

    below, above: plain values; those above are laid over those below.
    """
    if isinstance(below, dict) and isinstance(above, dict):
        for name in below.keys() & above.keys():
            yield from _misfits(below[name], above[name], (*key, name))
    elif isinstance(below, dict) and isinstance(above, list):
        yield key, "lines of 'key: value'", above
    elif isinstance(below, list | tuple) and not isinstance(above, list | tuple):
        yield key, "a list, such as [one, two]", above


def _resolve(sources: Sources, node: Any, key: Key) -> Any:
    """Plain values with every `${...}` replaced; reports those that cannot be resolved."""
    if isinstance(node, DictConfig):
        names: list[Any] = list(node.keys())
    elif isinstance(node, ListConfig):
        names = list(range(len(node)))
    else:
        return node
    pairs = []
    for name in names:
        if OmegaConf.is_missing(node, name):
            continue
        try:
            pairs.append((name, _resolve(sources, node[name], (*key, name))))
        except OmegaConfBaseException as error:
            sources.report((*key, name), _first_line(error))
    if isinstance(node, ListConfig):
        return [value for _, value in pairs]
    return {str(name): value for name, value in pairs}


def _check_relations(sources: Sources, config: Config) -> None:
    """Checks what types cannot express: unique and known names, a divisor of the games."""
    values = config.model_dump()
    for key in _NO_REPETITION:
        names = _value(values, key)
        for index, name in enumerate(names):
            if name in names[:index]:
                sources.report((*key, index), f"'{name}' is listed twice")
    for index, name in enumerate(config.tasks):
        if name == "training" or name in config.skills:
            taken = "the training program" if name == "training" else "a skill"
            sources.report(("tasks", index), f"'{name}' is the name of {taken}; rename the task")
    known = (*AGENTS, *(f"{ONLY}{skill}" for skill in config.skills))
    for index, name in enumerate(config.evaluate.agents):
        if name not in known:
            hint = did_you_mean(name, known)
            sources.report(("evaluate", "agents", index), f"there is no agent '{name}'{hint}")
    for name in config.reward.quantile_of:
        if name not in config.skills:
            told = f"is not one of the run's skills, which are {', '.join(config.skills)}"
            sources.report(("reward", "quantile_of", name), told)
    if config.train.policy is not None and config.reward.online_steps is not None:
        sources.report(
            ("train", "policy"), "should be null, because reward.online_steps learns rewards during training"
        )
    if config.train.actors % config.train.devices:
        sources.report(
            ("train", "actors"),
            f"should be a multiple of train.devices = {config.train.devices} (got {config.train.actors})",
        )
    if config.nethack.games % config.train.actors:
        sources.report(
            ("train", "actors"),
            f"should divide nethack.games = {config.nethack.games} (got {config.train.actors})",
        )
    games, devices, minibatches = config.nethack.games, config.train.devices, config.train.minibatches
    if games % minibatches:
        sources.report(("train", "minibatches"), f"should divide nethack.games = {games} (got {minibatches})")
    elif games % (devices * minibatches):
        sources.report(
            ("train", "minibatches"),
            f"times train.devices = {devices} should divide nethack.games = {games} (got {minibatches})",
        )
    if config.train.teacher.policy == CLONED and "clone" not in config.run.further:
        sources.report(
            ("train", "teacher", "policy"),
            f"is {CLONED}, but no policy is cloned; add clone to run.further",
        )


def _value(values: dict[str, Any], key: Key) -> Any:
    """The value of a key of a dumped config."""
    found: Any = values
    for part in key:
        found = found[part]
    return found


def _leaves(values: Any, key: Key = ()) -> dict[Key, Any]:
    """Key -> value for everything below that is not a mapping."""
    if not isinstance(values, dict):
        return {key: values}
    return {
        inner: leaf for name, value in values.items() for inner, leaf in _leaves(value, (*key, name)).items()
    }


def _drop_empty_sections(values: DictConfig, model: type[BaseModel]) -> None:
    """A section whose lines are all commented out sets nothing; YAML reads it as null."""
    for name, info in model.model_fields.items():
        section = _section(info)
        if section is None or name not in values or OmegaConf.is_interpolation(values, name):
            continue
        if not OmegaConf.is_missing(values, name) and values[name] is None:
            values.pop(name)
        elif isinstance(values.get(name), DictConfig):
            _drop_empty_sections(values[name], section)


def _types(info: FieldInfo) -> tuple[Any, ...]:
    """The alternatives of a union: `str | None` gives (str, NoneType), `int` gives (int,)."""
    union = get_origin(info.annotation) in (Union, UnionType)
    return get_args(info.annotation) if union else (info.annotation,)


def _section(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section, else None."""
    for kind in _types(info):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _model(key: Key) -> type[BaseModel]:
    """The model of the innermost section on the way to the key."""
    model: type[BaseModel] = Config
    for part in key:
        info = model.model_fields.get(str(part))
        model = (info and _section(info)) or model
    return model


def _field(model: type[BaseModel], key: Key) -> FieldInfo | None:
    """The field that a key names, None if there is none."""
    info = model.model_fields.get(str(key[0]))
    if info is None or len(key) == 1:
        return info
    section = _section(info)
    return _field(section, key[1:]) if section else None


def _kinds(model: type[BaseModel], key: Key) -> tuple[Any, ...]:
    """The types of the value that a key names; also of one entry of a mapping, such as compose.programs.x."""
    info = _field(model, key)
    if info is not None:
        return tuple(map(_plain, _types(info)))
    above = _types(found) if len(key) > 1 and (found := _field(model, key[:-1])) else ()
    return tuple(_plain(get_args(kind)[1]) for kind in above if get_origin(kind) is dict)


def _plain(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


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


def _names(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key below a model."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if section := _section(info):
            yield from _all_keys(section, f"{prefix}{name}.")


def _suggest(key: Key) -> str:
    """A hint: the key in this section with the nearest spelling, or the same key in another section."""
    wrong, siblings = str(key[-1]), [*_names(_model(key[:-1])), *([] if key[1:] else ["extends"])]
    if "." in wrong and _field(Config, (*key[:-1], *wrong.split("."))) is not None:
        section, _, name = wrong.rpartition(".")
        return f"; in a file, write '{name}' below a line '{section.replace('.', ':, ')}:'"
    elsewhere = [repr(name) for name in _all_keys(Config) if name.rpartition(".")[2] == wrong]
    otherwise = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else None
    return did_you_mean(wrong, siblings, otherwise)


def _written(key: Key) -> str:
    """The key as users write it: annotate.changes[0]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


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


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return elsewhere(path)
    return did_you_mean(path.name, [other.name for other in path.parent.iterdir()], otherwise="")


def _first_line(error: BaseException) -> str:
    """OmegaConf adds lines about its own internals."""
    return str(error).splitlines()[0]


def _escape(value: Any) -> Any:
    """Escapes a literal `${` in strings, so that loading does not read it as a reference."""
    if isinstance(value, dict):
        return {name: _escape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return value
