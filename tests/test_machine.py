"""The limits of real control groups, where the machine lets the tests make some, and of written ones."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from maestromotif import machine
from maestromotif.machine import available_cores, memory

MIB = 1 << 20
MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"  # 16 and 8 GiB
CGROUP2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_a_mount_point_whose_name_is_no_text_does_no_harm(tmp_path: Path) -> None:
    root = written(tmp_path, {"proc/self/cgroup": "0::/\n"})
    odd = b"29 23 0:25 / /mnt/caf\xe9 rw - ext4 /dev/sda rw\n"
    (root / "proc/self/mountinfo").write_bytes(odd + CGROUP2.encode())
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text("100000 100000\n")
    assert available_cores(root) == 1


def written(root: Path, files: dict[str, str]) -> Path:
    """A root folder with these files of /proc and /sys."""
    for name, content in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def groups() -> Iterator[dict[str, Path]]:
    """A new cgroup of this machine for each of "memory" and "cpu", below this process's own."""
    with ExitStack() as stack:
        made = {}
        for controller in ("memory", "cpu"):
            own = next((group for _, group in machine._groups(machine.ROOT, controller)), None)
            if own is None:
                pytest.skip(f"this machine has no cgroups for {controller}")
            group = own / f"maestromotif-test-{os.getpid()}"
            try:
                group.mkdir(exist_ok=True)
            except OSError as error:
                pytest.skip(f"this machine lets nobody make a cgroup: {error}")
            stack.callback(group.rmdir)
            made[controller] = group
        yield made


def test_real_limits_hold_and_the_page_cache_is_not_used_memory(
    groups: dict[str, Path], tmp_path: Path
) -> None:
    """A process in the groups reads a file that fills half of its memory with cached pages."""
    limits = {
        "memory": {"memory.limit_in_bytes": str(400 * MIB), "memory.max": str(400 * MIB)},
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000", "cpu.max": "100000 100000"},
    }
    for controller, files in limits.items():
        there = [name for name in files if (groups[controller] / name).exists()]
        if not there:
            pytest.skip(f"this machine's cgroups have no limit of {controller}")
        for name in there:
            (groups[controller] / name).write_text(files[name])
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200 * MIB)
    script = (
        "import os, sys\n"
        "for group in sys.argv[2:]:\n"
        "    open(f'{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    while file.read(1 << 20): pass\n"
        "from maestromotif.machine import available_cores, memory\n"
        "print(available_cores(), *memory())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(big), *map(str, set(groups.values()))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    cores, total, free = map(int, done.stdout.split())
    assert cores == 1
    assert total == 400 * MIB
    assert (
        350 * MIB < free <= 400 * MIB
    )  # the process itself takes some; 200 MiB would be gone with the cache


def test_the_affinity_is_a_limit() -> None:
    one = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from maestromotif.machine import available_cores\n"
        "print(available_cores())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    """As SLURM nests them: the step has no limit, the job above it has."""
    job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    root = written(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n",
            "proc/self/mountinfo": CGROUP2,
            f"{job}/memory.max": f"{4 << 30}\n",
            f"{job}/memory.current": f"{3 << 30}\n",
            f"{job}/memory.stat": f"anon {1 << 30}\nactive_file {512 * MIB}\ninactive_file {1 << 30}\n"
            f"slab_reclaimable {256 * MIB}\nshmem {256 * MIB}\n",
            f"{job}/cpu.max": "150000 100000\n",
            f"{job}/step_0/user/task_0/memory.max": "max\n",
            f"{job}/step_0/user/task_0/memory.current": f"{2 << 30}\n",
            f"{job}/step_0/user/task_0/cpu.max": "max 100000\n",
        },
    )
    assert memory(root) == (4 << 30, (4 << 30) - ((3 << 30) - (1 << 30) - 768 * MIB))
    assert available_cores(root) == 1


def test_version_1_has_its_own_names_and_a_container_its_own_top(tmp_path: Path) -> None:
    inside = "/docker/0123"  # what is mounted is the container's own group
    root = written(
        tmp_path,
        {
            "proc/self/cgroup": f"5:memory:{inside}\n4:cpuacct,cpu:{inside}\n0::/\n",
            "proc/self/mountinfo": f"41 32 0:35 {inside} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
            f"42 32 0:36 {inside} /sys/fs/cgroup/cpu,cpuacct ro master:9 - cgroup cgroup rw,cpu,cpuacct\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 << 30}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 << 30}\n",
            "sys/fs/cgroup/memory/memory.stat": f"cache {1 << 30}\ntotal_inactive_file {1 << 30}\n"
            f"total_active_file {512 * MIB}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory(root) == (2 << 30, 1536 * MIB)
    assert available_cores(root) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("cgroup", ["", "0::/gone/since\n", "0::/../outside\n"])
def test_without_a_limit_it_is_the_whole_machine(tmp_path: Path, cgroup: str) -> None:
    root = written(tmp_path, {"proc/self/cgroup": cgroup, "proc/self/mountinfo": CGROUP2})
    assert memory(root) == (16 << 30, 8 << 30)


def test_a_machine_that_does_not_tell_is_no_error(tmp_path: Path) -> None:
    assert memory(tmp_path) is None
    assert available_cores(tmp_path) >= 1


def test_freed_memory_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    blocks = [bytearray(100_000) for _ in range(1_000)]  # too small to be mapped one by one
    last = bytearray(100_000)  # above all others, so that the C library keeps what is below
    del blocks
    before = resident()
    machine.give_back_memory()
    assert before - resident() > 50_000_000
    assert last
