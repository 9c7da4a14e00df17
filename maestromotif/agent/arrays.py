"""Arrays of the host and of the device, and functions compiled for the device."""

from typing import Any

import jax
import numpy as np

Array = jax.Array | np.ndarray  # functions that run under `jit` are given either


def compilations(function: Any) -> int:
    """How often a jitted function was compiled: once for each kind of arguments."""
    return int(function._cache_size())
