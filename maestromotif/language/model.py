"""The interface of a language model: it rates given answers, and it writes text."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float64


class Message(TypedDict):
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


Chat = list[Message]  # if the last message is the assistant's, the model continues that message


@runtime_checkable
class LanguageModel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """SHA-256 of what identifies the weights; see `backends.identity`."""

    @property
    def licence(self) -> str: ...

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """Log-probability (natural) that the model's next token is each answer, for n prompts.

        -inf where the answer is not among the model's most likely tokens; the caller decides what that means.
        A model in this process gives the same bits for the same call, independent of earlier calls. A server
        batches requests and does not promise that. Prompts that share a prefix are fastest in one call.
        Raises UserError if a prompt is longer than the context.
        """

    def complete(self, prompts: Sequence[Chat], max_tokens: int, temperature: float, seed: int) -> list[str]:
        """The text that the model writes for each of n prompts, at most `max_tokens` tokens long.

        At temperature 0 the model takes the most likely token every time, and the seed does not matter.
        Otherwise prompt i is sampled with `seed` + i, so a prompt given n times gets n samples. If the model
        continues a message, only the added text is returned. Raises UserError like `answer_logprobs`.
        """


def match(candidates: Iterable[tuple[str, float]], answers: Sequence[str]) -> Float64[np.ndarray, " answers"]:
    """Log-probability of each answer, from the most likely next tokens and their log-probabilities.

    A token counts for an answer if the two are equal up to white space ("Yes", " Yes"); the probabilities of
    such tokens are added. -inf for an answer without such a token.
    """
    logprobs = np.full(len(answers), -np.inf)
    for token, logprob in candidates:
        for column, answer in enumerate(answers):
            if token.strip() == answer:
                logprobs[column] = np.logaddexp(logprobs[column], logprob)
    return logprobs
