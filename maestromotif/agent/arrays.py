"""Host and device arrays, and jitted functions."""

from typing import Any

import jax
import numpy as np

Array = jax.Array | np.ndarray  # a function that runs under `jit` takes either


def compilations(function: Any) -> int:
    """How often a jitted function was compiled: once per combination of shapes and dtypes."""
    return int(function._cache_size())
