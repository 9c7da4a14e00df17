"""What the game needs on this machine, for `maestromotif doctor`."""

import subprocess
import sys
from collections.abc import Iterator

from maestromotif.errors import Finding

SECONDS = 60  # for a trial that takes three on a quiet machine

TRIAL = """
import numpy as np
from maestromotif.nethack.engine.loader import why_not_shared
from maestromotif.nethack.pool.pool import GamePool
with GamePool(2, "collect", 0, 100, workers=1) as pool:
    pool.reset()
    for action in range(10):
        pool.step(np.full(2, action))
print(why_not_shared() or "")
"""


def check() -> Iterator[Finding]:
    """Plays ten steps of NetHack, in another process: a broken native library takes its process along."""
    try:
        trial = subprocess.run(
            [sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("missing", f"NetHack did not play ten steps in {SECONDS} s", extra="")
        return
    if trial.returncode != 0:
        last = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
        yield Finding("missing", f"NetHack does not play: {last}", extra="")
        return
    yield Finding("ok", "NetHack plays")
    reason = trial.stdout.strip()
    if reason:
        yield Finding("note", f"every game loads its own copy of NetHack, which is slower: {reason}")
    else:
        yield Finding("ok", "all games of a worker share one copy of NetHack's code")
