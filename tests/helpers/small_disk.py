"""A disk of 2 MB, for tests of what a full one does."""

import shutil
import subprocess
from pathlib import Path

import pytest


def small_disk() -> list[str] | None:
    """Command prefix under which "$0" is a disk of 2 MB; None where the machine allows no mount."""
    for namespace in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        prefix = [*namespace, "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"']
        if shutil.which("unshare"):
            trial = subprocess.run([*prefix, "/mnt", "true"], capture_output=True, check=False)
            if trial.returncode == 0:
                return prefix
    return None


def on_small_disk(tmp_path: Path, *command: object) -> subprocess.CompletedProcess[str]:
    prefix = small_disk()
    if prefix is None:
        pytest.skip("this machine allows nobody to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    return subprocess.run(
        [*prefix, str(disk), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
