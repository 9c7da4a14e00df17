"""What the rest of the code knows of a language model: it rates given answers, and it writes."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float64


class Message(TypedDict):
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


Chat = list[Message]  # one that ends with an assistant's message is continued within that message


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
        """Log-probability (natural) of each answer as the next thing the model says, for n prompts.

        -inf where the model does not have the answer among its likeliest continuations; the caller decides
        what that means. From a model in this process the same call gives the same bits, whatever was asked
        before; a server answers many at once and promises less. Prompts that begin alike are fastest when
        they are asked together. Raises UserError if a prompt is longer than the context.
        """

    def complete(self, prompts: Sequence[Chat], max_tokens: int, temperature: float, seed: int) -> list[str]:
        """What the model says to each of n prompts, at most `max_tokens` tokens long.

        Temperature 0 takes the likeliest token every time, and the seed does not matter. Else the i-th
        prompt is sampled with `seed` + i, so that a prompt given n times gets n draws. Of a message that is
        continued only what is added is returned. Raises UserError as `answer_logprobs` does.
        """


def match(candidates: Iterable[tuple[str, float]], answers: Sequence[str]) -> Float64[np.ndarray, " answers"]:
    """Log-probability of each answer, from the likeliest next tokens and their log-probabilities.

    A token counts for an answer if it is the answer up to white space ("Yes", " Yes"); those that do are
    added up. -inf for an answer that is no token's.
    """
    logprobs = np.full(len(answers), -np.inf)
    for token, logprob in candidates:
        for column, answer in enumerate(answers):
            if token.strip() == answer:
                logprobs[column] = np.logaddexp(logprobs[column], logprob)
    return logprobs
