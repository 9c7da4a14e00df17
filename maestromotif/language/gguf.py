"""A language model in this process, on the CPU, from a GGUF file (llama.cpp through xllamacpp).

The prompt is rendered by llama.cpp with the chat template that the GGUF file carries.

Same questions, same bits: what is computed for a prompt depends, in its last bits, on how much of it lay in
the cache. So every call of `answer_logprobs` begins with an empty cache and asks one question after the
other, in the order given; within the call the cache saves the part in which the prompts agree, most of
each. The number of threads does not matter.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from maestromotif.errors import UserError
from maestromotif.language import weights
from maestromotif.language.model import Chat
from maestromotif.machine import available_cores
from maestromotif.settings import LanguageSettings

CANDIDATES = 64  # continuations whose probability is looked at


class GgufModel:
    """Loads the file on construction: 0.3 s (135M) to 6 s (1.5B). Raises UserError if it is no model."""

    def __init__(
        self, path: Path, name: str, digest: str, licence: str, threads: int | None, context: int
    ) -> None:
        self.name = name
        self.digest = digest
        self.licence = licence
        self._context = context
        # llama.cpp's threads spin while they wait for each other. By default any other busy process on the
        # machine makes that some six times slower. The variable is read when the library is first loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1  # one question at a time: questions computed together change each other's bits
        params.cache_ram_mib = 0  # no second cache behind the one that we reset
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or available_cores()
        params.warmup = False
        params.verbosity = -1
        try:
            self._server = xllamacpp.Server(params)
        except Exception as error:
            raise UserError(f"{path}: cannot be loaded as a language model: {error}") from error

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """See `model.LanguageModel`. A token counts for an answer if it is the answer up to white space."""
        logprobs = np.full((len(prompts), len(answers)), -math.inf)
        for row, prompt in enumerate(prompts):
            for token, logprob in self._next_tokens(prompt, cache=row > 0):
                for column, answer in enumerate(answers):
                    if token.strip() == answer:
                        logprobs[row, column] = np.logaddexp(logprobs[row, column], logprob)
        return logprobs

    def _next_tokens(self, prompt: Chat, cache: bool) -> list[tuple[str, float]]:
        """The likeliest next tokens and their log-probabilities.

        `cache`: what the prompt before left in the cache may be used.
        """
        reply: dict[str, Any] = self._server.handle_chat_completions(
            {
                "messages": prompt,
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": True,
                "top_logprobs": CANDIDATES,
                "cache_prompt": cache,
            }
        )
        if "error" in reply:
            raise UserError(
                f"language model {self.name}: {reply['error'].get('message', reply['error'])} "
                f"(language.context is {self._context} tokens)"
            )
        candidates = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return [(candidate["token"], float(candidate["logprob"])) for candidate in candidates]


def load(settings: LanguageSettings) -> GgufModel:
    """The configured model; its weights are fetched and checked first. Raises UserError."""
    path = weights.ensure(settings)
    digest, licence = weights.identity(settings)
    return GgufModel(path, settings.model, digest, licence, settings.threads, settings.context)
