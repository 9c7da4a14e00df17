"""What keeps the annotation from starting on this machine is found before the collection begins."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import MODEL, Reply, Server, json_reply, serving

from maestromotif.annotate.answers import Judge, foresee
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.runner import open_run, run_all
from maestromotif.pipeline.store import Run
from maestromotif.rewards import curate

SERVER = ("language.backend=server", "language.url=http://judge.example:8000/v1", "language.model=m")


@pytest.mark.parametrize(
    ("variables", "overrides", "said"),
    [
        ({"OPENAI_API_KEY": "sk-A\nsk-B"}, SERVER, r"^OPENAI_API_KEY: is no key, because its character 5"),
        ({"http_proxy": "gopher://proxy.example:1"}, SERVER, "^http_proxy: names the proxy gopher://proxy"),
        ({"HOME": "FILE"}, (), r"^FILE/\.cache.*: Not a directory.*Set language.cache to a writable"),
        ({"HOME": "FILE", "MAESTROMOTIF_CACHE": "FILE/x"}, (), "FILE/x/.*Set language.cache to a writable"),
        ({}, ("annotate.answers=FILE/answers", *SERVER), "^FILE/answers: Not a directory; annotate.answers"),
        ({}, ("language.record=FILE/x.jsonl", *SERVER), r"^language.record: FILE/x.jsonl: cannot be written"),
        ({}, ("language.backend=vllm", "language.model=m"), "^language.backend: vllm: vLLM is not installed"),
    ],
)
def test_the_annotation_is_looked_at_before_the_collection(
    variables: dict[str, str],
    overrides: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("is no folder, which stops root too")
    file = str(tmp_path / "file")
    for name in ("MAESTROMOTIF_CACHE", "no_proxy", "NO_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("FILE", file))
    words = [word.replace("FILE", file) for word in overrides]
    config = load("configs/quickstart.yaml", [f"run.root={tmp_path}", "tracking.wandb=disabled", *words])
    run = open_run(config)
    with pytest.raises(UserError, match=said.replace("FILE", file)):
        run_all(config, run, until="annotate")
    nothing_began(run)


@pytest.fixture
def running() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


def served_by(running: Server, tmp_path: Path) -> Config:
    overrides = (
        f"language.url={running.url}",
        f"language.model={MODEL}",
        f"annotate.answers={tmp_path}/known",
    )
    given = [f"run.root={tmp_path}", "tracking.wandb=disabled", "language.backend=server", *overrides]
    return load("configs/quickstart.yaml", given)


def nothing_began(run: Run) -> None:
    assert not (run.folder / ".work").exists()
    assert not list(run.folder.glob("*/manifest.json"))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (json_reply({"error": "no such key"}, 401), "needs a key; put it in the environment variable OPENAI"),
        (json_reply({"data": [{"id": "another"}]}), "the server has no model 'some/model'.* it has another"),
        ((302, {"Location": "https://there.example/v1"}, b""), "sends requests on to https://there.example"),
        (None, "no server answers"),
    ],
    ids=["key", "model", "redirect", "nobody"],
)
def test_a_server_that_would_not_answer_is_found_before_the_collection(
    reply: Reply | None, said: str, running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running.refuses_get = reply
    config = served_by(running, tmp_path)
    if reply is None:
        running.socket.close()
    run = open_run(config)
    with pytest.raises(UserError, match=said):
        run_all(config, run, until="annotate")
    nothing_began(run)
    assert running.asked == []


def test_a_run_whose_answers_may_be_remembered_goes_on(
    running: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = served_by(running, tmp_path)
    running.refuses_get = json_reply({"error": "no such key"}, 401)
    (Judge(config.language, config.annotate).folder / "older.jsonl").write_text("{}\n")
    foresee(config)
    assert "the run goes on as long as the answers in" in caplog.text


@pytest.mark.parametrize(
    "reply",
    [json_reply({}, 503), json_reply({}, 429), json_reply({}, 403), json_reply({}, 404), (200, {}, b"x")],
)
def test_a_server_that_is_busy_or_lists_no_models_is_trusted(
    reply: Reply, running: Server, tmp_path: Path
) -> None:
    running.refuses_get = reply
    foresee(served_by(running, tmp_path))


def test_who_asks_nothing_needs_no_server(running: Server, tmp_path: Path) -> None:
    running.refuses_get = json_reply({"error": "no such key"}, 401)
    config = served_by(running, tmp_path)
    assert config.curate.again_pairs == 0
    curate.foresee(config)
