"""Keys of a config, such as `train.steps`, and what the schema says about them."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maestromotif.config.schema import Config
from maestromotif.errors import did_you_mean

Key = tuple[str | int, ...]  # ("annotate", "changes", 0) is written annotate.changes[0]


def written(key: Key) -> str:
    """The key as users write it: annotate.changes[0]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section, else None."""
    for kind in _types(info):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def model_of(key: Key) -> type[BaseModel]:
    """The model of the innermost section on the way to the key."""
    model: type[BaseModel] = Config
    for part in key:
        info = model.model_fields.get(str(part))
        model = (info and section_of(info)) or model
    return model


def field_of(key: Key, model: type[BaseModel] = Config) -> FieldInfo | None:
    """The field that a key names, None if there is none."""
    info = model.model_fields.get(str(key[0]))
    if info is None or len(key) == 1:
        return info
    section = section_of(info)
    return field_of(key[1:], section) if section else None


def kinds_of(key: Key) -> tuple[Any, ...]:
    """The types of the value that a key names; also of one entry of a mapping, such as compose.programs.x."""
    info = field_of(key)
    if info is not None:
        return tuple(map(_plain, _types(info)))
    above = _types(found) if len(key) > 1 and (found := field_of(key[:-1])) else ()
    return tuple(_plain(get_args(kind)[1]) for kind in above if get_origin(kind) is dict)


def _types(info: FieldInfo) -> tuple[Any, ...]:
    """The alternatives of a union: `str | None` gives (str, NoneType), `int` gives (int,)."""
    union = get_origin(info.annotation) in (Union, UnionType)
    return get_args(info.annotation) if union else (info.annotation,)


def _plain(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def may_hold_a_key(info: FieldInfo | None) -> bool:
    """Whether a field or one of its section's is not to be shown, because users put keys there."""
    if info is None:
        return False
    section = section_of(info)
    return not info.repr or (section is not None and any(map(may_hold_a_key, section.model_fields.values())))


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The default of every field that has one, so that `${...}` can refer to values that no file sets."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if section := section_of(info):
            values[name] = defaults(section)
        elif not info.is_required():
            values[name] = info.get_default(call_default_factory=True)
    return values


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key below a model."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if section := section_of(info):
            yield from _all_keys(section, f"{prefix}{name}.")


def suggestion(key: Key) -> str:
    """A hint: the key in this section with the nearest spelling, or the same key in another section."""
    wrong, siblings = str(key[-1]), [*model_of(key[:-1]).model_fields, *([] if key[1:] else ["extends"])]
    if "." in wrong and field_of((*key[:-1], *wrong.split("."))) is not None:
        section, _, name = wrong.rpartition(".")
        return f"; in a file, write '{name}' below a line '{section.replace('.', ':, ')}:'"
    elsewhere = [repr(name) for name in _all_keys(Config) if name.rpartition(".")[2] == wrong]
    otherwise = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else None
    return did_you_mean(wrong, siblings, otherwise)
