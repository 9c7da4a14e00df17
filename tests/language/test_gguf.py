"""The embedded language model, on the smallest of the table (98 MB, fetched once into the cache)."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import gguf, weights
from maestromotif.language.gguf import GgufModel
from maestromotif.language.model import Chat

SMALL = LanguageSettings(model="smollm2-135m-instruct", threads=1, context=512)
ANSWERS = ["Yes", "No"]
ASK = """
import sys, numpy as np
from maestromotif.language import gguf
from maestromotif.config.labels import LanguageSettings
model = gguf.load(LanguageSettings(model="smollm2-135m-instruct", threads=int(sys.argv[1]), context=512))
prompts = [[{"role": "user", "content": words}] for words in sys.argv[2:]]
sys.stdout.buffer.write(model.answer_logprobs(prompts, ["Yes", "No"]).tobytes())
"""


def ask(*words: str) -> list[Chat]:
    return [[{"role": "user", "content": said}] for said in words]


STOPPED = """
import os, signal, sys, threading, time
from maestromotif.language import gguf
from maestromotif.config.labels import LanguageSettings
import xllamacpp

settings = LanguageSettings(model="smollm2-135m-instruct", threads=1, context=512)
for _ in range(5):
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        gguf.load(settings)
        time.sleep(1)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


QUESTIONS = ("Is a dog an animal? Answer Yes or No.", "Is a dog a stone? Answer Yes or No.", "Say something.")


@pytest.fixture(scope="module")
def model() -> GgufModel:
    return gguf.load(SMALL)


def test_who_it_is(model: GgufModel) -> None:
    known = weights.MODELS[SMALL.model]
    assert (model.name, model.digest, model.licence) == (known.name, known.sha256, "Apache-2.0")


def test_logprobs_are_of_the_answers(model: GgufModel) -> None:
    found = model.answer_logprobs(ask(*QUESTIONS), [*ANSWERS, "no such token is among its candidates"])
    assert found.shape == (3, 3)
    assert found.dtype == np.float64
    assert np.isfinite(found[:2, :2]).all()
    assert (found[:, 2] <= found[:, :2].min(1)).all()  # at most as likely as the least likely candidate
    assert (np.exp(found).sum(1) <= 1 + 1e-6).all()
    assert np.exp(found[:2]).sum(1).min() > 0.2  # asked for Yes or No, it says little else


def test_no_prompts(model: GgufModel) -> None:
    assert model.answer_logprobs([], ANSWERS).shape == (0, 2)


def test_same_bits_whatever_was_asked_before(model: GgufModel) -> None:
    first = model.answer_logprobs(ask(*QUESTIONS), ANSWERS)
    model.answer_logprobs(ask(QUESTIONS[1], "Is a dog an animal? Or what is it?"), ANSWERS)
    again = model.answer_logprobs(ask(*QUESTIONS), ANSWERS)
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_bits_in_another_process_with_other_threads(model: GgufModel, threads: str) -> None:
    here = model.answer_logprobs(ask(*QUESTIONS), ANSWERS)
    command = [sys.executable, "-c", ASK, threads, *QUESTIONS]
    there = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout
    assert there == here.tobytes()


def test_prompt_longer_than_the_context(model: GgufModel) -> None:
    with pytest.raises(UserError, match=r"smollm2-135m-instruct.*language\.context is 512 tokens"):
        model.answer_logprobs(ask("x " * 2000), ANSWERS)


def test_complete(model: GgufModel) -> None:
    prompts = ask("Count to five.", "Name an animal.")
    said = model.complete(prompts, 8, 0.0, 0)
    assert all(said)
    assert said == model.complete(prompts, 8, 0.0, 1)  # greedy: whatever the seed
    assert said[0] == model.complete(prompts[:1], 8, 0.0, 0)[0]
    assert len(model.complete(prompts[:1], 1, 0.0, 0)[0]) < len(said[0])
    assert model.complete([], 8, 0.0, 0) == []


def test_complete_by_chance(model: GgufModel) -> None:
    drawn = model.complete(ask("Name an animal.") * 4, 8, 1.5, 7)
    assert len(set(drawn)) > 1  # each prompt has a seed of its own
    assert drawn == model.complete(ask("Name an animal.") * 4, 8, 1.5, 7)
    assert drawn != model.complete(ask("Name an animal.") * 4, 8, 1.5, 70)


def test_a_grammar_holds_the_answer(model: GgufModel) -> None:
    grammar = 'root ::= ("cat" | "dog") [0-9]{2} "."'
    said = model.complete(ask("Name an animal.") * 3, 12, 1.5, 0, grammar)
    assert all(re.fullmatch(r"(cat|dog)\d\d\.", one) for one in said)
    with pytest.raises(UserError, match="smollm2-135m-instruct"):
        model.complete(ask("Name an animal."), 12, 0.0, 0, "root ::= nothing-by-this-name")


def test_a_begun_message_is_continued(model: GgufModel) -> None:
    begun: Chat = [*ask("Is a dog an animal?")[0], {"role": "assistant", "content": "Yes, a dog is"}]
    (said,) = model.complete([begun], 6, 0.0, 0)
    assert said
    assert not said.startswith("Yes")
    likely = model.answer_logprobs([begun], [said.split()[0], "a", "Yes"])[0]
    assert likely[0] == likely.max()


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(UserError, match=r"bad\.gguf: cannot be loaded as a language model"):
        GgufModel(tmp_path / "bad.gguf", "bad", "", "", 1, 512)


def test_a_signal_while_it_loads_stops_it() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n" * 5, done.stderr
