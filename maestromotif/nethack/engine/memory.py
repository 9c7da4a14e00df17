"""Memory mapped at chosen addresses, and files in memory: the system's calls, with Linux's constants."""

import ctypes
import errno
import mmap
import os
from functools import cache

import numpy as np

HUGE_PAGE = 2 << 20
_MFD_CLOEXEC, _MFD_NOEXEC_SEAL = 1, 8
_MADV_HUGEPAGE, _MAP_FIXED, _MAP_NORESERVE, _MAP_FIXED_NOREPLACE = 14, 0x10, 0x4000, 0x100000


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


def file_in_memory(name: str, content: bytes | bytearray = b"") -> int:
    """The descriptor of a new file without a path, which holds `content`. It can be mapped, also as code.

    Raises OSError if the system refuses such files.
    """
    try:
        # The seal says that nobody will execute it as a program: vm.memfd_noexec=2 asks for that.
        file = os.memfd_create(name, _MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except AttributeError as error:
        raise OSError(errno.ENOSYS, "no memfd_create") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux before 6.3, which does not know the seal
            raise
        file = os.memfd_create(name, _MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as writer:  # a single write may be a short one
            writer.write(content)
    except OSError:
        os.close(file)
        raise
    return file


def map_over(address: int, size: int, protection: int, file: int = -1, offset: int = 0) -> None:
    """Map `size` bytes of a file, or zeros, privately at an address, and replace what is there."""
    _map(address, size, protection, _MAP_FIXED, file, offset)


def map_if_free(address: int, size: int, protection: int, file: int = -1) -> bool:
    """Like `map_over` if nothing is mapped there; otherwise do nothing and return False."""
    try:
        mapped = _map(address, size, protection, _MAP_FIXED_NOREPLACE, file)
    except FileExistsError:
        return False
    if mapped != address:  # Linux before 4.17 treats the address as a hint
        unmap(mapped, size)
    return mapped == address


def reserve(size: int, address: int | None = None) -> int:
    """Reserve address space, which takes no memory, at `address` if that is free; return where it is."""
    if address is not None and map_if_free(address, size, 0):
        return address
    return _map(None, size, 0, 0)


def unmap(address: int, size: int) -> None:
    _libc().munmap(address, size)


def on_huge_pages(address: int, size: int) -> None:
    """Ask for huge pages. If the system refuses, programs are slower, not wrong."""
    _libc().madvise(address, size, _MADV_HUGEPAGE)


def words(address: int, count: int) -> np.ndarray:
    """uint64 [count]: the memory at an address."""
    return np.ctypeslib.as_array((ctypes.c_uint64 * count).from_address(address))


def _map(address: int | None, size: int, protection: int, flags: int, file: int = -1, offset: int = 0) -> int:
    """Raises OSError if the memory cannot be mapped."""
    flags |= mmap.MAP_PRIVATE | (mmap.MAP_ANONYMOUS | _MAP_NORESERVE if file < 0 else 0)
    mapped = _libc().mmap(address, size, protection, flags, file, offset)
    if mapped is None or mapped == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot map memory: {os.strerror(number)}")
    return int(mapped)
