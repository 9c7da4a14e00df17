"""Known language models: where they are, what their licences require, and how to run them.

For the backends `vllm` and `server`, `language.model` may name one of these or any other model by its id on
the model hub. `weights.MODELS` has the sizes and sources of the small models' GGUF files, under the same
names.

We have not checked a revision of these repositories, so no preset pins one: the hub's newest is used. Set
`language.revision` for a run that must be repeatable.
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["chatml", "llama3", "llama4"]

LLAMA_DUTIES = (
    "distribute a copy of the licence with the model or anything that contains it; show 'Built with Llama'; "
    "if you distribute a model that was trained with it or its answers, reward models too, begin its name "
    "with 'Llama'; follow the acceptable use policy"
)
LLAMA4_DUTIES = LLAMA_DUTIES + (
    "; the model is multimodal, so it is not licensed to people and companies based in the EU"
)
APACHE_DUTIES = "distribute a copy of the licence with the model, and state what was changed"


@dataclass(frozen=True)
class Preset:
    """One model. GPU counts are for 80 GB each; `context` is the longest that the model was designed for."""

    name: str
    hub: str  # repository on the model hub
    revision: str | None  # commit in it; None: not pinned
    licence: str
    duties: str  # what the licence requires of the model's users, in a sentence
    tensor_parallel: int  # GPUs that share one copy
    dtype: str
    quantisation: str | None  # as stored in the repository; None: stored as `dtype`
    context: int  # tokens
    temperature: float  # the publisher's sampling, for `complete`
    top_p: float
    family: Family  # of its chat template
    system: str | None = None  # the chat template's default system message


def _llama(
    name: str, hub: str, version: str, tensor_parallel: int, context: int, quantisation: str | None = None
) -> Preset:
    return Preset(
        name=name,
        hub=f"meta-llama/{hub}",
        revision=None,
        licence=f"Llama {version} Community License",
        duties=LLAMA4_DUTIES if version == "4" else LLAMA_DUTIES,
        tensor_parallel=tensor_parallel,
        dtype="bfloat16",
        quantisation=quantisation,
        context=context,
        temperature=0.6,
        top_p=0.9,
        family="llama4" if version == "4" else "llama3",
    )


def _small(name: str, hub: str, context: int, temperature: float, top_p: float, system: str) -> Preset:
    return Preset(
        name=name,
        hub=hub,
        revision=None,
        licence="Apache-2.0",
        duties=APACHE_DUTIES,
        tensor_parallel=1,
        dtype="bfloat16",
        quantisation=None,
        context=context,
        temperature=temperature,
        top_p=top_p,
        family="chatml",
        system=system,
    )


QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

PRESETS = {
    preset.name: preset
    for preset in (
        _llama("llama-3.1-8b-instruct", "Llama-3.1-8B-Instruct", "3.1", 1, 131_072),
        _llama("llama-3.1-70b-instruct", "Llama-3.1-70B-Instruct", "3.1", 4, 131_072),
        # FP8, because 810 GB in bfloat16 is more than eight GPUs hold
        _llama("llama-3.1-405b-instruct", "Llama-3.1-405B-Instruct-FP8", "3.1", 8, 131_072, "fp8"),
        _llama("llama-3.3-70b-instruct", "Llama-3.3-70B-Instruct", "3.3", 4, 131_072),
        _llama("llama-4-scout", "Llama-4-Scout-17B-16E-Instruct", "4", 4, 10_485_760),
        _llama("llama-4-maverick", "Llama-4-Maverick-17B-128E-Instruct-FP8", "4", 8, 1_048_576, "fp8"),
        _small("qwen2.5-coder-1.5b-instruct", "Qwen/Qwen2.5-Coder-1.5B-Instruct", 32_768, 0.7, 0.8, QWEN),
        _small("qwen2.5-coder-0.5b-instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct", 32_768, 0.7, 0.8, QWEN),
        _small("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", 8_192, 0.2, 0.9, SMOLLM),
    )
}


def hub_name(model: str) -> str:
    """The id of a preset's model on the hub, in vLLM and in `vllm serve`; any other name unchanged."""
    return PRESETS[model].hub if model in PRESETS else model


def top_p(model: str) -> float:
    """The top-p with which `complete` samples; 1 (no limit) for a model without a preset."""
    return PRESETS[model].top_p if model in PRESETS else 1.0
