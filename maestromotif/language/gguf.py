"""Runs a language model in this process, on the CPU, from a GGUF file (llama.cpp through xllamacpp).

llama.cpp renders the prompt with the chat template in the GGUF file.

The same questions give the same bits. The last bits of a result depend on how much of the prompt was in the
cache. So every call starts with an empty cache and asks its questions one by one, in the order given. Within
a call the cache saves the prefix that the prompts share, which is most of each. The number of threads does
not matter.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets, weights
from maestromotif.language.model import Chat, match
from maestromotif.language.weights import foresee, identity
from maestromotif.machine import available_cores
from maestromotif.signals import undisturbed

__all__ = ["GgufModel", "check", "foresee", "identity", "load"]

CANDIDATES = 64  # most likely next tokens whose log-probabilities are read
LARGEST_SEED = 2**31 - 1  # llama.cpp takes 32 bits; with all bits set it picks a seed itself


class GgufModel:
    """The constructor loads the file: 0.3 s (135M) to 6 s (1.5B). Raises UserError if it is not a model."""

    def __init__(
        self, path: Path, name: str, digest: str, licence: str, threads: int | None, context: int
    ) -> None:
        self.name = name
        self.digest = digest
        self.licence = licence
        self._context = context
        # By default llama.cpp's threads spin while they wait for each other. Any other busy process on the
        # machine then makes it about six times slower. The library reads this variable when first loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1  # one question at a time: batching changes the last bits
        params.cache_ram_mib = 0  # no second cache behind the one that we reset
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or available_cores()
        params.warmup = False
        params.verbosity = -1
        params.endpoint_metrics = True
        try:
            # A server that is closed before its thread has answered something waits for that thread for ever
            # (xllamacpp 2026.10). So a signal waits for an answer.
            with undisturbed():
                self._server = xllamacpp.Server(params)
                self._server.handle_metrics()
        except Exception as error:
            raise UserError(f"{path}: cannot be loaded as a language model: {error}") from error

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """See `model.LanguageModel`."""
        logprobs = np.empty((len(prompts), len(answers)))
        for row, prompt in enumerate(prompts):
            logprobs[row] = match(self._next_tokens(prompt, cache=row > 0), answers)
        return logprobs

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        """See `model.LanguageModel`. Samples with the preset's top-p and no other filter."""
        said = []
        for row, prompt in enumerate(prompts):
            choice = self._ask(
                {
                    "messages": prompt,
                    "max_tokens": max_tokens,
                    "temperature": temperature,
                    "top_p": presets.top_p(self.name),
                    "top_k": 0,
                    "min_p": 0.0,
                    "seed": (seed + row) % LARGEST_SEED,
                    "cache_prompt": row > 0,
                }
                | ({} if grammar is None else {"grammar": grammar})
            )
            text = choice["message"]["content"] or ""
            # llama.cpp repeats the message that it continues
            begun = prompt[-1]["content"] if prompt[-1]["role"] == "assistant" else ""
            said.append(text.removeprefix(begun))
        return said

    def _next_tokens(self, prompt: Chat, cache: bool) -> list[tuple[str, float]]:
        """The most likely next tokens and their log-probabilities.

        `cache`: whether to reuse what the previous prompt left in the cache.
        """
        choice = self._ask(
            {
                "messages": prompt,
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": True,
                "top_logprobs": CANDIDATES,
                "cache_prompt": cache,
            }
        )
        candidates = choice["logprobs"]["content"][0]["top_logprobs"]
        return [(candidate["token"], float(candidate["logprob"])) for candidate in candidates]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The only choice of a chat completion. Raises UserError, e.g. for a prompt beyond the context."""
        reply: dict[str, Any] = self._server.handle_chat_completions(request)
        if "error" in reply:
            raise UserError(
                f"language model {self.name}: {reply['error'].get('message', reply['error'])} "
                f"(language.context is {self._context} tokens)"
            )
        choice: dict[str, Any] = reply["choices"][0]
        return choice


def load(settings: LanguageSettings) -> GgufModel:
    """Fetches and checks the weights if needed, then loads the configured model. Raises UserError."""
    path = weights.ensure(settings)
    digest, licence = identity(settings)
    return GgufModel(path, settings.model, digest, licence, settings.threads, settings.context)


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Which weights are on this machine, the configured ones first. Absent ones are fetched when needed."""
    chosen = settings.model
    try:
        path = weights.locate(settings)
    except UserError as error:
        yield Finding("missing", str(error), _another_cache(settings))
        return
    if path is not None:
        yield Finding("ok", f"{chosen}: {path}")
    elif (refused := _refused(settings)) is not None:
        yield Finding("missing", refused, _another_cache(settings))
    else:
        model = weights.MODELS.get(chosen)
        size = f", {model.bytes / 1e9:.1f} GB" if model else ""
        yield Finding("absent", f"{chosen}{size}: not here yet; 'run' and 'annotate' fetch it")
    for name, model in weights.MODELS.items():
        if name != chosen:
            other = weights.locate(LanguageSettings(model=name, cache=settings.cache))
            where = str(other) if other else f"{model.bytes / 1e9:.1f} GB, not here"
            yield Finding("ok" if other else "absent", f"{name}: {where}")


def _refused(settings: LanguageSettings) -> str | None:
    """Why weights that are not here cannot be fetched; None if they can be, as far as can be seen."""
    try:
        foresee(settings)
    except UserError as error:
        return str(error)
    return None


def _another_cache(settings: LanguageSettings) -> str:
    """The command that gives the weights another folder; "" if the settings name one."""
    if settings.cache or settings.path:
        return ""
    own = shlex.quote(str(Path.cwd() / "cache"))
    return f"mkdir -p {own} && export MAESTROMOTIF_CACHE={own}"
