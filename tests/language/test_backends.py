"""Which model the settings mean, and settings that do not go together."""

import hashlib
import importlib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from maestromotif.config import labels
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends, hub, presets, weights
from maestromotif.language.gguf import GgufModel
from maestromotif.language.model import LanguageModel, match
from maestromotif.language.presets import PRESETS, hub_name, top_p
from maestromotif.language.server import ServerModel
from maestromotif.pipeline.keys import NOT_IN_KEYS


def settings(**fields: object) -> LanguageSettings:
    return LanguageSettings.model_validate(fields)


def test_each_backend_opens_what_it_should(tmp_path: Path) -> None:
    small = backends.open_model(settings(model="smollm2-135m-instruct", threads=1, context=256))
    assert isinstance(small, GgufModel)
    assert (small.digest, small.licence) == backends.identity(settings(model="smollm2-135m-instruct"))
    far = backends.open_model(settings(backend="server", model="llama-3.1-70b-instruct"))
    assert isinstance(far, ServerModel)
    assert isinstance(far, LanguageModel)
    assert far.licence == "Llama 3.1 Community License"
    recorder = backends.open_model(settings(backend="server", record=str(tmp_path / "answers.jsonl")))
    assert isinstance(recorder, LanguageModel)
    assert recorder.digest == backends.identity(settings(backend="server"))[0]


def test_the_table_of_backends_is_complete() -> None:
    assert set(labels.BACKENDS) == set(get_args(labels.Backend))
    used = {name for names in labels.BACKENDS.values() for name in names}
    assert used | {"backend", "model", "licence", "cache", "record"} == set(LanguageSettings.model_fields)
    for backend in labels.BACKENDS:
        module = importlib.import_module(f"maestromotif.language.{backend}")
        assert all(callable(getattr(module, function)) for function in ("load", "identity", "check"))


def test_every_setting_of_some_backends_only_is_refused_by_the_others() -> None:
    for name, value in {"sha256": "0" * 64, "revision": "main", "tensor_parallel": 2}.items():
        for backend in labels.BACKENDS:
            if name in labels.BACKENDS[backend]:
                continue
            with pytest.raises(ValidationError, match=r"applies to language\.backend"):
                settings(backend=backend, path="answers.jsonl", **{name: value})


def test_a_context_that_the_model_was_not_made_for() -> None:
    with pytest.raises(UserError, match=r"language\.context: 9000 tokens, but smollm2.* at most 8192"):
        backends.open_model(settings(model="smollm2-135m-instruct", context=9000))


def test_gguf_is_identified_by_its_weights() -> None:
    for name, known in weights.MODELS.items():
        assert backends.identity(settings(model=name)) == (known.sha256, known.licence)


def test_a_served_model_is_identified_by_name_and_revision_wherever_it_is() -> None:
    def digest(**fields: object) -> str:
        return backends.identity(settings(backend="server", **fields))[0]

    here = digest(model="llama-3.1-8b-instruct", url="http://127.0.0.1:8000/v1")
    assert len(here) == 64
    assert here == digest(model="llama-3.1-8b-instruct", url="https://there.example/v1", concurrency=7)
    assert here == digest(model="meta-llama/Llama-3.1-8B-Instruct")  # the preset's name on the hub
    assert here == backends.identity(settings(backend="vllm", model="llama-3.1-8b-instruct"))[0]
    assert len({here, digest(model="other"), digest(model="llama-3.1-8b-instruct", revision="abc")}) == 3
    assert backends.identity(settings(backend="server", model="other", licence="MIT"))[1] == "MIT"
    assert "language.licence" in backends.identity(settings(backend="server", model="other"))[1]


def test_a_folder_is_identified_by_its_files(tmp_path: Path) -> None:
    folder = settings(backend="vllm", model="mine", path=str(tmp_path))
    with pytest.raises(UserError, match=r"language\.path: .*should be a folder with a model"):
        backends.identity(folder)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = backends.identity(folder)
    assert before == backends.identity(folder)
    (tmp_path / "model.safetensors").write_bytes(b"more weights")
    after = backends.identity(folder)
    (tmp_path / "config.json").write_text("[]")
    assert len({before, after, backends.identity(folder)}) == 3


def test_where_and_how_fast_is_in_no_key() -> None:
    assert {f"language.{name}" for name in LanguageSettings.model_fields} & NOT_IN_KEYS == {
        f"language.{name}"
        for name in (
            "path",
            "cache",
            "threads",
            "url",
            "api_key_variable",
            "concurrency",
            "timeout",
            "retries",
            "record",
        )
    }


WRONG: list[tuple[dict[str, object], str, str]] = [
    ({"backend": "recorded"}, "path", "must name the file with the answers"),
    ({"backend": "server", "path": "a"}, "path", "applies to language.backend gguf or vllm or recorded only"),
    ({"revision": "abc"}, "revision", "applies to language.backend vllm or server only, not to gguf; set it"),
    ({"backend": "vllm", "sha256": "0" * 64}, "sha256", "applies to language.backend gguf"),
    ({"tensor_parallel": 2}, "tensor_parallel", "applies to language.backend vllm"),
    ({"url": "127.0.0.1:8000/v1"}, "url", "should look like http://127.0.0.1:8000/v1"),
    ({"url": "http://here:port/v1"}, "url", "should look like http"),
    ({"url": "https://me:secret@there/v1"}, "url", "no user, password or query"),
    ({"api_key_variable": "sk-12345"}, "api_key_variable", "match pattern"),
    ({"backend": "recorded", "path": "a", "record": "a"}, "record", "a different file from language.path"),
    ({"backend": "gpt"}, "backend", "'gguf', 'vllm', 'server' or 'recorded'"),
    ({"concurrency": 0}, "concurrency", "greater than or equal to 1"),
]


@pytest.mark.parametrize(("fields", "name", "says"), WRONG)
def test_settings_that_do_not_go_together(fields: dict[str, object], name: str, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**fields)
    (problem,) = raised.value.errors()
    assert problem["loc"] == (name,)
    assert says in problem["msg"]


def test_a_url_is_taken_with_and_without_its_last_slash() -> None:
    assert settings(url="http://[::1]:80/v1/").url == "http://[::1]:80/v1"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_presets(preset: presets.Preset) -> None:
    assert hub_name(preset.name) == preset.hub
    assert preset.hub.count("/") == 1
    assert top_p(preset.name) == preset.top_p
    assert ("Llama" in preset.licence) is ("Built with Llama" in preset.duties)
    if preset.name in weights.MODELS:
        assert weights.MODELS[preset.name].licence == preset.licence
    assert set(weights.MODELS) <= set(PRESETS)
    assert (hub_name("my/model"), top_p("my/model")) == ("my/model", 1.0)


def test_match_adds_up_tokens_that_are_the_answer_up_to_white_space() -> None:
    tokens = [("Yes", -2.0), ("\n Yes ", -2.0), ("yes", -0.1), ("Yesterday", -0.1), ("No", -3.0)]
    found = match(tokens, ["Yes", "No", "Maybe"])
    assert found.tolist() == pytest.approx([-2.0 + 0.6931471805599453, -3.0, -float("inf")])


def test_named_digest_is_stable() -> None:
    """Keys of runs depend on it."""
    content = b'{"model": "a/b", "revision": null}'
    assert hub.named_digest("a/b", None) == hashlib.sha256(content).hexdigest()
