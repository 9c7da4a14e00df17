"""One copy of NetHack's code for all games of a process.

NetHack keeps a game in global variables, so NLE loads a private copy of the whole library (3 MB) per game.
With dozens of games, no processor cache holds all these copies. This module maps the code of the library in
NLE's wheel once per game, which takes no extra memory, each time followed by the game's own data.
"""

import ctypes
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from maestromotif.nethack.engine.elf import Image, UnsuitableError
from maestromotif.nethack.seeds import BIRTHDAY, EpisodeSeeds

# NLE 1.3.0's C structures (its header nletypes.h, on x86-64). The wheel exports its settings, so their size
# can be checked. The tests check the observations: they compare both loaders.


class _Seeds(ctypes.Structure):
    _fields_ = [
        ("seeds", ctypes.c_ulong * 2),
        ("reseed", ctypes.c_char),
        ("use_init_seeds", ctypes.c_bool),
        ("lgen_seed", ctypes.c_ulong),
        ("use_lgen_seed", ctypes.c_bool),
    ]


class _Settings(ctypes.Structure):
    _fields_ = [
        ("hackdir", ctypes.c_char * 4096),
        ("scoreprefix", ctypes.c_char * 4096),
        ("options", ctypes.c_char * 32768),
        ("wizkit", ctypes.c_char * 4096),
        ("spawn_monsters", ctypes.c_int),
        ("ttyrecname", ctypes.c_char * 4096),
        ("initial_seeds", _Seeds),
        ("fix_moon_phase", ctypes.c_bool),
        ("time_seed", ctypes.c_ulong),
        ("time_seed_is_set", ctypes.c_bool),
    ]


_ARRAYS = (
    *("glyphs", "chars", "colors", "specials", "blstats", "message", "program_state", "internal"),
    *("inv_glyphs", "inv_strs", "inv_letters", "inv_oclasses", "screen_descriptions"),
    *("tty_chars", "tty_colors", "tty_cursor", "misc"),
)


class _Observation(ctypes.Structure):
    _fields_ = [
        ("action", ctypes.c_int),
        ("done", ctypes.c_int),
        ("in_normal_game", ctypes.c_char),
        ("how_done", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]


# The games of a process run in turn, so releasing the interpreter's lock would gain nothing.
_START = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_STEP = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_END = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


@cache
def image() -> Image:
    """NLE's library. Raises UnsuitableError if its code cannot be shared."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise UnsuitableError(f"this is {sys.platform} on {platform.machine()}, not Linux on x86_64")
    from nle.nethack.nethack import DLPATH

    sizes = {"settings": ctypes.sizeof(_Settings), "ubirthday": ctypes.sizeof(ctypes.c_long)}
    return Image(Path(DLPATH), sizes)


class SharedEngine:
    """A game with its own data segment."""

    def __init__(self, arrays: Mapping[str, np.ndarray], options: str, hackdir: Path, folder: Path) -> None:
        self._image = image()
        self.folder = _prepare(folder, hackdir)
        self._arrays = dict(arrays)  # NetHack holds their addresses
        self._observation = _Observation()
        for name, array in arrays.items():
            if not array.flags.c_contiguous:
                raise ValueError(f"the array {name} must be C-contiguous")
            setattr(self._observation, name, array.ctypes.data)
        self._settings = _Settings(
            hackdir=os.fsencode(self.folder), options=options.encode(), spawn_monsters=1, fix_moon_phase=True
        )
        self._base, self._room = self._image.map()
        self._open = True
        self._context: int | None = None
        self._start, self._step, self._end = (
            kind(self._base + self._image.offset(name))
            for name, kind in (("nle_start", _START), ("nle_step", _STEP), ("nle_end", _END))
        )
        self._birthday = ctypes.c_long.from_address(self._base + self._image.offset("ubirthday"))
        self.send = self._not_started

    def _not_started(self, key: int) -> None:
        raise RuntimeError(f"key {key} was sent before the game was started")

    def start(self, seeds: EpisodeSeeds) -> None:
        self._stop()
        initial = self._settings.initial_seeds
        initial.seeds[:] = seeds.core, seeds.disp
        initial.lgen_seed = seeds.lgen
        initial.use_init_seeds = initial.use_lgen_seed = True
        # NLE derives the phase of the moon and the hour from this seed, as its own class does.
        self._settings.time_seed, self._settings.time_seed_is_set = seeds.core + 1, True
        self._image.construct(self._base)
        observation, address = self._observation, ctypes.addressof(self._observation)
        observation.done = 0
        step = self._step
        context = self._context = self._start(address, None, ctypes.addressof(self._settings))
        self._birthday.value = BIRTHDAY

        def send(key: int) -> None:
            if observation.done:
                raise RuntimeError("the game is over")  # NetHack would crash
            observation.action = key
            step(context, address)

        self.send = send

    def over(self) -> int:
        return int(self._observation.done)

    def how_done(self) -> int:
        return int(self._observation.how_done)

    def address(self, name: str) -> int:
        try:
            return self._base + self._image.offset(name)
        except UnsuitableError as error:
            raise LookupError(f"NetHack has no variable {name}") from error

    def close(self) -> None:
        if self._open:
            self._stop()
            self._image.unmap(self._room)
            self._open = False
            self.send = self._not_started
            shutil.rmtree(self.folder, ignore_errors=True)

    def _stop(self) -> None:
        if self._context is not None:
            self._end(self._context)
            self._image.destruct(self._base)
            self._context = None


def _prepare(parent: Path, hackdir: Path) -> Path:
    """Make the folder that NetHack needs for a game's own files."""
    folder = Path(tempfile.mkdtemp(prefix="game-", dir=parent))
    (folder / "nhdat").symlink_to(hackdir / "nhdat")
    for name in ("perm", "record", "logfile", "xlogfile"):  # NetHack can lock only existing files
        (folder / name).touch()
    (folder / "save").mkdir()
    return folder
