"""NetHack as an engine that takes keys: with shared code where possible, otherwise as NLE loads it.

Both engines play the same games to the same observations. `shared.py` explains how and why code is shared.
"""

import _ctypes
import ctypes
import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Literal, Protocol, runtime_checkable

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.engine.elf import UnsuitableError
from maestromotif.nethack.engine.memory import file_in_memory
from maestromotif.nethack.engine.shared import SharedEngine, image
from maestromotif.nethack.seeds import BIRTHDAY, EpisodeSeeds

log = logging.getLogger("maestromotif")

NLE_VERSION = "1.3.0"
Loader = Literal["auto", "shared", "stock"]


@runtime_checkable
class Engine(Protocol):
    """One NetHack. Call `start` first, and nothing after `close`."""

    folder: Path  # where NetHack keeps this game's files

    def start(self, seeds: EpisodeSeeds) -> None:
        """Begin a new game; the last one may be in any state."""

    def send(self, key: int) -> None:
        """Press a key. On return the arrays hold the new observation."""

    def over(self) -> int:
        """Not 0 if the game is over."""

    def how_done(self) -> int:
        """How the game ended (`nle.nethack.DIED`, ...)."""

    def address(self, name: str) -> int:
        """Where this game keeps the exported variable of this name. Valid until `close`.

        Raises LookupError if the library has none.
        """

    def close(self) -> None: ...


def check_nle() -> None:
    """Raises UserError unless NLE is installed in exactly the version that this package needs."""
    try:
        found = metadata.version("nle")
    except metadata.PackageNotFoundError:
        found = None
    if found != NLE_VERSION:
        install = shlex.join([sys.executable, "-m", "pip", "install", f"nle=={NLE_VERSION}"])
        raise UserError(
            f"the game needs nle {NLE_VERSION}, but {f'nle {found}' if found else 'no nle'} is installed for "
            f"{sys.executable}; install it with: {install}"
        )


def choose(loader: Loader) -> Literal["shared", "stock"]:
    """The loader to use on this machine; for "auto" the shared one if possible.

    Raises UserError if "shared" is asked for and not possible.
    """
    check_nle()
    if loader == "stock":
        return "stock"
    reason = why_not_shared()
    if reason is None:
        return "shared"
    if loader == "shared":
        raise UserError(f"nethack.loader: shared: {reason}; use auto or stock")
    _tell(reason)
    return "stock"


@cache
def _tell(reason: str) -> None:
    """Says it once in a process, which may open many pools."""
    log.info("nethack.loader: every game loads its own copy of NetHack, which is slower: %s", reason)


def why_not_shared() -> str | None:
    """Why games cannot share NetHack's code on this machine; None if they can."""
    try:
        image()
    except UnsuitableError as reason:
        return str(reason)
    return None


def open_engine(
    loader: Literal["shared", "stock"],
    arrays: Mapping[str, np.ndarray],
    options: str,
    hackdir: Path | None,
    folder: Path,
) -> Engine:
    """A NetHack that writes its observations into `arrays`.

    arrays: by NLE's names, C-contiguous, with NLE's shapes and dtypes; they must outlive the engine.
    options: NETHACKOPTIONS. hackdir: folder of NetHack's data file `nhdat`; None: NLE's own. folder: an
    existing folder for temporary files; several engines may share it.
    """
    engine = SharedEngine if loader == "shared" else _StockEngine
    return engine(arrays, options, hackdir or _nle_hackdir(), folder)


def _nle_hackdir() -> Path:
    from nle.nethack.nethack import HACKDIR

    return Path(HACKDIR)


def address_in(library: str, name: str) -> int:
    """Where a library that NLE has loaded keeps its variable of this name. Raises LookupError."""
    loaded = ctypes.CDLL(library)
    try:
        return ctypes.addressof(ctypes.c_char.in_dll(loaded, name))
    except ValueError as error:
        raise LookupError(f"NetHack has no variable {name}") from error
    finally:
        _ctypes.dlclose(loaded._handle)  # NLE keeps it loaded


def pin_birthday(library: str) -> None:
    """Set the hero's birthday in a game that NLE has started, so that the game does not depend on the clock.

    library: NLE's copy for this game (`nle.nethack.Nethack.dlpath`), already loaded.
    """
    loaded = ctypes.CDLL(library)
    ctypes.c_long.in_dll(loaded, "ubirthday").value = BIRTHDAY
    _ctypes.dlclose(loaded._handle)


def _copy_into_folder(folder: str) -> tuple[IO[bytes], str]:
    """NLE's library once more, as `nle.nethack.nethack._new_dl` returns it: an open file and its path."""
    from nle.nethack.nethack import DLPATH

    copy = tempfile.NamedTemporaryFile(prefix="libnethack-", suffix=".so", dir=folder)  # noqa: SIM115
    shutil.copyfile(DLPATH, copy.name)
    return copy, copy.name


def _copies_without_memory() -> None:
    """Let NLE copy its library into the game's folder if the system allows no files in memory.

    Raises UserError if code cannot run from there either.
    """
    from nle.nethack import nethack

    try:
        os.close(file_in_memory("trial"))
    except OSError as error:
        folder = tempfile.gettempdir()
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:
            raise UserError(
                f"{folder}: is mounted noexec, and this system does not allow files in memory "
                f"({error.strerror}), so no game can load NetHack; set TMPDIR to a folder on another mount"
            ) from error
        nethack._new_dl = _copy_into_folder


class _StockEngine:
    """NLE's own class, with a private copy of the library."""

    def __init__(self, arrays: Mapping[str, np.ndarray], options: str, hackdir: Path, folder: Path) -> None:
        from nle import nethack

        del folder  # NLE makes its own with `tempfile`, whose folder the pool sets
        _copies_without_memory()
        player = options.rpartition("name:")[2]
        self._nethack = nethack.Nethack(
            observation_keys=(),
            playername=player,
            ttyrec=None,
            options=[options.removesuffix(f",name:{player}")],  # NLE appends it again
            hackdir=str(hackdir),
            fix_moon_phase=True,
        )
        self._nethack._pynethack.set_buffers(**arrays)
        self.folder = Path(self._nethack._vardir)
        self.send, self.over = self._nethack._pynethack.step, self._nethack._pynethack.done
        self.how_done = self._nethack._pynethack.how_done
        self.close = self._nethack.close

    def address(self, name: str) -> int:
        return address_in(self._nethack.dlpath, name)

    def start(self, seeds: EpisodeSeeds) -> None:
        # NLE forgets the seeds after one reset, so set them before every reset.
        self._nethack.set_initial_seeds(seeds.core, seeds.disp, False, seeds.lgen)
        self._nethack.reset()
        pin_birthday(self._nethack.dlpath)
