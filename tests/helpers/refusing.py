"""Runs a program under a kernel that refuses some system calls, as containers and file systems do.

    python refusing.py memfd_create=EPERM,flock=ENOLCK COMMAND...

The refusals are a seccomp filter, which child processes inherit (Linux, seccomp(2); x86-64 only).
"""

import ctypes
import errno
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

_NUMBERS = {"flock": 73, "fsync": 74, "memfd_create": 319}  # of x86-64
_PR_SET_SECCOMP, _FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_LOAD, _EQUAL, _RETURN, _ALLOW, _ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000


def refuse(refusals: dict[str, int]) -> None:
    """From now on these system calls fail in this process with these errno."""
    code = [struct.pack("HBBI", _LOAD, 0, 0, 0)]  # the number of the call
    for name, number in refusals.items():
        code += [
            struct.pack("HBBI", _EQUAL, 0, 1, _NUMBERS[name]),
            struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | number),
        ]
    code.append(struct.pack("HBBI", _RETURN, 0, 0, _ALLOW))
    program = ctypes.create_string_buffer(b"".join(code))
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    held = ctypes.create_string_buffer(header)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_SECCOMP, _FILTER, ctypes.addressof(held))):
        if prctl(*arguments, *[0] * (5 - len(arguments))) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_refused(refusals: str, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end under refusals such as "flock=ENOLCK"."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the refusals are written for Linux on x86-64")
    return subprocess.run(
        [sys.executable, str(Path(__file__)), refusals, *map(str, command)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


if __name__ == "__main__":
    pairs = [refusal.split("=") for refusal in sys.argv[1].split(",")]
    refuse({name: getattr(errno, code) for name, code in pairs})
    os.execvp(sys.argv[2], sys.argv[2:])
