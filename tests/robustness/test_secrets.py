"""Keys and passwords, given in every way that a user can give one, are in no file, no message and no log."""

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from chat_server import MODEL, Reply, Server, completion, json_reply, serving

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.language import backends, retries, server

KEY = "sk-Kq7Wb/ZxyQ9+41&wVt8"
PASSWORD = "hunter2pw"
# What a part of each secret looks like, also where it is written with escapes.
PARTS = ("Kq7Wb", "ZxyQ9", "wVt8", "hunter2", "wandbkey", "hf_Hub", "gitsecret", "envfile")
VARIABLES = {
    "MY_KEY": KEY,
    "http_proxy": f"http://me:{PASSWORD}@127.0.0.1:9",
    "WANDB_API_KEY": "wandbkey" * 5,
    "WANDB_BASE_URL": f"http://me:{PASSWORD}@127.0.0.1:9",
    "HF_TOKEN": "hf_HubHubHub",
}
SERVER = ("language.backend=server", f"language.model={MODEL}", "language.api_key_variable=MY_KEY")


def prefers(body: dict[str, Any]) -> Reply:
    """Some captions to others, so that there is something to learn."""
    share = len(str(body["messages"])) % 7 / 10
    return json_reply(completion("", Yes=0.1 + share, No=0.8 - share))


