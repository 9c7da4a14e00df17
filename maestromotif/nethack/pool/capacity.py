"""Checks that the games fit on the machine."""

import resource
import shutil

from maestromotif.errors import UserError
from maestromotif.machine import memory
from maestromotif.nethack.temporary import short_temporary_folder

# Bytes per game and worker, measured by `benchmarks/soak.py` on x86-64 Linux, rounded up; open files.
_GAME = {"shared": 2.7e6, "stock": 3.7e6}
_WORKER = 40e6
_FILES_A_GAME = 3
_FILES = 64  # of a process without games
# Bytes in the folder for temporary files: of a game that visits dozens of levels, and of an arena's data.
_ON_DISK, _ARENA_ON_DISK = 100_000, 4_000_000


def check_room(games: int, workers: int, observations: int, loader: str, arenas: int = 0) -> None:
    """Raises UserError if the games do not fit into memory, or on the disk for temporary files, or need more
    files than a process may open.

    observations: bytes of shared memory. arenas: number of arenas.
    """
    needed = int(games * _GAME[loader] + workers * _WORKER + observations)
    known = memory()
    if known is not None and needed > known[1]:
        free = known[1]
        raise UserError(
            f"nethack.games: {games} games in {workers} worker processes need about {needed / 1e9:.1f} GB, "
            f"but {free / 1e9:.1f} GB are free; about {int(games * free / needed)} games would fit"
        )
    folder = short_temporary_folder()
    on_disk, room = games * _ON_DISK + arenas * _ARENA_ON_DISK, shutil.disk_usage(folder).free
    if on_disk > room:
        raise UserError(
            f"nethack.games: {games} games need about {on_disk / 1e6:.1f} MB for temporary files in "
            f"{folder}, but {room / 1e6:.1f} MB are free there; free some space, or set TMPDIR to another "
            "folder"
        )
    a_worker = -(-games // workers)
    files = max(a_worker * _FILES_A_GAME, 2 * workers) + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and files > soft:
        if hard != resource.RLIM_INFINITY and files > hard:
            raise UserError(
                f"nethack.games: {a_worker} games in each of {workers} worker processes need about {files} "
                f"open files per process, but {hard} are allowed (ulimit -Hn); raise the limit with: ulimit "
                f"-n {files}, or use more nethack.workers or fewer games"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
