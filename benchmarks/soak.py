"""What grows over a long run: memory, files, processes and descriptors. Ends with one line of JSON.

    python benchmarks/soak.py [--steps 10000000] [--games 64] [--minutes 60] [--config CONFIG] [--runs FOLDER]
        [KEY=VALUE]...

First a pool plays so many steps, over all games. Then the command line trains for so many minutes, with
everything that a user's training has, and is stopped with SIGTERM. Each part is looked at ten times. Growth
is the mean of the last three looks minus the third, so it leaves out what is built up at the beginning. 0
leaves a part out. `make soak` runs both, and fifty kills.

megabytes     memory of all processes, with shared memory counted once and without files (PSS): what counts of
              the pages of a library depends on which other processes have loaded it
files, disk_mb    in the folder for temporary files and, for the training, in the run's folder
processes, descriptors    of the session
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from engine import policy_like_actions

from maestromotif.nethack.pool.pool import GamePool
from maestromotif.tracking.journal import FOLDER, JOURNAL, read

LOOKS = 10
BEGINNING = 2  # the look that growth is measured from
COUNTED = ("Pss_Anon:", "Pss_Shmem:")  # in /proc/PID/smaps_rollup


def look(processes: Iterable[int], folders: Iterable[Path]) -> dict[str, float]:
    """What these processes and folders hold now."""
    found: dict[str, float] = defaultdict(float)
    for process in processes:
        place = Path("/proc", str(process))
        try:
            rollup = (place / "smaps_rollup").read_text().splitlines()
            descriptors = len(list((place / "fd").iterdir()))
        except OSError:  # it has ended
            continue
        kilobytes = sum(int(line.split()[1]) for line in rollup if line.startswith(COUNTED))
        found["megabytes"] += kilobytes / 1024
        found["descriptors"] += descriptors
        found["processes"] += 1
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                found["files"] += 1
                found["disk_mb"] += _size(Path(where, name)) / 1e6
    return {name: round(value, 1) for name, value in found.items()}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # removed since
        return 0


def session_of(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and os.getsid(int(place.name)) == leader:
                found.append(int(place.name))
        except OSError:  # it has ended
            continue
    return found


def summary(looks: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Of each figure: every look, and the growth."""
    names = sorted({name for one in looks for name in one})
    columns = {name: [one.get(name, 0.0) for one in looks] for name in names}
    growth = {
        name: round(float(np.mean(column[-3:])) - column[min(BEGINNING, len(column) - 1)], 1)
        for name, column in columns.items()
    }
    return columns | {"growth": growth}


def tell(done: str, one: dict[str, float]) -> None:
    print(f"{done:>24}: " + ", ".join(f"{name} {value:g}" for name, value in one.items()), flush=True)


def play(steps: int, games: int, folder: Path) -> dict[str, Any]:
    """A pool's part: `steps` over all games."""
    looks: list[dict[str, float]] = []
    each = max(LOOKS, steps // games)
    actions = policy_like_actions(2_000, games, 0)
    with GamePool(games, "train", 0, 10_000) as pool:
        pool.reset()
        own = [os.getpid(), *(process.pid or 0 for process in pool._processes)]
        for t in range(each):
            pool.step(actions[t % len(actions)])
            if (t + 1) % (each // LOOKS) == 0 and len(looks) < LOOKS:
                looks.append(look(own, [folder]))
                tell(f"{(t + 1) * games:,} steps", looks[-1])
        return {"steps": each * games, "games": games, "episodes": int(pool.episode.sum())} | summary(looks)


def train(minutes: float, config: str, overrides: Sequence[str], runs: Path, folder: Path) -> dict[str, Any]:
    """A training's part, from its first row of the learning curve on."""
    journal = runs / "soak" / FOLDER / JOURNAL
    words = [f"run.root={runs}", "run.name=soak", "train.steps=100000000000", "tracking.wandb=disabled"]
    process = subprocess.Popen(
        [sys.executable, "-m", "maestromotif", "run", config, *words, *overrides, "--until", "train"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    looks: list[dict[str, float]] = []
    try:
        while not _steps(journal):
            if process.poll() is not None:
                raise SystemExit(f"the training of {config} ended with status {process.returncode}")
            time.sleep(0.5)
        for _ in range(LOOKS):
            time.sleep(minutes * 60 / LOOKS)
            looks.append(look(session_of(process.pid), [folder, runs]))
            tell(f"{_steps(journal):,} steps", looks[-1])
        steps = _steps(journal)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(120)
    for _ in range(100):  # the last of its processes end when they see that it is gone
        if not (left := len(session_of(process.pid))):
            break
        time.sleep(0.3)
    return {"minutes": minutes, "steps": steps, "status": process.returncode, "left": left} | summary(looks)


def _steps(journal: Path) -> int:
    """Environment steps of the newest row that the training has logged; 0 without any."""
    rows = (one["step"] for one in read(journal) if one["stage"] == "train" and one["kind"] == "row")
    return max(rows, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000_000, help="of the pool, over all games")
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60, help="of training")
    parser.add_argument("--config", default="configs/descender_travel.yaml", help="of the training")
    parser.add_argument("--runs", type=Path, help="folder of the training's run; default: a temporary one")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for the training's config")
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        if given.steps:
            found["pool"] = play(given.steps, given.games, folder)
        if given.minutes:
            with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as another:
                runs = given.runs or Path(another)
                found["training"] = train(given.minutes, given.config, given.overrides, runs, folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
