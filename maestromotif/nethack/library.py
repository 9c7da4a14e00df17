"""NetHack's library for many games in one process: its code once, its data once a game.

NetHack keeps a game in global variables, so NLE loads a private copy of the whole library (3 MB) a game.
With dozens of games no cache of the processor can hold all these copies. Here the code of the one file that
NLE's wheel ships is mapped again and again, which takes no memory, each time followed by data of its own.
That is a dynamic linker's work; ours does it for x86-64 Linux only, relies on nothing it has not checked,
and compares every address it computes with what the system's linker made of the same file. Anywhere else,
and where a check fails, games run on NLE's own loader: the same games at half the speed.
"""

import _ctypes
import ctypes
import logging
import mmap
import os
import platform
import shutil
import struct
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.seeds import EpisodeSeeds

log = logging.getLogger("maestromotif")

NLE_VERSION = "1.3.0"
Loader = Literal["auto", "shared", "stock"]

# A fixed birthday (2024-01-01) takes the clock out of shop prices and shopkeepers' names.
BIRTHDAY = 1_704_067_200


class UnsuitableError(Exception):
    """What the shared loader relies on does not hold here; says what."""


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
    log.info("nethack.loader: every game loads its own copy of NetHack, at half the speed: %s", reason)
    return "stock"


def why_not_shared() -> str | None:
    """What keeps games from sharing NetHack's code on this machine, or None if they can."""
    try:
        _image()
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
    engine = _SharedEngine if loader == "shared" else _StockEngine
    return engine(arrays, options, hackdir or _nle_hackdir(), folder)


def _nle_hackdir() -> Path:
    from nle.nethack.nethack import HACKDIR

    return Path(HACKDIR)


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
        library = ctypes.CDLL(self._nethack.dlpath)  # NLE's own copy, which is loaded already
        ctypes.c_long.in_dll(library, "ubirthday").value = BIRTHDAY
        _ctypes.dlclose(library._handle)


# NLE 1.3.0's C structures (its header nletypes.h, on x86-64). The wheel exports its settings, so their size
# can be checked; observations are told apart from rubbish by the comparison of loaders in the tests.


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


