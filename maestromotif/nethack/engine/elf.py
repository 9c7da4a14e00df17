"""Loads a shared library many times: its code once, its data once per game.

This is a small dynamic linker. It supports x86-64 Linux only, checks everything that it relies on, and
compares every address that it computes with the result of the system's linker for the same file.
"""

import ctypes
import hashlib
import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import numpy as np

from maestromotif.nethack.engine import branch_predictor
from maestromotif.nethack.engine.memory import (
    HUGE_PAGE,
    file_in_memory,
    map_over,
    on_huge_pages,
    reserve,
    unmap,
    words,
)


class UnsuitableError(Exception):
    """A requirement of the shared loader is not met here; the message names it."""


# ELF for x86-64: the parts of the file that are read, and the only kinds that are supported.
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

_CONSTRUCT = ctypes.PYFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_DESTRUCT = ctypes.PYFUNCTYPE(None)

# A call or jump is one byte and the distance from the end of the instruction. A stub of the procedure linkage
# table begins with a jump: two bytes and the distance to the slot in the data that holds its target.
_CALL, _JUMP, _NEAR_BYTES = 0xE8, 0xE9, 5
_JUMP_BY_SLOT, _JUMP_BY_SLOT_BYTES = 0x25FF, 6

# Files (SHA-256) in which everything that looks like a call of a stub is one, by a disassembler's check: the
# libraries of nle 1.3.0 for Python 3.11, 3.12 and 3.13.
_CALLS_KNOWN = {
    "becf6478c75e40cf9488d6127892951f28ef8736b7b71ce22c37af006b280027",
    "bad9b29bad1fa58f764df77bb9640d14e6f905d81262aa37323e4633161b277f",
    "0e8c5394393acf58f7c0a5891b79a729d1e78ef7e53bbea00f7db44793f41d19",
}