@pytest.fixture
def running() -> Iterator[Server]:
    server = Server()
    server.answer = prefers
    with serving(server):
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user works: a clone by an address with a password, a .env, and links to the repository."""
    work = tmp_path / "work"
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://me:gitsecret@git.example/x.git"], check=True)
    (work / ".env").write_text(f"MY_KEY={KEY}\nWANDB_API_KEY=envfile\n")
    for name in ("policies", "rewards", "skills", "tasks"):
        (work / name).symlink_to(tiny.ROOT / name)
    return work


def maestromotif(folder: Path, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = tiny.environment(PYTHONPATH=str(tiny.ROOT), **VARIABLES | variables)
    return subprocess.run(
        [sys.executable, "-m", "maestromotif", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def hidden(text: str) -> str:
    for part in PARTS:
        assert part not in text, (part, text)
    return text


def content(path: Path) -> str:
    """What a file holds, as text; also what is compressed in it."""
    data = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data += b"".join(map(archive.read, archive.namelist()))
    elif data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(("--until", "annotate"), id="annotate"),
        pytest.param((), id="all", marks=pytest.mark.slow),
    ],
)
def test_no_secret_is_in_a_file_of_a_run(
    until: tuple[str, ...], running: Server, folder: Path, tmp_path: Path
) -> None:
    """With wandb offline, since its server cannot be reached, and a file that records all answers."""
    config = tiny.write_config(tmp_path)
    overrides = (f"language.url={running.url}", f"language.record={tmp_path}/answers.jsonl", *SERVER)
    done = maestromotif(
        folder, "run", config, *until, *overrides, "tracking.wandb=auto", WANDB_MODE="online", NO_PROXY="*"
    )
    assert done.returncode == 0, done.stderr
    assert set(running.keys) == {f"Bearer {KEY}"}
    hidden(done.stdout + done.stderr)
    given = {folder / ".env", folder / ".git" / "config"}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path not in given]
    assert {"manifest.json", "config.yaml", "journal.jsonl", "answers.jsonl"} <= {one.name for one in files}
    assert any(path.suffix == ".wandb" for path in files), done.stderr
    for path in files:
        hidden(content(path))


def test_no_secret_is_in_a_transcript(running: Server, folder: Path, tmp_path: Path) -> None:
    """Also of a server that repeats what it was sent."""
    running.answer = lambda body: json_reply(completion(f"# {KEY}\ndef choose(state): return None"))
    words = ("compose", "see some squares of the level", "--success", "explored >= 2", "--by", "python")
    small = ("--search", "oneshot", "--games", 2, "--episode-steps", 20, "--output", tmp_path / "made")
    done = maestromotif(folder, *words, *small, f"language.url={running.url}", *SERVER)
    assert (tmp_path / "made" / "transcript.md").is_file(), done.stderr
    hidden(done.stdout + done.stderr)
    for path in (tmp_path / "made").rglob("*"):
        if path.is_file():
            hidden(path.read_text("utf-8", "replace"))


ESCAPED = KEY.replace("&", "\\u0026").replace("+", "\\u002B").replace("/", "\\/")


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"error": f"wrong key {KEY}"}, 401),
        (403, {}, f"<html>Bearer {KEY.replace('/', '%2F').replace('+', '%2b')} is refused".encode()),
        (401, {}, f'{{"error": "no such key: {ESCAPED}"}}'.encode()),
        (400, {}, f"not with {KEY}".encode()),
        (500, {}, f"trace: Authorization: Bearer {KEY}".encode()),
        (302, {"Location": f"https://me:{PASSWORD}@there.example/v1?key={KEY}"}, b""),
        json_reply({"data": [{"id": f"model of {KEY}"}]}),
    ],
    ids=lambda reply: str(reply[0]),
)
def test_no_secret_is_in_what_is_said_of_a_servers_reply(
    reply: Reply, running: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    running.refuses_get, running.answer = reply, lambda body: reply
    settings: dict[str, Any] = {"backend": "server", "model": MODEL, "url": running.url, "retries": 1}
    asked = LanguageSettings(**settings, api_key_variable="MY_KEY")
    with pytest.raises(UserError) as raised:
        backends.open_model(asked).complete([[{"role": "user", "content": "x"}]], 1, 0.0, 0)
    (found,) = server.check(asked)
    assert found.state == "missing"
    hidden(f"{raised.value}{found.what}{caplog.text}")


CONFIGS = (
    f"language: {KEY}",
    f"language: [{KEY}]",
    f"language:\n  url: https://me:{PASSWORD}@there.example/v1",
    f'language: {{url: "https://me:{PASSWORD}@there.example/v1',
    f"language:\n  url: [https://me:{PASSWORD}@there.example/v1]\n  api_key_variable: {{a: {KEY}}}",
    f"language:\n  api_key: {KEY}\n  headers: {{Authorization: Bearer {KEY}}}",
    f"language:\n  api_key_variable: {KEY}\n  path: https://me:{PASSWORD}@there.example/v1",
    f"language:\n  api_key_variable: '${{oc.env:MY_KEY}}'\nextends: https://me:{PASSWORD}@there.example/v1",
)
OVERRIDES = (
    f"language={KEY}",
    f"language=[{KEY}]",
    f"language.url=https://me:{PASSWORD}@there.example/v1",
    f"language.url=h ttps://me:{PASSWORD}@there.example/v1",
    f"language.api_key_variable={KEY}",
    f"language.api_key {KEY}",
    f"MY_KEY={KEY}",
    f"https://me:{PASSWORD}@there.example/v1",
    f"language.url={{a: https://me:{PASSWORD}@there.example/v1",
)


def test_no_secret_is_in_what_is_said_of_a_config(tmp_path: Path) -> None:
    good = (tiny.ROOT / "configs" / "quickstart.yaml").read_text()
    for number, text in enumerate(CONFIGS):
        (tmp_path / f"{number}.yaml").write_text(f"skills: [descender]\ntasks: [down]\n{text}\n")
        with pytest.raises(UserError) as raised:
            load(str(tmp_path / f"{number}.yaml"))
        hidden(str(raised.value))
    (tmp_path / "good.yaml").write_text(good)
    for override in OVERRIDES:
        with pytest.raises(UserError) as raised:
            load(str(tmp_path / "good.yaml"), [override])
        hidden(str(raised.value))


def test_the_doctor_shows_no_secret(running: Server, folder: Path, tmp_path: Path) -> None:
    running.refuses_get = json_reply({"error": f"wrong key {KEY}"}, 401)
    config = tiny.write_config(tmp_path)
    done = maestromotif(folder, "doctor", config, f"language.url={running.url}", *SERVER)
    assert "rejects the key in the environment variable MY_KEY" in hidden(done.stdout + done.stderr)
