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
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from maestromotif.config import relations
from maestromotif.config.keys import Key, defaults, field_of, may_hold_a_key
from maestromotif.config.schema import Config
from maestromotif.config.sources import COMMAND_LINE, Layer, Sources, first_line, joined
from maestromotif.errors import UserError

CONFIG = "config.yaml"  # of a folder that has a config, such as a run's


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Loads a file with overrides `key.sub=value`. Raises UserError with all mistakes, one per line."""
    sources = Sources()
    if not str(path):
        raise UserError(f"{COMMAND_LINE}: the name of the config is empty")
    inside = Path(path) / CONFIG
    if str(path).startswith("-"):
        raise UserError(f"{COMMAND_LINE}: {path}: name the config first, then KEY=VALUE without dashes")
    sources.read(inside if inside.is_file() else Path(path))
    given = [sources.override(text) for text in joined(overrides)]
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
        for key, told in relations.broken(config):
            sources.report(key, told)
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


def _merge(sources: Sources, below: Any, layer: Layer) -> Any:
    try:
        return OmegaConf.merge(below, layer.values)
    except (OmegaConfBaseException, TypeError) as error:
        found = [*_misfits(OmegaConf.to_container(below), OmegaConf.to_container(layer.values))]
        for key, needed, value in found:
            got = "" if may_hold_a_key(field_of(key)) else f" (got {value!r})"
            sources.report(key, f"should be {needed}{got}")
        if not found:
            sources.problems.append(f"{layer.name}: {first_line(error)}")
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
            sources.report((*key, name), first_line(error))
    if isinstance(node, ListConfig):
        return [value for _, value in pairs]
    return {str(name): value for name, value in pairs}


def _leaves(values: Any, key: Key = ()) -> dict[Key, Any]:
    """Key -> value for everything below that is not a mapping."""
    if not isinstance(values, dict):
        return {key: values}
    return {
        inner: leaf for name, value in values.items() for inner, leaf in _leaves(value, (*key, name)).items()
    }


def _escape(value: Any) -> Any:
    """Escapes a literal `${` in strings, so that loading does not read it as a reference."""
    if isinstance(value, dict):
        return {name: _escape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return value
