"""What `conftest.py` promises: wrong types and shapes are errors in every test."""

import numpy as np
import pytest

from maestromotif.intervals import wilson
from maestromotif.rewards.model import one_hot_changes


def test_types_are_checked() -> None:
    with pytest.raises(TypeError, match="wilson"):
        wilson("three", 4)  # type: ignore[arg-type]


def test_shapes_are_checked() -> None:
    with pytest.raises(TypeError, match="one_hot_changes"):
        one_hot_changes(np.zeros(3, np.int32))  # type: ignore[arg-type]
