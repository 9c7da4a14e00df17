"""Limits of the system for a command. `preexec_fn` would fork the tests, whose JAX has threads."""

import sys


def limited(**limits: int) -> tuple[str, ...]:
    """The words before a command that set its limits, as in `limited(RLIMIT_FSIZE=4096)`."""
    code = (
        "import os, resource, sys\n"
        f"for name, most in {limits!r}.items():\n"
        "    resource.setrlimit(getattr(resource, name), (most, most))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return sys.executable, "-c", code
