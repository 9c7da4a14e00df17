"""What the machine has room for: how many workers, and whether so many games fit at all."""

import os
import resource
import tempfile
from pathlib import Path

from maestromotif.errors import UserError

GAMES_A_WORKER = 32  # enough to hide a worker's waiting, few enough for its core's caches

# Measured on x86-64 Linux, rounded up.
_GAME = {"shared": 2.7e6, "stock": 3.7e6}
_WORKER = 40e6
_FILES_A_GAME = 3
_FILES = 64  # of a process without games


def short_temporary_folder() -> str:
    """The folder for temporary files, or /tmp where its path is too long for what is put there.

    NetHack takes 127 bytes for the path of its options, and Linux 107 for that of a socket.
    """
    folder = tempfile.gettempdir()
    longest = 107 - len("/pymp-12345678/listener-12345678")
    return folder if len(os.fsencode(folder)) <= longest else "/tmp"


def available_cores() -> int:
    """Cores that this process may use: its affinity, and a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no container, or no quota ("max")
        pass
    return cores


def memory() -> tuple[int, int] | None:
    """(total, available) bytes for this process: of the machine, or of its container if that has less.

    None where the machine does not tell.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no container, or no limit ("max")
        return total, free
    return min(total, limit), min(free, limit - used)


def check_room(games: int, workers: int, observations: int, loader: str) -> None:
    """Raises UserError when the games cannot fit into memory or need more files than a process may open.

    observations: bytes of shared memory.
    """
    needed = int(games * _GAME[loader] + workers * _WORKER + observations)
    known = memory()
    if known is not None and needed > known[1]:
        free = known[1]
        raise UserError(
            f"nethack.games: {games} games in {workers} worker processes need about {needed / 1e9:.1f} GB, "
            f"and {free / 1e9:.1f} GB are free; about {int(games * free / needed)} games would fit"
        )
    a_worker = -(-games // workers)
    files = max(a_worker * _FILES_A_GAME, 2 * workers) + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and files > soft:
        if hard != resource.RLIM_INFINITY and files > hard:
            raise UserError(
                f"nethack.games: {a_worker} games in each of {workers} worker processes need about {files} "
                f"open files a process, and {hard} are allowed (ulimit -Hn); "
                "use more nethack.workers or fewer games"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
