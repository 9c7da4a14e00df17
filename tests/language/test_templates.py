"""Chats as texts: golden ones by hand, and the template that a model file carries itself."""

import json
import urllib.request
from typing import Any

import pytest

from maestromotif.config.labels import LanguageSettings
from maestromotif.language import gguf
from maestromotif.language.gguf import GgufModel
from maestromotif.language.model import Chat
from maestromotif.language.presets import PRESETS, Family
from maestromotif.language.templates import render

SMALL = "smollm2-135m-instruct"
SYSTEM: Chat = [{"role": "system", "content": "Be brief. "}]
ASKED: Chat = [{"role": "user", "content": " Which is better?\n1 or 2?"}]
BEGUN: Chat = [{"role": "assistant", "content": "Event"}]
AGAIN: Chat = [*SYSTEM, *ASKED, *BEGUN, {"role": "user", "content": "Why?"}]

GOLDEN: list[tuple[Family, Chat, str]] = [
    (
        "chatml",
        SYSTEM + ASKED,
        "<|im_start|>system\nBe brief. <|im_end|>\n"
        "<|im_start|>user\n Which is better?\n1 or 2?<|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    (
        "chatml",
        SYSTEM + ASKED + BEGUN,
        "<|im_start|>system\nBe brief. <|im_end|>\n"
        "<|im_start|>user\n Which is better?\n1 or 2?<|im_end|>\n"
        "<|im_start|>assistant\nEvent",
    ),
    (
        "llama3",
        SYSTEM + ASKED,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhich is better?\n1 or 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "llama3",
        ASKED + BEGUN,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhich is better?\n1 or 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nEvent",
    ),
    (
        "llama4",
        AGAIN,
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>"
        "<|header_start|>user<|header_end|>\n\n Which is better?\n1 or 2?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nEvent<|eot|>"
        "<|header_start|>user<|header_end|>\n\nWhy?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n",
    ),
    (
        "llama4",
        ASKED + BEGUN,
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\n Which is better?\n1 or 2?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nEvent",
    ),
]


@pytest.mark.parametrize(("family", "chat", "text"), GOLDEN)
def test_golden(family: Family, chat: Chat, text: str) -> None:
    assert render(family, chat) == text


@pytest.fixture(scope="module")
def model() -> GgufModel:
    return gguf.load(LanguageSettings(model=SMALL, threads=1, context=512))


@pytest.mark.parametrize("chat", [ASKED, SYSTEM + ASKED, SYSTEM + ASKED + BEGUN, AGAIN, ASKED + BEGUN])
def test_the_template_that_the_model_file_carries(model: GgufModel, chat: Chat) -> None:
    """The engine has a server of its own beside what we call, and that shows what a template makes."""
    url = f"{model._server.listening_address}/apply-template"
    request = urllib.request.Request(
        url, json.dumps({"messages": chat}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        reply: Any = json.load(response)
    preset = PRESETS[SMALL]
    assert render(preset.family, chat, preset.system) == reply["prompt"]
