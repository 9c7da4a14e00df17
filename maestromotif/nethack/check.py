"""What the game needs on this machine, for `maestromotif doctor`."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from maestromotif.errors import Finding, UserError
from maestromotif.nethack.temporary import short_temporary_folder

SECONDS = 60  # for a trial that takes three on a quiet machine

ROOM = 10_000_000  # bytes for the temporary files of 64 games and an arena, rounded up

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
    """Looks at the folder for temporary files and plays ten steps of NetHack.

    It plays in another process, because a broken native library takes its process along.
    """
    yield temporary()
    try:
        trial = subprocess.run(
            [sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("missing", f"NetHack did not play ten steps in {SECONDS} s", extra="")
        return
    if trial.returncode != 0:
        last = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
        refusal = "maestromotif.errors.UserError: "  # which says what helps; else the package is broken
        says = f"NetHack does not play: {last.removeprefix(refusal)}"
        yield Finding("missing", says, extra=None if last.startswith(refusal) else "")
        return
    yield Finding("ok", "NetHack plays")
    reason = trial.stdout.strip()
    if reason:
        yield Finding("note", f"every game loads its own copy of NetHack, which is slower: {reason}")
    else:
        yield Finding("ok", "all games of a worker share one copy of NetHack's code")


def temporary() -> Finding:
    """Whether the folder for temporary files has room."""
    own = shlex.quote(str(Path.cwd() / "tmp"))
    another = f"mkdir -p {own} && export TMPDIR={own}"
    try:
        folder = short_temporary_folder()
        free = shutil.disk_usage(folder).free
    except (UserError, OSError) as error:
        return Finding("missing", str(error), another)
    says = f"{free / 1e6:,.0f} MB free for temporary files in {folder}"
    if os.environ.get("TMPDIR", folder) != folder:
        says += (
            f", not in TMPDIR={os.environ['TMPDIR']}, which cannot be written to or whose path is too long"
        )
    return Finding("ok", says) if free >= ROOM else Finding("missing", f"{says}; games need 10", another)
