"""Arrays of the host and of the device: functions that run under `jit` are given either."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
