"""Language models that are known to us: where they are, what their licences ask, and how to run them.

`language.model` may name one of these, for the backends `vllm` and `server`, or any other model by its id on
the model hub. What the small ones weigh as GGUF files, and where those come from, is in `weights.MODELS`
under the same names.

No revision of the repositories below has been checked by us, so none is given: the hub's newest is taken.
Pin one with `language.revision` where a run is to be repeated.
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["chatml", "llama3", "llama4"]

LLAMA_DUTIES = (
    "give a copy of the licence along with the model or what contains it; show 'Built with Llama'; begin the "
    "name of every model that was trained with it or its answers, reward models too, with 'Llama' before you "
    "pass that on; keep to the acceptable use policy"
)
LLAMA4_DUTIES = LLAMA_DUTIES + (
    "; as it sees pictures, it is not licensed to persons and companies at home in the EU"
)
APACHE_DUTIES = "give a copy of the licence along with the model, and say what was changed"


@dataclass(frozen=True)
class Preset:
    """One model. GPU counts are for 80 GB each; `context` is the longest that the model was made for."""

    name: str
    hub: str  # repository on the model hub
    revision: str | None  # commit in it; None: not known to us
    licence: str
    duties: str  # what the licence asks of those who use the model, in a sentence
    tensor_parallel: int  # GPUs that share one copy
    dtype: str
    quantisation: str | None  # as stored in the repository; None: `dtype` as it is
    context: int  # tokens
    temperature: float  # the publisher's sampling, for `complete`
    top_p: float
    family: Family  # of its chat template
    system: str | None = None  # what the template says where a chat has no system message


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
        # 810 GB as bfloat16 are more than eight GPUs hold
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
    """The id under which the hub, vLLM and `vllm serve` know the model of a preset; others as they are."""
    return PRESETS[model].hub if model in PRESETS else model


def top_p(model: str) -> float:
    """The share of the probability that `complete` samples from; 1 (all) for a model without a preset."""
    return PRESETS[model].top_p if model in PRESETS else 1.0
