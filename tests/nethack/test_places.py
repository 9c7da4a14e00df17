"""What the doctor says about the folder for temporary files."""

import shlex
import sys
import tempfile
from pathlib import Path

import pytest
from small_disk import on_small_disk

from maestromotif.nethack import check

SAYS = """
import os, sys, tempfile
tempfile.tempdir = sys.argv[1]
os.chdir(sys.argv[2])
from maestromotif.nethack.check import temporary
found = temporary()
print(found.state, found.what, found.fix, sep="\\n")
"""


def test_a_small_folder_for_temporary_files_comes_with_the_command_that_helps(tmp_path: Path) -> None:
    here = tmp_path / "my project"
    here.mkdir()
    # A path that is too long for sockets would not be used.
    short = Path(tempfile.mkdtemp(prefix="small-"))
    try:
        done = on_small_disk(short, sys.executable, "-c", SAYS, short / "disk", here)
    finally:
        (short / "disk").rmdir()
        short.rmdir()
    state, what, fix = done.stdout.splitlines()
    assert state == "missing", done.stderr
    assert what == f"2 MB free for temporary files in {short}/disk; games need 10"
    assert shlex.split(fix) == ["mkdir", "-p", f"{here}/tmp", "&&", "export", f"TMPDIR={here}/tmp"]


def test_a_folder_that_is_not_the_one_asked_for_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    found = check.temporary()
    assert found.state == "ok"
    assert f"not in TMPDIR={tmp_path}/nowhere, which cannot be written to" in found.what
