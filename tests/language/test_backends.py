"""Which model the settings mean, and settings that do not go together."""

import hashlib
import importlib
import math
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from maestromotif.config import labels
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends, hub, presets, weights
from maestromotif.language.gguf import GgufModel
from maestromotif.language.model import LanguageModel, match, well_formed
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
            "check_model",
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
    ({"url": "http://there/v1?api_key=secret"}, "url", "no user, password or query"),
    ({"url": "http://there:8000/v1/chat/completions"}, "url", "should end before /chat/completions"),
    ({"url": "http://the re:8000/v1"}, "url", "no spaces and no control characters"),
    ({"api_key_variable": "sk-12345"}, "api_key_variable", "the key itself belongs in that variable"),
    ({"api_key_variable": "gsk_12345abc"}, "api_key_variable", "the key itself belongs in that variable"),
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


@pytest.mark.parametrize(
    "token",
    [
        "yes",
        "YES",
        "\u0120Yes",
        " Yes",
        "yes.",
        "\n Yes ",
        "**Yes",
        '"Yes"',
        "\u2581yes",
        "\u201cYes",
        "Yes,",
    ],
)
def test_match_adds_up_all_spellings_of_an_answer(token: str) -> None:
    tokens = [("Yes", -2.0), (token, -2.0), ("Yesterday", -0.5), ("Y", -3.0), ("No", -3.0), ("Not", -3.0)]
    assert match(tokens, ["Yes", "No"]).tolist() == pytest.approx([-2.0 + math.log(2), -3.0])


def test_other_numbers_spell_no_answer() -> None:
    tokens = [
        ("1", -2.0),
        ("1.", -2.0),
        ("(1)", -2.0),
        ("-1", -1.0),
        ("12", -1.0),
        ("1.2", -1.0),
        ("2", -4.0),
    ]
    assert match(tokens, ["1", "2"]).tolist() == pytest.approx([-2.0 + math.log(3), -4.0])


NOTHING = [-math.inf, -math.inf]


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        # an answer beyond the likeliest tokens is at most as likely as the last of them
        ([("Yes", -0.001), ("Aye", -7.0), ("Sure", -9.5), ("Oui", -9.0)], [-0.001, -9.5]),
        ([("No", -0.5), ("Maybe", -1.0)], [-1.0, -0.5]),
        ([("Yes", -0.01), ("Maybe", math.nan), ("No", -5.0)], [-0.01, -5.0]),
        ([("Yes", -0.01), ("Maybe", -6.0), ("No", -9999.0)], [-0.01, -6.0]),
        ([("Yes", math.log(0.99)), ("No", -9999.0)], [math.log(0.99), math.log(0.01)]),
        ([("Yes", 0.0), ("No", -math.inf)], [0.0, math.log(2**-24)]),
        ([("Yes", math.log(0.3))], [math.log(0.3), -math.inf]),  # one token, and more likely ones are unknown
        ([("Maybe", -0.1), ("Perhaps", -3.0)], NOTHING),
        ([("Yes", math.nan), ("No", -0.1), ("Maybe", -4.0)], NOTHING),
        ([("Yes", -0.1), ("No", math.nan), (" No", -4.0)], NOTHING),
        ([("Yes", -9999.0), ("No", -9999.0)], NOTHING),
        ([("Yes", 0.0), ("No", 0.0), ("Maybe", 0.0)], NOTHING),  # more than all there is
        ([("No", -1.0), (None, math.nan), ("Maybe", -3.0)], [-math.inf, -1.0]),  # which may be Yes
        ([("No", -1.0), (None, math.nan), ("Yes", -3.0)], [-3.0, -1.0]),
        ([], NOTHING),
    ],
)
def test_match_bounds_an_answer_that_is_not_among_the_likeliest(
    tokens: list[tuple[str | None, float]], found: list[float]
) -> None:
    assert match(tokens, ["Yes", "No"]).tolist() == pytest.approx(found)


def test_halves_of_surrogate_pairs_are_replaced_and_whole_ones_joined() -> None:
    assert well_formed("x \ud83d y \ude00") == "x \ufffd y \ufffd"
    assert well_formed("\ud83d\ude00 ä \U0001f600") == "\U0001f600 ä \U0001f600"


def test_named_digest_is_stable() -> None:
    """Keys of runs depend on it."""
    content = b'{"model": "a/b", "revision": null}'
    assert hub.named_digest("a/b", None) == hashlib.sha256(content).hexdigest()
