"""The store: atomic files, one process a run, nothing lost by kills, damage or full disks."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import on_small_disk

from maestromotif.errors import UserError
from maestromotif.pipeline import store
from maestromotif.pipeline.store import Artefact, Run

KEY, OTHER_KEY = "a" * 64, "b" * 64

# for processes that import this file
FOLDERS = os.pathsep.join([str(Path(__file__).parent), *sys.path])


@contextlib.contextmanager
def started(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another Python process; `code` may print. Killed at the end of the block if it still runs."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def make(run: Run, key: str = KEY, stage: str = "collect", text: str = "seen") -> Artefact:
    work = store.Work(run.new_work(stage, key, {}))
    work.write_bytes(".scratch/checkpoint", b"half")
    work.write_text("log.txt", text)
    work.write_arrays("deep/numbers.npz", numbers=np.arange(5))
    return run.finish(work, {"stage": stage, "key": key, "code": {}, "facts": {"steps": np.int64(5)}})


def find(run: Run, stage: str, key: str = KEY) -> Artefact | None:
    """The artefact that was made under this key, made the present one again."""
    there = [artefact for artefact in run.finished(stage) if artefact.manifest["key"] == key]
    return run.restore(there[0]) if there else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "mine"


def test_a_finished_stage_has_a_manifest_of_what_is_in_it(folder: Path) -> None:
    with Run(folder) as run:
        made = make(run)
        assert made.path == folder / "collect"
        assert sorted(made.manifest["outputs"]) == ["deep/numbers.npz", "log.txt"]
        assert made.manifest["outputs"]["log.txt"] == store.sha256(made.path / "log.txt")
        assert made.manifest["facts"] == {"steps": 5} or made.manifest["facts"]["steps"] == 5
        assert not (made.path / ".scratch").exists()
        assert not list((folder / ".work").iterdir())
        assert run.artefact("collect").digest == made.digest
        assert find(run, "collect", KEY) is not None
        assert find(run, "collect", OTHER_KEY) is None


def test_the_digest_tells_contents_apart_and_nothing_else(tmp_path: Path) -> None:
    digests = []
    for name, text in (("one", "seen"), ("two", "seen"), ("three", "heard")):
        with Run(tmp_path / name) as run:
            digests.append(make(run, text=text).digest)
    assert digests[0] == digests[1] != digests[2]


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20).map(lambda items: np.array(items, np.int32)),
        max_size=4,
    )
)
def test_arrays_come_back_and_equal_arrays_give_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    written = []
    for ordered in (arrays, dict(reversed(arrays.items()))):
        with store.writing(path) as file:
            store.write_arrays(file, ordered)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    with np.load(path) as loaded:
        assert sorted(loaded) == sorted(arrays)
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)


def test_arrays_of_every_kind_that_the_stages_use(tmp_path: Path) -> None:
    arrays = {
        "text": np.array([b"You see here a scroll.", b""], "S256"),
        "turned": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
        "scalar": np.array(3, np.int8),
        "flags": np.array([True, False]),
    }
    with store.writing(tmp_path / "a.npz") as file:
        store.write_arrays(file, arrays)
    with np.load(tmp_path / "a.npz") as loaded:
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)


def test_what_json_cannot_say_is_refused(folder: Path) -> None:
    with Run(folder) as run:
        work = store.Work(run.new_work("collect", KEY, {}))
        work.write_json("a.json", {"x": np.float32(0.5), "y": np.arange(2), "z": Path("a/b")})
        assert json.loads((work.path / "a.json").read_text()) == {"x": 0.5, "y": [0, 1], "z": "a/b"}
        for bad in (float("nan"), float("inf"), object()):
            with pytest.raises((ValueError, TypeError)):
                work.write_json("a.json", {"x": bad})
        assert json.loads((work.path / "a.json").read_text())["x"] == 0.5


WRITES_FOREVER = """
import sys
from pathlib import Path
from maestromotif.pipeline.store import Work

