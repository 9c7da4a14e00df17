"""NetHack as an engine that takes keys: on shared code where that can be, else as NLE loads it.

Both engines play the same games to the same observations; `shared` says how code is shared, and why.
"""

import _ctypes
import ctypes
import logging
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.engine.elf import UnsuitableError
from maestromotif.nethack.engine.shared import SharedEngine, image
from maestromotif.nethack.seeds import BIRTHDAY, EpisodeSeeds

log = logging.getLogger("maestromotif")

NLE_VERSION = "1.3.0"
Loader = Literal["auto", "shared", "stock"]


@runtime_checkable
class Engine(Protocol):
    """One NetHack. Before `start` and after `close` nothing else may be called."""

    folder: Path  # where NetHack keeps this game's files

    def start(self, seeds: EpisodeSeeds) -> None:
        """Begin a new game, whatever became of the last one."""

    def send(self, key: int) -> None:
        """Press a key; when this returns, the arrays show what NetHack made of it."""

    def over(self) -> int:
        """Not 0 when the game is over."""

    def how_done(self) -> int:
        """How it ended (`nle.nethack.DIED`, ...)."""

    def close(self) -> None: ...


def check_nle() -> None:
    """Raises UserError unless exactly the NLE is installed that this package was made for."""
    try:
        found = metadata.version("nle")
    except metadata.PackageNotFoundError:
        found = None
    if found != NLE_VERSION:
        raise UserError(
            f"the game needs nle {NLE_VERSION}, but {f'nle {found}' if found else 'no nle'} is installed for "
            f"{sys.executable}; mend it with: {sys.executable} -m pip install nle=={NLE_VERSION}"
        )


def choose(loader: Loader) -> Literal["shared", "stock"]:
    """The loader to use on this machine; for "auto" the shared one if it can be.

    Raises UserError when "shared" was asked for and cannot be had.
    """
    check_nle()
    if loader == "stock":
        return "stock"
    reason = why_not_shared()
    if reason is None:
        return "shared"
    if loader == "shared":
        raise UserError(f"nethack.loader: shared: {reason}; use auto or stock")
    log.info("nethack.loader: every game loads its own copy of NetHack, which is slower: %s", reason)
    return "stock"


def why_not_shared() -> str | None:
    """What keeps games from sharing NetHack's code on this machine, or None if they can."""
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

    arrays: by NLE's names, C-contiguous, of NLE's shapes and dtypes; they must outlive the engine.
    options: NETHACKOPTIONS. hackdir: holds NetHack's data file `nhdat`; None for NLE's. folder: for temporary
    files, an existing one that several engines may share.
    """
    engine = SharedEngine if loader == "shared" else _StockEngine
    return engine(arrays, options, hackdir or _nle_hackdir(), folder)


def _nle_hackdir() -> Path:
    from nle.nethack.nethack import HACKDIR

    return Path(HACKDIR)


def pin_birthday(library: str) -> None:
    """Take the clock out of a game that NLE has begun.

    library: NLE's copy for this game (`nle.nethack.Nethack.dlpath`), which is loaded already.
    """
    loaded = ctypes.CDLL(library)
    ctypes.c_long.in_dll(loaded, "ubirthday").value = BIRTHDAY
    _ctypes.dlclose(loaded._handle)


class _StockEngine:
    """NLE's own class: a private copy of the library."""

    def __init__(self, arrays: Mapping[str, np.ndarray], options: str, hackdir: Path, folder: Path) -> None:
        from nle import nethack

        del folder  # NLE makes its own where `tempfile` says, which the pool has set
        player = options.rpartition("name:")[2]
        self._nethack = nethack.Nethack(
            observation_keys=(),
            playername=player,
            ttyrec=None,
            options=[options.removesuffix(f",name:{player}")],  # NLE puts it back
            hackdir=str(hackdir),
            fix_moon_phase=True,
        )
        self._nethack._pynethack.set_buffers(**arrays)
        self.folder = Path(self._nethack._vardir)
        self.send, self.over = self._nethack._pynethack.step, self._nethack._pynethack.done
        self.how_done = self._nethack._pynethack.how_done
        self.close = self._nethack.close

    def start(self, seeds: EpisodeSeeds) -> None:
        # NLE forgets the seeds after one reset, so they are set before every one.
        self._nethack.set_initial_seeds(seeds.core, seeds.disp, False, seeds.lgen)
        self._nethack.reset()
        pin_birthday(self._nethack.dlpath)
