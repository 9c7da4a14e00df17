"""The interface of a language model: it rates given answers, and it writes text."""

import math
import string
from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float64


class Message(TypedDict):
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


IMPOSSIBLE = -1000.0  # log-probabilities up to here stand for "not likely"; OpenAI writes -9999
ROUNDED = 0.01  # a sum of probabilities may be above 1 by rounding; this is of its logarithm
ROUNDING = 2.0**-24  # of a probability near 1 in single precision

# Around an answer in a token. Tokenizers of bytes write a space as Ġ and a line feed as Ċ; SentencePiece
# writes a space as ▁.
_SPACE = f"{string.whitespace}\u00a0\u0120\u010a\u2581"
_AROUND = f"{_SPACE}\"'`*_([\u201c\u2018"
_AFTER = f"{_SPACE}\"'`*_)].,:;!\u201d\u2019"

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

        -inf where the model did not give the answer; see `match` for one that is not among its most likely
        tokens. The caller decides what -inf means.
        A model in this process gives the same bits for the same call, independent of earlier calls. A server
        batches requests and does not promise that. Prompts that share a prefix are fastest in one call.
        Raises UserError if a prompt is longer than the context.
        """

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        """The text that the model writes for each of n prompts, at most `max_tokens` tokens long.

        At temperature 0 the model takes the most likely token every time, and the seed does not matter.
        Otherwise prompt i is sampled with `seed` + i, so a prompt given n times gets n samples. If the model
        continues a message, only the added text is returned. grammar: in GBNF, llama.cpp's form of EBNF; the
        model can write nothing else, but the text ends early at `max_tokens`. A server that is neither
        llama.cpp's nor vLLM's is not told of it, so read the text as one that may be wrong. Raises UserError
        like `answer_logprobs`, and for a grammar that the backend cannot read.
        """


def spelled(token: str) -> str:
    """A token without what does not make it another answer: "Yes", " yes", "ĠYES", "**Yes", "yes." are one.

    That is capitals, white space (also as tokenizers write it), quotes and emphasis around the word, and the
    punctuation after it.
    """
    return token.strip(_SPACE).lstrip(_AROUND).rstrip(_AFTER).casefold()


def match(
    candidates: Sequence[tuple[str | None, float]], answers: Sequence[str]
) -> Float64[np.ndarray, " answers"]:
    """Log-probability of each answer, from the most likely next tokens and their log-probabilities.

    The probabilities of all tokens that spell an answer (`spelled`) are added; no two answers may be spelled
    alike. A model may be so sure of Yes that No is not among 20 tokens. So an answer without a token counts
    as likely as the least likely token, which is a bound for it; if there is one token, as likely as all
    others together. There is no bound, but -inf, beside a token that cannot be read (None), because it may be
    the answer. -inf for every answer if no token is one, if the log-probability of a token that is one is
    NaN, and if the probabilities of all answers' tokens sum to more than 1.
    """
    logprobs, columns = np.full(len(answers), -np.inf), [spelled(answer) for answer in answers]
    read = [(token, logprob) for token, logprob in candidates if token is not None]
    given = [(spelled(token), logprob) for token, logprob in read if not logprob <= IMPOSSIBLE]
    if any(token in columns and math.isnan(logprob) for token, logprob in given):
        return logprobs
    known = [logprob for _, logprob in given if not math.isnan(logprob)]
    for column, answer in enumerate(columns):
        for token, logprob in given:
            if token == answer:
                logprobs[column] = np.logaddexp(logprobs[column], logprob)
    if np.logaddexp.reduce(logprobs) > ROUNDED:
        return np.full(len(answers), -np.inf)
    np.minimum(logprobs, 0.0, out=logprobs)
    if len(read) == len(candidates) and np.isfinite(logprobs).any():
        least = min(known) if len(known) > 1 else math.log(max(-math.expm1(known[0]), ROUNDING))
        if least < logprobs.max():
            logprobs[np.isneginf(logprobs)] = least
    return logprobs


def well_formed(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair, which no encoding has; whole pairs are joined.

    Such halves come from JSON escapes that were cut between the two.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
