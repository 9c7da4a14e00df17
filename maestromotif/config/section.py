"""The base of all sections of a config."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

MOST = 2**53  # whole numbers below it are exact as float64, and fit the counters of all stages


class Section(BaseModel):
    """Unknown keys are errors. It is frozen, so it can be shared and hashed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _is_not_too_large(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) >= MOST:
            raise ValueError("should be less than 2**53")
        return value
