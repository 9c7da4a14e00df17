"""What keeps the annotation from starting on this machine is found before the collection begins."""

from pathlib import Path

import pytest

from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.pipeline.runner import open_run, run_all

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
    assert not (run.folder / ".work").exists()
    assert not list(run.folder.glob("*/manifest.json"))
