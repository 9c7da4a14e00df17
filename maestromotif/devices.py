"""The devices that JAX computes on, and what is wrong if it finds none."""

import os
import subprocess
import sys
from typing import Any

from maestromotif.errors import UserError

VARIABLE = "JAX_PLATFORMS"
LONGEST = 120.0  # seconds for JAX to start

_LOOK = "from maestromotif.devices import local_devices; local_devices()"


def local_devices() -> list[Any]:
    """The JAX devices of this process, at least one. Starts JAX. Raises UserError if it cannot start."""
    import jax

    try:
        return list(jax.local_devices())
    except Exception as error:  # whatever a driver or plug-in raises; for a missing one without a word
        said = " ".join(str(error).split()) or "JAX does not say why"
        asked = os.environ.get(VARIABLE)
        if not asked:
            raise UserError(f"JAX has no device here: {said}") from error
        raise UserError(
            f"{VARIABLE}: asks JAX for {asked}, which is not here ({said}); unset it, set it to cpu, or "
            "install the extra 'gpu': maestromotif doctor prints the command"
        ) from error


def check_devices() -> None:
    """Raises UserError, before anything starts, if the environment asks JAX for a device that is not here.

    Another process looks, because JAX would take the memory of a GPU that a language model needs first.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if asked in ("", "cpu"):
        return
    code = f"import sys\nfrom maestromotif.errors import UserError\ntry:\n    {_LOOK}\n" + (
        "except UserError as error:\n    sys.exit(str(error))\n"
    )
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        looked = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:  # slow is not absent
        return
    if looked.returncode == 1 and looked.stderr.strip():
        raise UserError(looked.stderr.strip().splitlines()[-1])
