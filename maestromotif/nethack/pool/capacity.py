"""Checks that the games fit on the machine, and chooses the folder for their temporary files."""

import os
import resource
import tempfile

from maestromotif.errors import UserError
from maestromotif.machine import memory

# Bytes per game and worker, measured by `benchmarks/soak.py` on x86-64 Linux, rounded up; open files.
_GAME = {"shared": 2.7e6, "stock": 3.7e6}
_WORKER = 40e6
_FILES_A_GAME = 3
_FILES = 64  # of a process without games


def short_temporary_folder() -> str:
    """The folder for temporary files, or /tmp if its path is too long.

    NetHack allows 127 bytes for the path of its options, and Linux 107 for the path of a socket.
    """
    folder = tempfile.gettempdir()
    longest = 107 - len("/pymp-12345678/listener-12345678")
    return folder if len(os.fsencode(folder)) <= longest else "/tmp"


def check_room(games: int, workers: int, observations: int, loader: str) -> None:
    """Raises UserError if the games do not fit into memory or need more files than a process may open.

    observations: bytes of shared memory.
    """
    needed = int(games * _GAME[loader] + workers * _WORKER + observations)
    known = memory()
    if known is not None and needed > known[1]:
        free = known[1]
        raise UserError(
            f"nethack.games: {games} games in {workers} worker processes need about {needed / 1e9:.1f} GB, "
            f"but {free / 1e9:.1f} GB are free; about {int(games * free / needed)} games would fit"
        )
    a_worker = -(-games // workers)
    files = max(a_worker * _FILES_A_GAME, 2 * workers) + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and files > soft:
        if hard != resource.RLIM_INFINITY and files > hard:
            raise UserError(
                f"nethack.games: {a_worker} games in each of {workers} worker processes need about {files} "
                f"open files per process, but {hard} are allowed (ulimit -Hn); "
                "use more nethack.workers or fewer games"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
