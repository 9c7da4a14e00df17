"""Kernels and file systems that refuse what is usually granted: the real reason is said, and work goes on."""

import sys
import tempfile
from pathlib import Path

import pytest
from refusing import run_refused

from maestromotif.pipeline import store

PLAYS = """
import logging, sys
import numpy as np
from maestromotif.nethack.pool.pool import GamePool
if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for _ in range(2):
        with GamePool(2, "train", 0, 6, workers=1) as pool:
            pool.reset()
            for _ in range(7):
                pool.step(np.full(2, 3))
            print(pool.episode.tolist(), pool.state["turn"].tolist())
"""


def test_without_files_in_memory_the_stock_loader_plays_the_same_and_says_it_once(tmp_path: Path) -> None:
    (tmp_path / "plays.py").write_text(PLAYS)
    with tempfile.TemporaryDirectory(prefix="test-", dir="/tmp") as own:  # others remove what has no lock
        found = [
            run_refused(refusals, sys.executable, tmp_path / "plays.py", TMPDIR=own)
            for refusals in ("memfd_create=EPERM", "flock=ENOLCK")
        ]
    for one in found:
        assert one.returncode == 0, one.stderr
        assert len(set(one.stdout.splitlines())) == 1
    assert found[0].stdout == found[1].stdout
    assert found[0].stderr.splitlines() == [
        "nethack.loader: every game loads its own copy of NetHack, which is slower: "
        "this system does not allow files in memory: Operation not permitted"
    ]
    assert not found[1].stderr  # nobody else needs the lock on a temporary folder


LOCKS = """
import logging, sys
from pathlib import Path
from maestromotif.language.weights import _lock
from maestromotif.pipeline import store
logging.basicConfig(level=logging.INFO, format="%(message)s")
with store.Run(Path(sys.argv[1]) / "run") as run:
    work = store.Work(run.new_work("collect", "0" * 64, {}))
    work.write_text("log.txt", "seen")
    run.finish(work, {"stage": "collect", "key": "0" * 64, "code": {}, "facts": {}})
with _lock(Path(sys.argv[1]) / "model.gguf.lock"):
    print("done")
"""


@pytest.mark.parametrize("reason", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_named_and_used(tmp_path: Path, reason: str) -> None:
    done = run_refused(f"flock={reason},fsync=EINVAL", sys.executable, "-c", LOCKS, tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    run, model = done.stderr.splitlines()
    said = {
        "ENOLCK": "No locks available",
        "ENOSYS": "Function not implemented",
        "EOPNOTSUPP": "Operation not supported",
    }[reason]
    assert run.startswith(f"{tmp_path}/run/.lock: cannot be locked, because the file system says: {said}; ")
    assert model.startswith(f"{tmp_path}/model.gguf.lock: cannot be locked, because the file system says")
    with store.Run(tmp_path / "run") as again:
        assert again.artefact("collect").path.joinpath("log.txt").read_text() == "seen"


def test_a_disk_that_fails_to_write_is_not_gone_on_with(tmp_path: Path) -> None:
    done = run_refused("fsync=EIO", sys.executable, "-c", LOCKS, tmp_path)
    assert done.returncode == 1
    assert "Input/output error" in done.stderr
    assert not (tmp_path / "run" / "collect").exists()


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """A process that starts must not take it for what a killed one has left."""
    writer = store.Work(tmp_path)
    with store.writing(writer.path / "shared.bin") as file:
        file.write(b"half")
        starter = store.Work(tmp_path)
        assert (tmp_path / ".tmp-shared.bin").exists()
        file.write(b" and half")
    (tmp_path / ".tmp-left").write_bytes(b"by a kill")
    assert list(starter.outputs()) == ["shared.bin"]
    starter.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shared.bin"]