class Image:
    """A library's file, and what it takes to load it once more.

    sizes: bytes that exported variables must have, by name. Raises UnsuitableError if `Image` cannot load the
    file.
    """

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self._name, self._bytes = path.name, path.read_bytes()
        self._rooms: dict[int, int] = {}  # reserved address of each open game: number of its place
        try:
            self._read_segments()
            self._read_relocations()
            for name, expected in sizes.items():
                found = int(self._symbol(name)["size"])
                if found != expected:
                    raise UnsuitableError(f"{self._name}: {name} has {found} bytes, expected {expected}")
            self._bind(path)
            self._link_calls()
        except (struct.error, ValueError, LookupError) as error:
            raise UnsuitableError(f"{path} is not the expected library: {error}") from error

    def offset(self, name: str) -> int:
        """Bytes from the library's base address to the exported function or variable of this name.

        Raises UnsuitableError if there is none.
        """
        return int(self._symbol(name)["value"])

    def _table(self, dtype: np.dtype, offset: int, size: int) -> np.ndarray:
        return np.frombuffer(self._bytes, dtype, size // dtype.itemsize, offset)

    def _read_segments(self) -> None:
        kind, machine = struct.unpack_from("<HH", self._bytes, 16)
        if (self._bytes[:7], kind, machine) != _ELF64_LITTLE_ENDIAN_X86_64_SHARED:
            raise UnsuitableError(f"{self._name} is not a shared library for x86-64")
        (offset,) = struct.unpack_from("<Q", self._bytes, 32)
        size, count = struct.unpack_from("<HH", self._bytes, 54)
        headers = self._table(_PROGRAM_HEADER, offset, size * count)
        if (headers["type"] == _TLS).any():
            raise UnsuitableError(f"{self._name} has thread-local data")
        loaded = headers[headers["type"] == _LOAD]
        writable = loaded["flags"] & _WRITE != 0
        if writable.sum() != 1 or not writable[-1]:
            raise UnsuitableError(f"{self._name} must have exactly one writable segment, at its end")
        if (loaded["offset"][~writable] != loaded["address"][~writable]).any():
            raise UnsuitableError(f"{self._name} has different layouts in memory and in its file")
        self._code, self._data = loaded[~writable], loaded[writable][0]
        # The pages of the data, as offsets from the base address.
        self._low = int(self._data["address"]) & -_PAGE
        self._high = -(-int(self._data["address"] + self._data["size"]) // _PAGE) * _PAGE
        if self._high - self._low > HUGE_PAGE:
            raise UnsuitableError(f"the data of {self._name} does not fit into a page of 2 MiB")
        if -(-self._low // HUGE_PAGE) * HUGE_PAGE + 2 * HUGE_PAGE > branch_predictor.SPAN:
            raise UnsuitableError(f"the code of {self._name} is too large: {self._low} bytes")
        dynamic = headers[headers["type"] == _DYNAMIC][0]
        entries = self._table(np.dtype("<i8"), int(dynamic["offset"]), int(dynamic["file_size"])).reshape(
            -1, 2
        )
        self._dynamic = dict(entries[: int((entries[:, 0] == _NULL).argmax())].tolist()[::-1])

    def _read_relocations(self) -> None:
        """Find every word of the data that holds an address, and which address that should be."""
        of = self._dynamic
        relocations = np.concatenate(
            [
                self._table(_RELOCATION, of[_RELA], of[_RELASZ]),
                self._table(_RELOCATION, of[_JMPREL], of[_PLTRELSZ]),
            ]
        )
        unknown = set(relocations["type"].tolist()) - {_64, _GLOB_DAT, _JUMP_SLOT, _RELATIVE}
        if unknown:
            raise UnsuitableError(f"{self._name} has unsupported relocations of types {sorted(unknown)}")
        slots = relocations["slot"].astype(np.int64) - self._low
        if (slots % 8).any() or slots.min() < 0 or slots.max() >= self._high - self._low:
            raise UnsuitableError(f"{self._name} has relocations outside its data")
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
        # A name may be the end of a longer one, so that there may be several places.
        places = [match.start() for match in re.finditer(re.escape(name.encode()) + rb"\0", names)]
        found = self._symbols[np.isin(self._symbols["name"], places) & (self._symbols["section"] != 0)]
        if len(found) != 1:
            raise UnsuitableError(f"{self._name} does not export {name}")
        symbol: np.void = found[0]
        return symbol

    def _bind(self, path: Path) -> None:
        """Load the library once with the system's linker, and compare.

        Addresses in other libraries are taken from there. The linker may also bind calls to another library
        although this one has the function (glibc has an `error` too). Data must be this library's own, or
        games would share it.
        """
        self._linked = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        address = ctypes.cast(self._linked.nle_start, ctypes.c_void_p).value
        if address is None:
            raise UnsuitableError(f"{self._name} has no function nle_start")
        base = np.uint64(address - self.offset("nle_start"))
        linked = words(int(base) + self._low, (self._high - self._low) // 8)[self._slots]
        elsewhere = self._elsewhere = self._imported | (self._call & (linked - base >= self._high))
        differ = ~elsewhere & (linked != self._targets + base)
        if differ.any():
            raise UnsuitableError(
                f"{differ.sum()} addresses in {self._name} are not where the linker puts them"
            )
        self._outer_slots, self._outer = self._slots[elsewhere], linked[elsewhere]
        self._own_slots, self._own_targets = self._slots[~elsewhere], self._targets[~elsewhere]

    def _link_calls(self) -> None:
        """Make `_code_file`: the code, with direct calls of the library's own functions.

        As built, these calls go through stubs that jump to addresses in the data, so that another library
        could replace the functions. Every game has its own copy of that data, which takes space in the
        processor's caches.
        """
        code = bytearray(self._bytes[: self._low])
        own = self._call & ~self._elsewhere
        slots, targets = self._slots[own] * 8 + self._low, self._targets[own].astype(np.int64)
        function_of = np.full(self._low, -1)
        for slot, target in zip(slots.tolist(), targets.tolist(), strict=True):
            # Before linking, a slot holds the address right after its stub's jump.
            (behind,) = struct.unpack_from("<Q", self._bytes, self._in_file(slot))
            stub = behind - _JUMP_BY_SLOT_BYTES
            if struct.unpack_from("<Hi", code, stub) == (_JUMP_BY_SLOT, slot - behind):
                struct.pack_into("<Bi", code, stub, _JUMP, target - (stub + _NEAR_BYTES))
                function_of[stub] = target
        if hashlib.sha256(self._bytes).hexdigest() in _CALLS_KNOWN:
            for site, target in self.calls(function_of >= 0):
                struct.pack_into("<i", code, site + 1, function_of[target] - (site + _NEAR_BYTES))
        try:
            self._code_file = file_in_memory(self._name, code)
        except OSError as error:
            raise UnsuitableError(f"this system does not allow files in memory: {error.strerror}") from error
        room = reserve(_PAGE)
        try:
            map_over(room, _PAGE, mmap.PROT_READ | mmap.PROT_EXEC, self._code_file)
        except OSError as error:
            raise UnsuitableError(
                f"this system does not allow code to run from memory: {error.strerror}"
            ) from error
        finally:
            unmap(room, _PAGE)

    def calls(self, of: np.ndarray) -> Iterator[tuple[int, int]]:
        """What looks like a call of, or a jump to, an address in the code: its place and the address.

        of: bool [bytes of code], the addresses to look for.
        """
        code = np.frombuffer(self._bytes[: self._low], np.uint8)
        for segment in self._code[self._code["flags"] & _EXECUTE != 0]:
            low, high = int(segment["address"]), int(segment["address"] + segment["size"]) - _NEAR_BYTES
            site = low + np.isin(code[low:high], (_CALL, _JUMP)).nonzero()[0]
            distance = np.stack([code[site + 1 + i] for i in range(4)], -1).view("<i4")[:, 0]
            target = site + _NEAR_BYTES + distance
            found = (target >= 0) & (target < len(of))
            found[found] = of[target[found]]
            yield from zip(site[found].tolist(), target[found].tolist(), strict=True)

    def _in_file(self, address: int) -> int:
        """Position in the file of the data that is loaded at this offset from the base address."""
        return address - int(self._data["address"]) + int(self._data["offset"])

    def map(self) -> tuple[int, int]:
        """Map the code and space for data; return the base address and the argument of `unmap`.

        Raises OSError if there is not enough address space.
        """
        number = next(number for number in count() if number not in self._rooms.values())
        room = reserve(branch_predictor.SPAN, branch_predictor.place(number))
        self._rooms[room] = number
        base = -(-room // HUGE_PAGE) * HUGE_PAGE + -self._low % HUGE_PAGE  # the data begins on a huge page
        for segment in self._code:
            low, high = int(segment["address"]) & -_PAGE, int(segment["address"] + segment["size"])
            protection = mmap.PROT_READ | (mmap.PROT_EXEC if segment["flags"] & _EXECUTE else 0)
            map_over(base + low, high - low, protection, self._code_file, low)
        map_over(base + self._low, HUGE_PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
        on_huge_pages(base + self._low, HUGE_PAGE)
        return base, room

    def unmap(self, room: int) -> None:
        unmap(room, branch_predictor.SPAN)
        del self._rooms[room]

    def construct(self, base: int) -> None:
        """Fill the data as a linker would, and run the library's constructors."""
        low, size = base + self._low, self._high - self._low
        ctypes.memset(low, 0, size)
        start, length = int(self._data["offset"]), int(self._data["file_size"])
        ctypes.memmove(base + int(self._data["address"]), self._bytes[start : start + length], length)
        data = words(low, size // 8)
        data[self._own_slots] = self._own_targets + np.uint64(base)
        data[self._outer_slots] = self._outer
        _DESTRUCT(base + self._dynamic[_INIT])()
        for function in self._functions(base, _INIT_ARRAY, _INIT_ARRAYSZ):
            _CONSTRUCT(function)(0, None, None)

    def destruct(self, base: int) -> None:
        for function in reversed(self._functions(base, _FINI_ARRAY, _FINI_ARRAYSZ)):
            _DESTRUCT(function)()

    def _functions(self, base: int, where: int, size: int) -> list[int]:
        functions: list[int] = words(base + self._dynamic[where], self._dynamic[size] // 8).tolist()
        return [function for function in functions if function]
