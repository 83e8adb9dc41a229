"""The architectures that exist in both formats: config.json in transformers' words and in GGUF's.

Each entry states what llama.cpp computes, and rejects a configuration that means something else:
a file that loads and answers slightly differently would be worse than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from upbring.errors import InputError, format_value
from upbring.model.gguf.header import GgufFile, Scalar
from upbring.model.gguf.rotary import ROPE_TENSOR, find_llama3_scaling, llama3_factors

GEMMA_PATTERN = 6  # every sixth layer of Gemma 3 attends to everything
GEMMA_LOCAL_THETA = 10000.0  # of its other layers
GEMMA_27B_LAYERS = 62  # llama.cpp recognizes this size by them; its attention scale differs
SAME_KEYS = {  # of all architectures: GGUF's name, transformers' name
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}
EPSILON = "attention.layer_norm_rms_epsilon"
THETA = "rope.freq_base"
Rope = Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """One architecture of GGUF: the model types that it can express, and how tensors differ."""

    name: str  # in GGUF
    model_types: tuple[str, ...]  # in transformers; the first is what a file becomes
    activation: str
    is_permuted: bool = False  # rows of q and k are ordered for another rotary layout
    norm_offset: float = 0.0  # added to the weights of norms
    has_biases: bool = False  # of q, k and v
    rotary_key: str | None = None  # the key of the head size, beside attention.key_length
    is_gemma: bool = False


ARCHITECTURES = (
    Architecture(
        "llama", ("llama", "mistral"), "silu", is_permuted=True, rotary_key="rope.dimension_count"
    ),
    Architecture("qwen2", ("qwen2",), "silu", has_biases=True),
    Architecture("qwen3", ("qwen3",), "silu"),
    Architecture("gemma3", ("gemma3_text",), "gelu_pytorch_tanh", norm_offset=1.0, is_gemma=True),
)


def architecture_of_config(config: PretrainedConfig, *, name: str) -> Architecture:
    """Return the architecture that a configuration has in GGUF; reject one that it cannot have."""
    for each in ARCHITECTURES:
        if config.model_type in each.model_types:
            _require_same_meaning(each, config, name)
            return each
    known = ", ".join(sorted(kind for each in ARCHITECTURES for kind in each.model_types))
    raise InputError(
        f"{name}: has the architecture {config.model_type}, and GGUF files can be of {known}; "
        "export it with --as merged, and convert that folder with llama.cpp's convert_hf_to_gguf.py"
    )


def architecture_of_file(file: GgufFile) -> Architecture:
    """Return the architecture of a file."""
    for each in ARCHITECTURES:
        if file.architecture == each.name:
            return each
    known = ", ".join(each.name for each in ARCHITECTURES)
    raise InputError(
        f"{file.path}: has the architecture {format_value(file.architecture)}, and upbring reads "
        f"{known} from GGUF; use the model's safetensors files"
    )


def metadata_of_config(architecture: Architecture, config: PretrainedConfig) -> dict[str, Scalar]:
    """Return the metadata of a configuration, without the prefix of the architecture."""
    found: dict[str, Scalar] = {key: int(getattr(config, name)) for key, name in SAME_KEYS.items()}
    found[EPSILON] = float(config.rms_norm_eps)
    rope = _full_rope(config)
    found[THETA] = float(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        found |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    if architecture.rotary_key:
        found[architecture.rotary_key] = head_size(config)
    found |= dict.fromkeys(("attention.key_length", "attention.value_length"), head_size(config))
    window = getattr(config, "sliding_window", None)
    if architecture.is_gemma:
        found["attention.sliding_window"] = int(config.sliding_window)
    elif config.model_type == "mistral" and window:  # which llama.cpp does not apply
        found["context_length"] = min(int(window), int(config.max_position_embeddings))
    found["vocab_size"] = int(config.vocab_size)
    return found


def rope_factors(config: PretrainedConfig) -> Any:  # noqa: ANN401 -- an array, or None
    """Return the divisors of the rotary frequencies that the file holds as a tensor, or None."""
    rope = _full_rope(config)
    return llama3_factors(rope, head_size(config)) if rope["rope_type"] == "llama3" else None


def config_of_file(file: GgufFile) -> PretrainedConfig:
    """Return the configuration that a file describes."""
    architecture = architecture_of_file(file)
    prefix = architecture.name
    values: dict[str, Any] = {
        name: file.positive(f"{prefix}.{key}") for key, name in SAME_KEYS.items() if "kv" not in key
    }
    heads = values["num_attention_heads"]
    values["num_key_value_heads"] = file.positive(f"{prefix}.attention.head_count_kv", heads)
    size = values["hidden_size"] // heads
    size = (
        file.positive(f"{prefix}.{architecture.rotary_key}", size)
        if architecture.rotary_key
        else size
    )
    values["head_dim"] = file.positive(f"{prefix}.attention.key_length", size)
    if file.positive(f"{prefix}.attention.value_length", values["head_dim"]) != values["head_dim"]:
        raise InputError(
            f"{file.path}: its keys and values have different sizes, which {prefix} has not in "
            "transformers; use the model's safetensors files"
        )
    values["rms_norm_eps"] = file.real(f"{prefix}.{EPSILON}")
    values["vocab_size"] = _vocab_size(file)
    values["tie_word_embeddings"] = "output.weight" not in file.tensors
    values["rope_parameters"] = _rope_of_file(file, architecture, values)
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token = file.metadata.get(f"tokenizer.ggml.{key}_token_id")
        values[f"{name}_token_id"] = token
    if architecture.is_gemma:
        values |= _gemma_values(file, values)
    else:
        values["hidden_act"] = architecture.activation
    if architecture.name == "llama":
        values["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
        values["mlp_bias"] = "blk.0.ffn_up.bias" in file.tensors
    try:
        return AutoConfig.for_model(architecture.model_types[0], **values)
    except Exception as error:  # each configuration class raises its own types
        raise InputError(
            f"{file.path}: its metadata is no valid configuration ({str(error).splitlines()[0]}); "
            "download or copy it again"
        ) from error


def head_size(config: PretrainedConfig) -> int:
    """Return the size of an attention head."""
    own = getattr(config, "head_dim", None)
    return int(own or config.hidden_size // config.num_attention_heads)


def _require_same_meaning(architecture: Architecture, config: PretrainedConfig, name: str) -> None:
    """Raise if llama.cpp would compute something else than the configuration says."""
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", None)
    rope = _full_rope(config)
    kinds = (
        {"default", "linear", "llama3"} if architecture.name == "llama" else {"default", "linear"}
    )
    wrong: list[tuple[bool, str]] = [
        (activation != architecture.activation, f"the activation {activation}"),
        (rope["rope_type"] not in kinds, f"the rotary scaling {rope['rope_type']}"),
        (float(rope.get("partial_rotary_factor", 1)) != 1, "a partial rotary embedding"),
        (bool(getattr(config, "use_sliding_window", False)), "a sliding window"),
        (bool(getattr(config, "mlp_bias", False)), "biases in its feed-forward layers"),
        (
            bool(getattr(config, "attention_bias", False)) and not architecture.has_biases,
            "biases in its attention",
        ),
        *(_gemma_problems(config) if architecture.is_gemma else ()),
    ]
    for is_wrong, what in wrong:
        if is_wrong:
            raise InputError(
                f"{name}: has {what}, which llama.cpp does not compute for {architecture.name}; "
                "export it with --as merged, and serve it with vLLM or `upbring serve`"
            )


def _gemma_problems(config: PretrainedConfig) -> list[tuple[bool, str]]:
    """Return what llama.cpp assumes of every Gemma 3, and whether it is otherwise."""
    layers = [(i + 1) % GEMMA_PATTERN == 0 for i in range(config.num_hidden_layers)]
    local = config.rope_parameters["sliding_attention"]
    return [
        (
            [kind == "full_attention" for kind in config.layer_types] != layers,
            f"another order of its layers than every {GEMMA_PATTERN}th with full attention",
        ),
        (
            (local["rope_type"], float(local["rope_theta"])) != ("default", GEMMA_LOCAL_THETA),
            "an unusual rotary base in its local layers",
        ),
        (
            float(config.query_pre_attn_scalar) != _gemma_scale(config),
            f"the attention scale {config.query_pre_attn_scalar}",
        ),
        (config.attn_logit_softcapping is not None, "soft-capped attention"),
        (config.final_logit_softcapping is not None, "soft-capped logits"),
        (bool(config.use_bidirectional_attention), "bidirectional attention"),
    ]


def _gemma_scale(config: PretrainedConfig) -> float:
    if config.num_hidden_layers == GEMMA_27B_LAYERS:
        return float(config.hidden_size // config.num_attention_heads)
    return float(head_size(config))


def _full_rope(config: PretrainedConfig) -> Rope:
    """Return the rotary parameters of the layers that attend to everything."""
    parameters: dict[str, Any] = config.rope_parameters
    rope: Rope = parameters.get("full_attention", parameters)
    return rope


def _gemma_values(file: GgufFile, values: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": file.positive("gemma3.attention.sliding_window"),
        "query_pre_attn_scalar": values["head_dim"],
    }
    if values["num_hidden_layers"] == GEMMA_27B_LAYERS:
        own["query_pre_attn_scalar"] = values["hidden_size"] // values["num_attention_heads"]
    if cap := file.real("gemma3.final_logit_softcapping", 0.0):
        own["final_logit_softcapping"] = cap
    return own


def _rope_of_file(
    file: GgufFile, architecture: Architecture, values: Mapping[str, Any]
) -> dict[str, Any]:
    prefix = architecture.name
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": file.real(f"{prefix}.{THETA}", 10000),
    }
    kind = file.metadata.get(f"{prefix}.rope.scaling.type", "none")
    if kind == "linear":
        rope |= {"rope_type": "linear", "factor": file.real(f"{prefix}.rope.scaling.factor")}
    elif kind != "none":
        raise InputError(
            f"{file.path}: has the rotary scaling {format_value(kind)}, which upbring does not "
            "read from GGUF; use the model's safetensors files"
        )
    if ROPE_TENSOR in file.tensors:
        rope |= find_llama3_scaling(file, rope["rope_theta"], values["head_dim"])
    if architecture.is_gemma:
        local = {"rope_type": "default", "rope_theta": GEMMA_LOCAL_THETA}
        return {"full_attention": rope, "sliding_attention": local}
    return rope


def _vocab_size(file: GgufFile) -> int:
    entry = file.tensors.get("token_embd.weight")
    if entry is None:
        raise InputError(
            f"{file.path}: has no token_embd.weight, so it is no complete model (a part of a split "
            "file, an adapter or a projector?); give the whole model in one file"
        )
    return entry.shape[0]
