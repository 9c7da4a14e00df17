"""Converts a GGUF file to a folder in the model hub's format, which vLLM and transformers load.

    python -m maestromotif.language.hub_folder MODEL.gguf FOLDER

The weights are dequantised to bfloat16 and written under their names in the hub's format. The configuration
comes from the file's header; the tokenizer and the chat template are the file's own. So a model whose GGUF
file you have (`weights.MODELS`) runs under vLLM without the hub. The result is as good as the quantised file,
no better, and several times larger.

Supports the architectures of the models in that table: llama and qwen2. Needs the packages of the extra
`vllm`.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from maestromotif.errors import UserError

ROWS = 8192  # dequantised at once: the whole vocabulary matrix as float32 would take gigabytes

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def make(gguf: Path, folder: Path) -> Path:
    """Converts the file `gguf` into `folder` and returns `folder`; does nothing if it is there already.

    The folder gets its name when it is complete, so a killed conversion leaves no partial model. Raises
    UserError if the packages are missing or the file is not a model of a supported architecture.
    """
    if (folder / "config.json").is_file():
        return folder
    try:
        from gguf import GGUFReader
        from safetensors.torch import save_file
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UserError(f"{folder}: {error}; to convert, pip install 'maestromotif[vllm]'") from error
    try:
        reader = GGUFReader(gguf)
    except (OSError, ValueError) as error:
        raise UserError(f"{gguf}: cannot be read as a GGUF file: {error}") from error
    tensors = _tensors(reader, gguf)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_file(tensors, making / "model.safetensors", metadata={"format": "pt"})
        config = _config(reader, gguf) | {
            "vocab_size": len(tensors["model.embed_tokens.weight"]),
            "tie_word_embeddings": "lm_head.weight" not in tensors,
        }
        (making / "config.json").write_text(json.dumps(config, indent=1))
        ends = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
        (making / "generation_config.json").write_text(json.dumps(ends))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
        tokenizer.save_pretrained(making)
        making.chmod(0o755)
        try:
            making.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # otherwise another process was first
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _config(reader: Any, gguf: Path) -> dict[str, Any]:
    """The hub's config.json, without the fields that follow from the tensors."""
    architecture = _header(reader, "general.architecture", gguf)
    heads = _header(reader, f"{architecture}.attention.head_count", gguf)
    return {
        "architectures": [ARCHITECTURES[architecture]],
        "model_type": architecture,
        "dtype": "bfloat16",
        "hidden_size": _header(reader, f"{architecture}.embedding_length", gguf),
        "intermediate_size": _header(reader, f"{architecture}.feed_forward_length", gguf),
        "num_hidden_layers": _header(reader, f"{architecture}.block_count", gguf),
        "num_attention_heads": heads,
        "num_key_value_heads": _header(reader, f"{architecture}.attention.head_count_kv", gguf, heads),
        "max_position_embeddings": _header(reader, f"{architecture}.context_length", gguf),
        "rms_norm_eps": _header(reader, f"{architecture}.attention.layer_norm_rms_epsilon", gguf),
        "rope_theta": _header(reader, f"{architecture}.rope.freq_base", gguf, 10000.0),
        "hidden_act": "silu",
        "attention_bias": False,
        "bos_token_id": _header(reader, "tokenizer.ggml.bos_token_id", gguf),
        "eos_token_id": _header(reader, "tokenizer.ggml.eos_token_id", gguf),
    }


def _tensors(reader: Any, gguf: Path) -> dict[str, Any]:
    """All weights as bfloat16 tensors, by their names in the hub's format."""
    architecture = _header(reader, "general.architecture", gguf)
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{gguf}: cannot convert a model of the architecture {architecture}, only "
            + " and ".join(ARCHITECTURES)
        )
    heads = _header(reader, f"{architecture}.attention.head_count", gguf)
    key_heads = _header(reader, f"{architecture}.attention.head_count_kv", gguf, heads)
    tensors = {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            continue  # computed from the configuration
        weights = _dequantised(tensor)
        if architecture == "llama" and ".attn_q." in tensor.name:
            weights = _halves(weights, heads)
        if architecture == "llama" and ".attn_k." in tensor.name:
            weights = _halves(weights, key_heads)
        tensors[_name(tensor.name, gguf)] = weights
    return tensors


def _dequantised(tensor: Any) -> Any:
    import numpy as np
    import torch
    from gguf.quants import dequantize

    shape = [int(size) for size in reversed(tensor.shape)]  # GGUF lists the innermost axis first
    weights = torch.empty(shape, dtype=torch.bfloat16)
    for first in range(0, shape[0], ROWS):
        rows = slice(first, first + ROWS)
        weights[rows] = torch.from_numpy(np.array(dequantize(tensor.data[rows], tensor.tensor_type)))
    return weights


def _halves(weights: Any, heads: int) -> Any:
    """Rows of a query or key projection in the hub's order.

    A rotary embedding rotates pairs of a head's rows. llama.cpp stores the two rows of a pair next to each
    other. The hub's format stores all first rows, then all second rows.
    """
    pairs = weights.shape[0] // heads // 2
    return weights.reshape(heads, pairs, 2, -1).transpose(1, 2).reshape(weights.shape).contiguous()


def _name(name: str, gguf: Path) -> str:
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if layer and layer[2] in OF_A_LAYER:
        return f"model.layers.{layer[1]}.{OF_A_LAYER[layer[2]]}.{layer[3]}"
    part, _, kind = name.rpartition(".")
    if part in WHOLE and kind == "weight":
        return f"{WHOLE[part]}.weight"
    raise UserError(f"{gguf}: unknown weights '{name}'; the model cannot be converted")


def _header(reader: Any, key: str, gguf: Path, default: Any = None) -> Any:
    field = reader.fields.get(key)
    if field is None and default is None:
        raise UserError(f"{gguf}: its header has no '{key}'; the model cannot be converted")
    return default if field is None else field.contents()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the file has everything that is needed
    if len(sys.argv) != 3:
        sys.exit("usage: python -m maestromotif.language.hub_folder MODEL.gguf FOLDER")
    try:
        print(make(Path(sys.argv[1]), Path(sys.argv[2])))
    except UserError as error:
        sys.exit(str(error))