work = Work(Path(sys.argv[1]))
while True:
    for letter in b"ab":
        work.write_bytes("file", bytes([letter]) * 3_000_000)
        print("ready", flush=True)
"""


def test_a_file_is_whole_however_its_writer_is_killed(tmp_path: Path) -> None:
    for attempt in range(6):
        with started(WRITES_FOREVER, tmp_path) as process:
            assert says(process) == "ready"
            time.sleep(0.05 + 0.013 * attempt)
            process.kill()
        content = (tmp_path / "file").read_bytes()
        assert content in (b"a" * 3_000_000, b"b" * 3_000_000)
    work = store.Work(tmp_path)
    assert list(work.outputs()) == ["file"]
    work.tidy()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]  # what the killed ones had half written is gone


def test_a_failing_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="half way"), store.writing(path) as file:  # noqa: PT012
        file.write(b"after")
        raise RuntimeError("half way")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


HOLDS = """
import os, sys, time
from pathlib import Path
from maestromotif.pipeline.store import Run

with Run(Path(sys.argv[1])):
    worker = os.fork() if sys.argv[2] == "fork" else 0
    if not worker:  # a worker says so itself: only then has it let go of what it was born with
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_works_on_the_run(folder: Path) -> None:
    with started(HOLDS, folder, "alone") as process:
        says(process)
        with pytest.raises(UserError) as caught:
            Run(folder).__enter__()
    assert str(caught.value).startswith(f"{folder}: process {process.pid} is using this run; ")
    assert "run.name=another" in str(caught.value)
    with Run(folder):  # the lock dies with its holder
        assert (folder / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_worker_that_outlives_its_killed_parent_holds_no_lock(folder: Path) -> None:
    with started(HOLDS, folder, "fork") as process:
        worker = int(says(process))
    try:
        with Run(folder):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    with Run(tmp_path / "one") as one, Run(tmp_path / "two") as two:
        assert make(one).digest == make(two).digest


def test_a_run_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("taken")
    with pytest.raises(UserError, match=r"runs/mine: cannot be used as the run's folder: .*run\.root"):
        Run(tmp_path / "runs" / "mine").__enter__()


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest", "no manifest", "a file"])
def test_damage_is_named_with_the_commands_that_repair_it(folder: Path, damage: str) -> None:
    with Run(folder, "configs/mine.yaml run.seed=3") as run:
        place = make(run).path
        match damage:
            case "changed":
                (place / "log.txt").write_text("something else")
                broken = "log.txt: is damaged"
            case "missing":
                (place / "deep/numbers.npz").unlink()
                broken = "deep/numbers.npz: is missing"
            case "manifest":
                (place / "manifest.json").write_text('{"stage": "coll')
                broken = "manifest.json: is damaged"
            case "no manifest":
                (place / "manifest.json").unlink()
                broken = "manifest.json: is missing"
            case _:
                shutil.rmtree(place)
                place.write_text("taken")
                broken = "manifest.json: cannot be read: Not a directory"
        for look in (run.artefact, partial(find, run)):
            with pytest.raises(UserError) as caught:
                look("collect")
            assert f"{place / broken.split(':')[0]}:{broken.split(':', 1)[1]}" in str(caught.value)
            repair = f"rm -r {place} && maestromotif collect configs/mine.yaml run.seed=3"
            assert str(caught.value).endswith(repair)


@pytest.mark.parametrize("name", ["x", f"train-{KEY[:12]}", f"collect-{OTHER_KEY[:12]}", "collect"])
def test_a_finished_folder_with_the_name_of_other_work_is_not_moved(folder: Path, name: str) -> None:
    with Run(folder) as run:
        make(run, OTHER_KEY)
    work = store.Work(folder / ".work" / name)
    work.write_json("manifest.json", {"stage": "collect", "key": KEY, "code": {}, "outputs": {}})
    with pytest.raises(UserError, match=r"manifest\.json: is of the stage 'collect' .*has another name"):
        Run(folder).__enter__()
    assert json.loads((folder / "collect/manifest.json").read_text())["key"] == OTHER_KEY


@pytest.mark.parametrize(
    "outputs",
    [{"../x": "0"}, {"/etc/passwd": "0"}, {"a/../../x": "0"}, {"": "0"}, {"a": 3}, [], "a"],
    ids=str,
)
def test_a_manifest_names_only_files_of_its_folder(folder: Path, outputs: object) -> None:
    with Run(folder) as run:
        place = make(run).path / "manifest.json"
        place.write_text(json.dumps(json.loads(place.read_text()) | {"outputs": outputs}))
        with pytest.raises(UserError, match=r"manifest\.json: is damaged: outputs "):
            run.artefact("collect")


def test_commands_in_messages_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my runs; rm -r x" / "mine"
    with Run(folder, shlex.join(["a b.yaml", "run.root=my runs; rm -r x"])) as run:
        (folder / "collect").write_text("in the way")
        with pytest.raises(UserError) as caught:
            run.artefact("collect")
    remove, again = str(caught.value).rpartition(": ")[2].split(" && ")
    assert shlex.split(remove) == ["rm", "-r", str(folder / "collect")]
    assert shlex.split(again) == ["maestromotif", "collect", "a b.yaml", "run.root=my runs; rm -r x"]


def test_work_without_the_name_of_its_stage_is_passed_over(folder: Path) -> None:
    identity: dict[str, object] = {"config": {}, "inputs": {}, "files": {}, "code": {}}
    with Run(folder) as run:
        for content in (identity, [1], identity | {"stage": ["collect"]}):
            store.Work(run.new_work("collect", KEY, {})).write_json(store.IDENTITY, content)
            assert run.begun("collect") == []


@pytest.mark.parametrize(
    "wrong", [{"stage": "../../escaped"}, {"key": "../../../escaped"}, {"stage": ["collect"]}], ids=str
)
def test_a_manifest_cannot_move_files_out_of_the_run(folder: Path, wrong: dict[str, object]) -> None:
    with Run(folder) as run:
        make(run, OTHER_KEY)
        work = store.Work(run.new_work("collect", KEY, {}))
        work.write_json("manifest.json", {"stage": "collect", "key": KEY, "code": {}, "outputs": {}} | wrong)
    with pytest.raises(UserError, match=r"manifest\.json: is damaged"), Run(folder):
        pass
    assert work.path.is_dir()
    assert not list(folder.parents[1].rglob("*escaped*"))


def test_a_folder_with_spaces_is_quoted_in_commands(tmp_path: Path) -> None:
    folder = tmp_path / "my runs" / "mine"
    with Run(folder, "'my config.yaml'") as run:
        place = make(run).path
        (place / "log.txt").write_text("something else")
        with pytest.raises(UserError) as caught:
            run.artefact("collect")
    command = str(caught.value).rpartition("make it again: ")[2]
    assert shlex.split(command) == [
        *("rm", "-r", str(place), "&&"),
        *("maestromotif", "collect", "my config.yaml"),
    ]


def test_damage_among_several_files_names_each(folder: Path) -> None:
    with Run(folder) as run:
        place = make(run).path
        (place / "log.txt").write_text("something else")
        (place / "deep/numbers.npz").unlink()
        with pytest.raises(UserError) as caught:
            run.artefact("collect")
    assert len(str(caught.value).splitlines()) == 3


def test_a_stage_that_is_not_done_names_the_command_that_does_it(folder: Path) -> None:
    with Run(folder, "configs/mine.yaml") as run, pytest.raises(UserError) as caught:
        run.artefact("collect")
    message = (
        f"{folder}/collect: stage 'collect' is not finished; run it, and what it needs, with: "
        "maestromotif run configs/mine.yaml --until collect"
    )
    assert str(caught.value) == message


def test_newer_settings_lose_nothing_and_older_ones_find_theirs_again(folder: Path) -> None:
    with Run(folder) as run:
        make(run, KEY, text="first")
        make(run, OTHER_KEY, text="second")
        assert (folder / "collect/log.txt").read_text() == "second"
        assert (folder / f".earlier/collect-{KEY[:12]}/log.txt").read_text() == "first"
        again = find(run, "collect", KEY)
        assert again is not None
        assert (again.path / "log.txt").read_text() == "first"
        assert (folder / f".earlier/collect-{OTHER_KEY[:12]}/log.txt").read_text() == "second"
        assert find(run, "collect", OTHER_KEY) is not None


KILLED_AT_RENAME = """
import os, signal, sys
from pathlib import Path
from maestromotif.pipeline.store import Run
import test_store

renames = 0
original = Path.rename

def rename(self, target):
    global renames
    renames += 1
    if renames == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, target)

with Run(Path(sys.argv[1])) as run:
    test_store.make(run, test_store.KEY, text="first")
    Path.rename = rename
    if sys.argv[3] == "finish":
        test_store.make(run, test_store.OTHER_KEY, text="second")
    else:
        test_store.find(run, "collect", test_store.OTHER_KEY)
"""


@pytest.mark.parametrize("rename", [1, 2])  # moving the old aside, moving the new into place
def test_a_kill_between_the_renames_is_healed(
    folder: Path, rename: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", FOLDERS)
    with started(KILLED_AT_RENAME, folder, rename, "finish") as process:
        output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, output
    assert (folder / "collect").exists() == (rename == 1)
    with Run(folder) as run:
        made = find(run, "collect", OTHER_KEY)
        assert made is not None
        assert (made.path / "log.txt").read_text() == "second"
        assert (folder / f".earlier/collect-{KEY[:12]}/log.txt").read_text() == "first"
        assert not list((folder / ".work").iterdir())


@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_while_an_earlier_output_comes_back_is_healed(
    folder: Path, rename: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run(folder) as run:
        make(run, OTHER_KEY, text="second")
    monkeypatch.setenv("PYTHONPATH", FOLDERS)
    with started(KILLED_AT_RENAME, folder, rename, "find") as process:
        output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, output
    with Run(folder) as run:
        for key, text in ((OTHER_KEY, "second"), (KEY, "first")):
            made = find(run, "collect", key)
            assert made is not None
            assert (made.path / "log.txt").read_text() == text


FILLS_A_DISK = """
import os, sys
from pathlib import Path
import numpy as np
import test_store
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Run, Work

with Run(Path(sys.argv[1])) as run:
    first = test_store.make(run, stage="collect")
    work = Work(run.new_work("annotate", test_store.KEY, {}))
    work.write_text("captions.jsonl", "kept")
    big = np.random.default_rng(0).integers(0, 255, 4_000_000, np.uint8)
    for write in (
        lambda: work.write_bytes("captions.jsonl", big.tobytes()),
        lambda: work.write_arrays("deep/scores.npz", big=big),
    ):
        try:
            write()
        except UserError as error:
            print(error)
    assert (work.path / "captions.jsonl").read_text() == "kept"
    assert list(work.outputs()) == ["captions.jsonl"]
    assert run.artefact("collect").digest == first.digest
    free = os.statvfs(sys.argv[1])
    print("free again:", free.f_bavail * free.f_frsize > 1_000_000)
"""


def test_a_full_disk_is_named_and_leaves_everything_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", FOLDERS)
    done = on_small_disk(tmp_path, sys.executable, "-c", FILLS_A_DISK, tmp_path / "disk" / "mine")
    assert done.returncode == 0, done.stderr
    first, second, free = done.stdout.splitlines()
    work = tmp_path / "disk" / "mine" / ".work" / f"annotate-{KEY[:12]}"
    assert first.startswith(f"disk full while writing {work}/captions.jsonl (")
    assert second.startswith(f"disk full while writing {work}/deep/scores.npz (")
    assert "MB free there); finished stages are not affected" in first
    assert free == "free again: True"
