"""A language model that gives written answers in turn, for answers that a real one seldom gives."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from maestromotif.language.model import Chat


class Scripted:
    """A `LanguageModel`. asked: the last message of every prompt so far."""

    name = "scripted"
    digest = "0" * 64
    licence = "CC0-1.0"

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """The last of the answers is the likeliest."""
        self.asked += [prompt[-1]["content"] for prompt in prompts]
        return np.tile(np.log(np.arange(1, len(answers) + 1) / len(answers)), (len(prompts), 1))

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        self.asked += [prompt[-1]["content"] for prompt in prompts]
        return [self._answers.pop(0) for _ in prompts]
