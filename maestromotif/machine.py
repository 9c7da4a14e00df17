"""The cores and the memory that this process may use.

A container or a batch system limits a process by control groups (cgroups). They are nested, and each level
may have a limit of its own, so all levels from the process's own group up are read, in version 2 and in
version 1 of the interface (Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
"""

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

# Of memory.stat: what the kernel takes back when memory is short. A tmpfs counts as anonymous memory, so it
# is not part of the first two. Version 1 has a total over the groups below.
_RECLAIMABLE = {
    2: ("active_file", "inactive_file", "slab_reclaimable"),
    1: ("total_active_file", "total_inactive_file"),
}
_MEMORY = {
    2: ("memory.current", ("memory.max", "memory.high")),
    1: ("memory.usage_in_bytes", ("memory.limit_in_bytes",)),
}


def available_cores(root: Path = ROOT) -> int:
    """Number of cores that this process may use: its affinity, limited by the quotas of its cgroups.

    The affinity is within the cgroups' sets of cores (cpuset), because the kernel sees to that. root: where
    /proc and /sys are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for version, group in _groups(root, "cpu"):
        try:
            if version == 2:
                quota, period = map(int, (group / "cpu.max").read_text().split())
            else:
                quota, period = (
                    int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
                )
        except (OSError, ValueError):  # no quota ("max")
            continue
        if quota > 0:  # -1: no quota
            cores = min(cores, max(1, quota // period))
    return cores


def memory(root: Path = ROOT) -> tuple[int, int] | None:
    """(total, available) bytes for this process: of the machine, or of a cgroup of it if that has less.

    Available is what is not used, and what is used and can be reclaimed, such as cached files. root: where
    /proc and /sys are. None if the machine does not report it.
    """
    try:
        fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    for version, group in _groups(root, "memory"):
        current, limits = _MEMORY[version]
        known = [limit for name in limits if (limit := _number(group / name)) is not None]
        used = _number(group / current)
        if known and used is not None:
            limit = min(known)
            used = max(0, used - _reclaimable(group / "memory.stat", _RECLAIMABLE[version]))
            total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def _groups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """The cgroups that limit this process in this respect, from its own one up, with their version."""
    try:
        memberships = _lines(root / "proc/self/cgroup")
        mounts = _lines(root / "proc/self/mountinfo")
    except OSError:  # not Linux, or no /proc
        return
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and controller not in controllers.split(","):
            continue
        for place in mounts:
            before, _, after = place.partition(" - ")
            kind, _, options = after.split(" ", 2)
            mounted, at = map(_unescaped, before.split()[3:5])
            of_it = controller in options.rsplit(" ", 1)[-1].split(",")
            if kind == "cgroup2" if version == 2 else kind == "cgroup" and of_it:
                top = root / at.lstrip("/")
                # A container may see its own group as the top, under its name outside or as "/".
                inside = path.removeprefix(mounted.rstrip("/")).lstrip("/")
                own = top / inside if path.startswith(mounted.rstrip("/")) else top
                own = own if ".." not in own.parts and own.is_dir() else top
                yield from ((version, group) for group in (own, *own.parents) if group.is_relative_to(top))
                break


def _lines(file: Path) -> list[str]:
    """Lines of a file with paths, which may hold bytes that are no text. Raises OSError."""
    return os.fsdecode(file.read_bytes()).split("\n")[:-1]


def _unescaped(path: str) -> str:
    r"""A path of mountinfo, in which a space is `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or no limit ("max")
        return None


def _reclaimable(statistics: Path, names: tuple[str, ...]) -> int:
    try:
        found = dict(line.split() for line in statistics.read_text().splitlines())
        return sum(int(found.get(name, 0)) for name in names)
    except (OSError, ValueError):
        return 0


def give_back_memory() -> None:
    """Give the memory that was freed back to the system, where the C library can (glibc).

    It keeps what threads have freed, with holes in it, more and more over hours of training
    (`benchmarks/results/soak_two_cores.md`).
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