# ELF for x86-64: what is read of the file, and the only kinds of it that are understood.
_PROGRAM_HEADER = np.dtype(
    [("type", "<u4"), ("flags", "<u4")]
    + [(name, "<u8") for name in ("offset", "address", "physical", "file_size", "size", "align")]
)
_RELOCATION = np.dtype([("slot", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_ELF64_LITTLE_ENDIAN_X86_64_SHARED = (b"\x7fELF\x02\x01\x01", 3, 62)
_LOAD, _DYNAMIC, _TLS = 1, 2, 7
_EXECUTE, _WRITE = 1, 2
_64, _GLOB_DAT, _JUMP_SLOT, _RELATIVE = 1, 6, 7, 8
_NULL, _PLTRELSZ, _STRTAB, _SYMTAB, _RELA, _RELASZ, _STRSZ = 0, 2, 5, 6, 7, 8, 10
_INIT, _JMPREL, _INIT_ARRAY, _FINI_ARRAY, _INIT_ARRAYSZ, _FINI_ARRAYSZ = 12, 23, 25, 26, 27, 28

_PAGE = mmap.PAGESIZE
_HUGE = 2 << 20  # a game's data lies on one such page: fewer misses of the TLB, 1.4 times as fast
_MADV_HUGEPAGE, _MAP_FIXED, _MAP_NORESERVE = 14, 0x10, 0x4000  # Linux

# The games of a process run in turn, so nothing is gained by letting go of the interpreter's lock.
_START = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_STEP = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_END = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_CONSTRUCT = ctypes.PYFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_DESTRUCT = ctypes.PYFUNCTYPE(None)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_long),
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _map(address: int | None, size: int, protection: int, flags: int, file: int = -1, offset: int = 0) -> int:
    """A mapping at `address` exactly, or anywhere."""
    fixed = _MAP_FIXED if address is not None else 0
    mapped = _libc().mmap(address, size, protection, flags | mmap.MAP_PRIVATE | fixed, file, offset)
    if mapped is None or mapped == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"no room for another game's memory: {os.strerror(number)}")
    return int(mapped)


def _words(address: int, count: int) -> np.ndarray:
    """uint64 [count]: the memory at an address."""
    return np.ctypeslib.as_array((ctypes.c_uint64 * count).from_address(address))


@cache
def _image() -> "_Image":
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise UnsuitableError(f"this is {sys.platform} on {platform.machine()}, not Linux on x86_64")
    from nle.nethack.nethack import DLPATH

    return _Image(Path(DLPATH))


class _Image:
    """The library's file, and what must be done to make another game of it.

    Raises UnsuitableError when the file is not what `_Image` knows how to load.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._read_segments()
            self._read_relocations()
            self._check_structures()
            self._bind(path)
        except (struct.error, ValueError, IndexError) as error:
            os.close(self._file)
            raise UnsuitableError(f"{path} is not the library that was expected: {error}") from error

    def _table(self, dtype: np.dtype, offset: int, size: int) -> np.ndarray:
        return np.frombuffer(self._bytes, dtype, size // dtype.itemsize, offset)

    def _read_segments(self) -> None:
        kind, machine = struct.unpack_from("<HH", self._bytes, 16)
        if (self._bytes[:7], kind, machine) != _ELF64_LITTLE_ENDIAN_X86_64_SHARED:
            raise UnsuitableError("libnethack.so is no shared library for x86-64")
        (offset,) = struct.unpack_from("<Q", self._bytes, 32)
        size, count = struct.unpack_from("<HH", self._bytes, 54)
        headers = self._table(_PROGRAM_HEADER, offset, size * count)
        if (headers["type"] == _TLS).any():
            raise UnsuitableError("libnethack.so has thread-local data")
        loaded = headers[headers["type"] == _LOAD]
        writable = loaded["flags"] & _WRITE != 0
        if writable.sum() != 1 or not writable[-1]:
            raise UnsuitableError("libnethack.so has not exactly one writable segment, at its end")
        if (loaded["offset"][~writable] != loaded["address"][~writable]).any():
            raise UnsuitableError("libnethack.so is laid out otherwise in memory than in its file")
        self._code, self._data = loaded[~writable], loaded[writable][0]
        # The pages of the data, as offsets from where the library is put.
        self._low = int(self._data["address"]) & -_PAGE
        self._high = -(-int(self._data["address"] + self._data["size"]) // _PAGE) * _PAGE
        if self._high - self._low > _HUGE:
            raise UnsuitableError("the data of libnethack.so does not fit on a page of 2 MiB")
        dynamic = headers[headers["type"] == _DYNAMIC][0]
        entries = self._table(np.dtype("<i8"), int(dynamic["offset"]), int(dynamic["file_size"])).reshape(
            -1, 2
        )
        self._dynamic = dict(entries[: int((entries[:, 0] == _NULL).argmax())].tolist()[::-1])

    def _read_relocations(self) -> None:
        """Every word of the data that holds an address, and which address of this library that should be."""
        of = self._dynamic
        relocations = np.concatenate(
            [
                self._table(_RELOCATION, of[_RELA], of[_RELASZ]),
                self._table(_RELOCATION, of[_JMPREL], of[_PLTRELSZ]),
            ]
        )
        unknown = set(relocations["type"].tolist()) - {_64, _GLOB_DAT, _JUMP_SLOT, _RELATIVE}
        if unknown:
            raise UnsuitableError(f"libnethack.so has relocations of types {sorted(unknown)}")
        slots = relocations["slot"].astype(np.int64) - self._low
        if (slots % 8).any() or slots.min() < 0 or slots.max() >= self._high - self._low:
            raise UnsuitableError("libnethack.so has relocations outside its data")
        self._symbols = self._table(_SYMBOL, of[_SYMTAB], of[_STRTAB] - of[_SYMTAB])
        symbol = self._symbols[relocations["symbol"]]
        relative = relocations["type"] == _RELATIVE
        target = np.where(relative, 0, symbol["value"].astype(np.int64))
        target += np.where(np.isin(relocations["type"], (_RELATIVE, _64)), relocations["addend"], 0)
        self._slots, self._targets = slots // 8, target.astype(np.uint64)
        self._imported = ~relative & (symbol["section"] == 0)
        self._call = relocations["type"] == _JUMP_SLOT

    def _symbol(self, name: str) -> np.void:
        """The exported symbol of this name."""
        start = self._dynamic[_STRTAB]
        names = self._bytes[start : start + self._dynamic[_STRSZ]]
        at = names.find(b"\0" + name.encode() + b"\0") + 1
        found = self._symbols[(self._symbols["name"] == at) & (self._symbols["section"] != 0)]
        if not at or len(found) != 1:
            raise UnsuitableError(f"libnethack.so does not export {name}")
        symbol: np.void = found[0]
        return symbol

    def _check_structures(self) -> None:
        exported, ours = int(self._symbol("settings")["size"]), ctypes.sizeof(_Settings)
        if exported != ours:
            raise UnsuitableError(f"NLE's settings have {exported} bytes, {ours} were expected")
        birthday = self._symbol("ubirthday")
        if birthday["size"] != 8:
            raise UnsuitableError("NLE's ubirthday is not a 64-bit number")
        self.birthday = int(birthday["value"])
        self.start, self.step, self.end = (
            int(self._symbol(name)["value"]) for name in ("nle_start", "nle_step", "nle_end")
        )

    def _bind(self, path: Path) -> None:
        """Let the system's linker load the library once, and compare.

        What lies in other libraries is taken from there. The linker may also send calls to them that this
        library could answer itself (`error` is glibc's, too); data must be its own, or games would share it.
        """
        self._linked = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        address = ctypes.cast(self._linked.nle_start, ctypes.c_void_p).value
        if address is None:
            raise UnsuitableError("libnethack.so was loaded without nle_start")
        base = np.uint64(address - self.start)
        linked = _words(int(base) + self._low, (self._high - self._low) // 8)[self._slots]
        elsewhere = self._imported | (self._call & (linked - base >= self._high))
        differ = ~elsewhere & (linked != self._targets + base)
        if differ.any():
            raise UnsuitableError(
                f"{differ.sum()} addresses in libnethack.so are not where the linker puts them"
            )
        self._outer_slots, self._outer = self._slots[elsewhere], linked[elsewhere]
        self._own_slots, self._own_targets = self._slots[~elsewhere], self._targets[~elsewhere]

    def map(self) -> tuple[int, int, int]:
        """Map code and room for data: where the library is, and the mapping's address and size.

        Raises OSError when there is no room.
        """
        lead = -self._low % _HUGE  # before the code, so that the data begins on a huge page
        size = lead + self._low + 2 * _HUGE
        room = _map(None, size, 0, mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        base = -(-room // _HUGE) * _HUGE + lead
        for segment in self._code:
            low, high = int(segment["address"]) & -_PAGE, int(segment["address"] + segment["size"])
            protection = mmap.PROT_READ | (mmap.PROT_EXEC if segment["flags"] & _EXECUTE else 0)
            _map(base + low, high - low, protection, 0, self._file, low)
        data = base + self._low
        _map(data, _HUGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_ANONYMOUS)
        _libc().madvise(data, _HUGE, _MADV_HUGEPAGE)  # where this is refused, games are slower, not wrong
        return base, room, size

    def construct(self, base: int) -> None:
        """Fill the data as a linker would, and run the library's constructors."""
        low, size = base + self._low, self._high - self._low
        ctypes.memset(low, 0, size)
        start, length = int(self._data["offset"]), int(self._data["file_size"])
        ctypes.memmove(base + int(self._data["address"]), self._bytes[start : start + length], length)
        words = _words(low, size // 8)
        words[self._own_slots] = self._own_targets + np.uint64(base)
        words[self._outer_slots] = self._outer
        _DESTRUCT(base + self._dynamic[_INIT])()
        for function in self._functions(base, _INIT_ARRAY, _INIT_ARRAYSZ):
            _CONSTRUCT(function)(0, None, None)

    def destruct(self, base: int) -> None:
        for function in reversed(self._functions(base, _FINI_ARRAY, _FINI_ARRAYSZ)):
            _DESTRUCT(function)()

    def _functions(self, base: int, where: int, size: int) -> list[int]:
        functions: list[int] = _words(base + self._dynamic[where], self._dynamic[size] // 8).tolist()
        return [function for function in functions if function]


class _SharedEngine:
    """A game on a data segment of its own."""

    def __init__(self, arrays: Mapping[str, np.ndarray], options: str, hackdir: Path, folder: Path) -> None:
        self._image = _image()
        self.folder = _prepare(folder, hackdir)
        self._arrays = dict(arrays)  # NetHack has their addresses
        self._observation = _Observation()
        for name, array in arrays.items():
            if not array.flags.c_contiguous:
                raise ValueError(f"the array {name} is not contiguous")
            setattr(self._observation, name, array.ctypes.data)
        self._settings = _Settings(
            hackdir=os.fsencode(self.folder), options=options.encode(), spawn_monsters=1, fix_moon_phase=True
        )
        self._base, self._room, self._size = self._image.map()
        self._context: int | None = None
        self._end = _END(self._base + self._image.end)
        self.send = self._not_started

    def _not_started(self, key: int) -> None:
        raise RuntimeError(f"key {key} before the game was started")

    def start(self, seeds: EpisodeSeeds) -> None:
        self._stop()
        initial = self._settings.initial_seeds
        initial.seeds[:] = seeds.core, seeds.disp
        initial.lgen_seed = seeds.lgen
        initial.use_init_seeds = initial.use_lgen_seed = True
        # From this NLE takes the phase of the moon and the hour, as it does itself.
        self._settings.time_seed, self._settings.time_seed_is_set = seeds.core + 1, True
        self._image.construct(self._base)
        observation, address = self._observation, ctypes.addressof(self._observation)
        observation.done = 0
        start, step = _START(self._base + self._image.start), _STEP(self._base + self._image.step)
        context = self._context = start(address, None, ctypes.addressof(self._settings))
        ctypes.c_long.from_address(self._base + self._image.birthday).value = BIRTHDAY

        def send(key: int) -> None:
            if observation.done:
                raise RuntimeError("the game is over")  # NetHack would run into nowhere
            observation.action = key
            step(context, address)

        self.send = send

    def over(self) -> int:
        return int(self._observation.done)

    def how_done(self) -> int:
        return int(self._observation.how_done)

    def close(self) -> None:
        if self._size:
            self._stop()
            _libc().munmap(self._room, self._size)
            self._size = 0
            self.send = self._not_started
            shutil.rmtree(self.folder, ignore_errors=True)

    def _stop(self) -> None:
        if self._context is not None:
            self._end(self._context)
            self._image.destruct(self._base)
            self._context = None


def _prepare(parent: Path, hackdir: Path) -> Path:
    """A folder as NetHack wants it for a game's own files."""
    folder = Path(tempfile.mkdtemp(prefix="game-", dir=parent))
    (folder / "nhdat").symlink_to(hackdir / "nhdat")
    for name in ("perm", "record", "logfile", "xlogfile"):  # or NetHack cannot lock them
        (folder / name).touch()
    (folder / "save").mkdir()
    return folder
