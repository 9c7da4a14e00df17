"""What the rest of the code knows of a language model: it says how likely each of a few answers is."""

from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float64


class Message(TypedDict):
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


Chat = list[Message]


@runtime_checkable
class LanguageModel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""

    @property
    def licence(self) -> str: ...

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """Log-probability (natural) of each answer as the next thing the model says, for n prompts.

        -inf where the model does not have the answer among its likeliest continuations; the caller decides
        what that means. The same call gives the same bits, whatever was asked before. Prompts that begin
        alike are fastest when they are asked together. Raises UserError if a prompt is longer than the
        context.
        """
