"""vLLM itself, on the CPU, in process and as a server, with the smallest model of the table.

It has an environment of its own (`make test-vllm`); elsewhere what needs it is skipped.
"""

import importlib.metadata
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import hub_folder, presets, vllm, weights
from maestromotif.language.model import Chat
from maestromotif.language.vllm import VllmModel

NAME = "smollm2-135m-instruct"
CONTEXT = 512
ANSWERS = ["Yes", "No"]
QUESTIONS = ("Is a dog an animal? Answer Yes or No.", "Is a dog a stone? Answer Yes or No.", "Say Yes.")
LLAMA_CPP = [[-2.389, -1.158], [-2.602, -1.206], [-3.578, -4.526]]  # what `language.gguf` answers to them
SERVER_START = 600  # seconds, on a busy machine; it takes half a minute on a quiet one
NOISE = 0.2  # of a log-probability in bfloat16; in float32 it is a thousandth

pytestmark = pytest.mark.filterwarnings("ignore")  # vLLM and torch warn of their own affairs
needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed here; `make test-vllm` runs this in an environment of its own",
)


def ask(*words: str) -> list[Chat]:
    return [[{"role": "user", "content": said}] for said in words]


@pytest.fixture(scope="module")
def folder() -> Path:
    """The model as the hub has it. Kept beside the file that it is made from."""
    file = weights.ensure(LanguageSettings(model=NAME))
    return hub_folder.make(file, file.with_suffix(".hub"))


@pytest.fixture(scope="module")
def model(folder: Path) -> VllmModel:
    return vllm.load(LanguageSettings(backend="vllm", model=NAME, path=str(folder), context=CONTEXT))


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM server. Its module is called, because the command `vllm serve` asks for the
    version of a package named vllm, and the one for the CPU has another name.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    options = {
        "--model": folder,
        "--served-model-name": presets.hub_name(NAME),
        "--host": "127.0.0.1",
        "--port": port,
        "--dtype": "auto" if vllm._computes_bfloat16() else "float32",
        "--max-model-len": CONTEXT,
        "--max-logprobs": 1000,
        "--kv-cache-memory-bytes": vllm.CPU_CACHE,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *words]
    environment = os.environ | {
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "passive",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + SERVER_START
        while not is_up(address):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"{address}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@needs_vllm
def test_folder_has_the_files_own_chat_template_and_tokenizer(folder: Path) -> None:
    from gguf import GGUFReader

    header = GGUFReader(weights.ensure(LanguageSettings(model=NAME))).fields
    template = (folder / "chat_template.jinja").read_text()
    assert template == header["tokenizer.chat_template"].contents()
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = header["tokenizer.ggml.tokens"].contents()
    assert [vocabulary[token] for token in tokens] == list(range(len(tokens)))


@needs_vllm
def test_logprobs_are_those_of_the_gguf_file(model: VllmModel) -> None:
    """Also the order of results: what llama.cpp answered to the same questions to the same file."""
    assert (model.name, model.licence) == (NAME, "Apache-2.0")
    found = model.answer_logprobs(ask(*QUESTIONS), ANSWERS)
    assert found.shape == (3, 2)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, LLAMA_CPP, atol=0.3)
    reversed_order = model.answer_logprobs(ask(*reversed(QUESTIONS)), list(reversed(ANSWERS)))
    np.testing.assert_allclose(found, reversed_order[::-1, ::-1], atol=NOISE)


@needs_vllm
def test_same_bits_whatever_was_asked_before(model: VllmModel) -> None:
    first = model.answer_logprobs(ask(*QUESTIONS), ANSWERS)
    model.answer_logprobs(ask(QUESTIONS[1], "Is a dog an animal? Or what is it?"), ANSWERS)
    assert first.tobytes() == model.answer_logprobs(ask(*QUESTIONS), ANSWERS).tobytes()


@needs_vllm
@pytest.mark.parametrize("system", [None, "You answer in one word."])
def test_prompt_is_the_chat_template_of_the_model(model: VllmModel, folder: Path, system: str | None) -> None:
    from transformers import AutoTokenizer

    chat: Any = [{"role": "system", "content": system}] * (system is not None) + ask(QUESTIONS[0])[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    (output,) = model._ask([chat], [model._parameters(max_tokens=1)])
    assert tokenizer.decode(output.prompt_token_ids) == expected
    assert expected.startswith("<|im_start|>system\n")
    assert expected.endswith(f"<|im_start|>user\n{QUESTIONS[0]}<|im_end|>\n<|im_start|>assistant\n")


@needs_vllm
def test_completions(model: VllmModel) -> None:
    begun: Chat = [
        *ask("What is the capital of France?")[0],
        {"role": "assistant", "content": "It is called"},
    ]
    certain = model.complete([*ask("Say hello."), begun], max_tokens=8, temperature=0.0, seed=0)
    assert all(certain)
    assert "Paris" in certain[1]
    assert "called" not in certain[1]
    drawn = model.complete(ask(*["Name any animal."] * 4), max_tokens=12, temperature=1.5, seed=3)
    assert len(set(drawn)) > 1
    assert drawn[1:3] == model.complete(ask(*["Name any animal."] * 4), 12, 1.5, seed=3)[1:3]


@needs_vllm
def test_nothing_asked(model: VllmModel) -> None:
    assert model.answer_logprobs([], ANSWERS).shape == (0, 2)
    assert model.complete([], 8, 0.0, 0) == []


@needs_vllm
def test_answer_that_is_no_token(model: VllmModel) -> None:
    with pytest.raises(
        UserError, match="smollm2-135m-instruct: the answer 'Yes, of course' is not a single token"
    ):
        model.answer_logprobs(ask(*QUESTIONS), ["Yes, of course", "No"])


@needs_vllm
def test_prompt_longer_than_the_context(model: VllmModel) -> None:
    with pytest.raises(UserError, match=r"smollm2-135m-instruct.*language\.context is 512 tokens"):
        model.answer_logprobs(ask("x " * 2000), ANSWERS)


@needs_vllm
def test_server_says_the_same(model: VllmModel, server: str) -> None:
    from maestromotif.language.server import ServerModel

    settings = LanguageSettings(backend="server", model=NAME, url=server, top_logprobs=1000)
    served = ServerModel(settings, model.digest, model.licence)
    np.testing.assert_allclose(
        served.answer_logprobs(ask(*QUESTIONS), ANSWERS),
        model.answer_logprobs(ask(*QUESTIONS), ANSWERS),
        atol=NOISE,
    )
    assert all(served.complete(ask(*QUESTIONS[:2]), 8, 0.0, 0))


@needs_vllm
def test_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nobody knows"}')
    with pytest.raises(UserError, match=r"language\.model: mine: vLLM .* cannot load it"):
        vllm.load(LanguageSettings(backend="vllm", model="mine", path=str(tmp_path)))


def test_without_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing() -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(vllm, "_version", missing)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"pip install 'maestromotif\[vllm\]'"):
        vllm.load(LanguageSettings(backend="vllm", model="mine", path=str(tmp_path)))
