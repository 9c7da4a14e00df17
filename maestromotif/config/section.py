"""The base of all sections of a config."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from maestromotif.reading import is_utf8

MOST = 2**53  # whole numbers below it are exact as float64, and fit the counters of all stages


def _as_written(path: str) -> str:
    if path.startswith("~"):
        raise ValueError("should be a whole path: '~' is not replaced here")
    return path


# A path, or a name that may be one, that is used as it is written. Those of language and annotate, which are
# the same for all runs of a user, may begin with '~'.
WrittenPath = Annotated[str, AfterValidator(_as_written)]

DISTINCT = "distinct"  # in the annotation of a list in which a name twice says nothing more


class Section(BaseModel):
    """Unknown keys are errors. It is frozen, so it can be shared and hashed.

    A number is not true or false, which YAML also writes as yes and no, and is less than `MOST`. A text has
    no zero byte, which no path and no process can be given, and can be saved as UTF-8.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_boolean(cls, value: Any, info: Any) -> Any:
        kinds = {*_kinds(cls.model_fields[str(info.field_name)].annotation)}
        if (
            kinds & {int, float}
            and bool not in kinds
            and any(isinstance(one, bool) for one in _leaves(value))
        ):
            raise ValueError("should be a number, not true or false, which YAML also writes as yes and no")
        return value

    @field_validator("*")
    @classmethod
    def _can_be_used(cls, value: Any) -> Any:
        if any(isinstance(one, int) and abs(one) >= MOST for one in _leaves(value)):
            raise ValueError("should be less than 2**53")
        if any(isinstance(one, str) and "\0" in one for one in _leaves(value)):
            raise ValueError("should have no zero byte")
        if any(isinstance(one, str) and not is_utf8(one) for one in _leaves(value)):
            raise ValueError("should be UTF-8 text; reach a file with another name through a link")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types in an annotation, such as str, float and dict of dict[str, float]."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _leaves(value: Any) -> Iterator[Any]:
    """The plain values in lists and mappings."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif not isinstance(value, BaseModel):
        yield value
