"""The base of all sections of a config."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown keys are errors. It is frozen, so it can be shared and hashed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
