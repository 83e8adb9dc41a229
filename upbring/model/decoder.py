"""Generation in few operations: a copy of the weights for one token per row.

    h = x + W_o attend(W_qkv norm(x))        x' = h + W_down (act(W_gate norm(h)) ⊙ W_up norm(h))

transformers' modules need about 70 small operations per layer and token, which for a few rows take
longer than the matrix products. The copy has the active adapter folded in (W + s B A), one product
for queries, keys and values, one for gate and up, all packed for oneDNN; a layer is about 20
operations. Folding rounds: in half precision, log-probabilities of responses that are trained on
are computed again by `score`.

Used where `make_decoder` knows the layer, on a CPU; other networks generate with their own modules.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor, nn
from transformers import PreTrainedModel

from upbring.model.lora import AdaptedLinear
from upbring.model.network import Model
from upbring.model.quantized import HalfHead, QuantizedLinear, dense_weight, num_weights

# x + attention(norm(x)), then x + mlp(norm(x))
PRE_NORM_LAYERS = frozenset(
    {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
)
SANDWICH_NORM_LAYERS = frozenset({"Gemma3DecoderLayer"})  # also a norm after each of the two
LINEAR_TYPES = (nn.Linear, QuantizedLinear, HalfHead)
FIXED_ROTARY_TYPES = frozenset({"default", "linear", "llama3", "yarn"})  # the same at every length
MAX_MEMORY_SHARE = 0.4  # of the memory that is available when the copy is made

Projection = Callable[[Tensor], Tensor]
Norm = Callable[[Tensor], Tensor]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class DecoderLayer:
    """The projections and norms of one layer."""

    attention_norm: Norm
    qkv: Projection
    head_norm: Norm | None  # of each query and key head, before the rotation
    out: Projection
    post_attention_norm: Norm | None
    mlp_norm: Norm
    gate_up: Projection
    activation: Callable[[Tensor], Tensor]
    down: Projection
    post_mlp_norm: Norm | None
    rotary_type: str | None  # of networks whose layers rotate differently


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """A copy of a network's weights that computes the next token of each row."""

    layers: tuple[DecoderLayer, ...]
    embed: Callable[[Tensor], Tensor]
    rotary: Callable[..., tuple[Tensor, Tensor]]
    final_norm: Norm
    head: Projection
    num_heads: int
    num_key_heads: int
    dtype: torch.dtype

    def hidden_states(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Return the hidden states `[B, D]` of one new token per row.

        `attend(layer, q, k, v)` stores k and v `[B, Hkv, K]` and returns `[B, H, K]`.
        """
        x = self.embed(tokens)  # [B, D]
        types = {layer.rotary_type for layer in self.layers}
        rotations = {each: self._rotation(x, positions, each) for each in types}
        B, H, Hkv = len(tokens), self.num_heads, self.num_key_heads
        for number, layer in enumerate(self.layers):
            heads = layer.qkv(layer.attention_norm(x).to(self.dtype)).view(B, H + 2 * Hkv, -1)
            qk, v = heads[:, : H + Hkv], heads[:, H + Hkv :]
            if layer.head_norm is not None:
                qk = layer.head_norm(qk)
            cos, sin = rotations[layer.rotary_type]
            half = qk.shape[-1] // 2
            qk = torch.addcmul(qk * cos, qk.roll(half, -1), sin).to(self.dtype)
            out = layer.out(attend(number, qk[:, :H], qk[:, H:], v).reshape(B, -1))
            x = x + (out if layer.post_attention_norm is None else layer.post_attention_norm(out))
            gate, up = layer.gate_up(layer.mlp_norm(x).to(self.dtype)).chunk(2, dim=-1)
            out = layer.down(layer.activation(gate).mul_(up))
            x = x + (out if layer.post_mlp_norm is None else layer.post_mlp_norm(out))
        return self.final_norm(x)

    def _rotation(
        self, x: Tensor, positions: Tensor, rotary_type: str | None
    ) -> tuple[Tensor, Tensor]:
        """Return cos and signed sin `[B, 1, K]`: x cos + roll(x) sin is the rotated x."""
        arguments = () if rotary_type is None else (rotary_type,)
        cos, sin = self.rotary(x.unsqueeze(0), positions.unsqueeze(0), *arguments)
        first, second = sin[0].chunk(2, dim=-1)
        return cos[0].unsqueeze(1), torch.cat([-first, second], dim=-1).unsqueeze(1)


def make_decoder(model: Model, *, num_rows: int, is_head_packed: bool = True) -> Decoder | None:
    """Return a decoder with the active adapter, or None if the network or memory does not allow it.

    Its weights are a copy: later changes of the network do not reach it. `num_rows` is what the
    packed weights are best for. A head that is not packed is the network's own: no copy of V D.
    """
    network: Any = model.network.base_model
    config, output = model.network.config, model.network.get_output_embeddings()
    if not _is_supported(model) or _is_too_large(model):
        return None
    dtype = model.compute_dtype

    def pack(*modules: nn.Module) -> Projection:
        return _pack([_folded(each, dtype) for each in modules], num_rows)

    def norm(module: nn.Module | None) -> Norm | None:
        return None if module is None else _norm(module)

    layers = []
    for number, layer in enumerate(network.layers[: config.num_hidden_layers]):
        attention, mlp = layer.self_attn, layer.mlp
        is_sandwich = type(layer).__name__ in SANDWICH_NORM_LAYERS
        mlp_norm = "pre_feedforward_layernorm" if is_sandwich else "post_attention_layernorm"
        layers.append(
            DecoderLayer(
                attention_norm=_norm(layer.input_layernorm),
                qkv=pack(attention.q_proj, attention.k_proj, attention.v_proj),
                head_norm=_head_norm(attention, config),
                out=pack(attention.o_proj),
                post_attention_norm=norm(layer.post_attention_layernorm if is_sandwich else None),
                mlp_norm=_norm(getattr(layer, mlp_norm)),
                gate_up=pack(mlp.gate_proj, mlp.up_proj),
                activation=mlp.act_fn,
                down=pack(mlp.down_proj),
                post_mlp_norm=norm(layer.post_feedforward_layernorm if is_sandwich else None),
                rotary_type=config.layer_types[number] if is_sandwich else None,
            )
        )
    return Decoder(
        layers=tuple(layers),
        embed=network.embed_tokens,
        rotary=network.rotary_emb,
        final_norm=_norm(network.norm),
        head=pack(output) if is_head_packed else _own_head(output, dtype),
        num_heads=config.num_attention_heads,
        num_key_heads=config.num_key_value_heads,
        dtype=dtype,
    )


@contextmanager
def first_layers(network: PreTrainedModel) -> Iterator[None]:
    """Compute inside the block with only as many layers as contain two, and one of each type.

    The layers of other networks than those with a decoder may need each other, and all are kept.
    """
    if not _has_known_layers(network):
        yield
        return
    config = network.config
    original = config.num_hidden_layers
    types = (getattr(config, "layer_types", None) or ["attention"] * original)[:original]
    config.num_hidden_layers = max(min(2, original), *(types.index(t) + 1 for t in types))
    try:
        yield
    finally:
        config.num_hidden_layers = original


def decoder_bytes(network: PreTrainedModel, dtype: torch.dtype) -> int:
    """Return the bytes of a decoder's weights, all layers and the head; 0 without a decoder."""
    if not _has_known_layers(network):
        return 0
    layers = num_weights(network.base_model.layers)
    return int((layers + network.get_output_embeddings().weight.numel()) * dtype.itemsize)


def _is_too_large(model: Model) -> bool:
    limit = MAX_MEMORY_SHARE * psutil.virtual_memory().available
    return decoder_bytes(model.network, model.compute_dtype) > limit


def _has_known_layers(network: PreTrainedModel) -> bool:
    names = {type(layer).__name__ for layer in getattr(network.base_model, "layers", ())}
    is_known = len(names) == 1 and names <= PRE_NORM_LAYERS | SANDWICH_NORM_LAYERS
    return is_known and network.get_output_embeddings() is not None


def _is_supported(model: Model) -> bool:
    is_right = model.is_packed and model.is_cached and model.has_decoder
    if not (_has_known_layers(model.network) and is_right and model.device.type == "cpu"):
        return False
    config = model.network.config
    rope = getattr(config, "rope_parameters", None) or {}
    entries = [each for each in rope.values() if isinstance(each, dict)] or [rope]
    if any(each.get("rope_type", "default") not in FIXED_ROTARY_TYPES for each in entries):
        return False
    network: Any = model.network.base_model
    linears = [
        module
        for layer in network.layers
        for name, module in layer.named_modules()
        if name.endswith("_proj") and isinstance(module, nn.Module)
    ]
    return all(_is_foldable(each) for each in [*linears, model.network.get_output_embeddings()])


def _is_foldable(module: nn.Module) -> bool:
    """Whether a module is a plain linear layer, or one with a plain LoRA adapter."""
    if not isinstance(module, AdaptedLinear):
        return type(module) in LINEAR_TYPES
    role = module.thread_adapter.get()
    has_plain_adapter = role is None or role not in module.lora_A or not module.use_dora.get(role)
    is_plain = type(module.get_base_layer()) in LINEAR_TYPES and not module.fan_in_fan_out
    return has_plain_adapter and is_plain and not module.merged


def _folded(module: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Return W + s B A `[out, in]` of the active adapter, and the bias."""
    base: Any = module
    if isinstance(module, AdaptedLinear):
        base, role = module.get_base_layer(), module.thread_adapter.get()
        if role is not None and role in module.lora_A:
            down, up = module.lora_A[role].weight.float(), module.lora_B[role].weight.float()
            weight = torch.addmm(
                dense_weight(base, torch.float32), up, down, alpha=module.scaling[role]
            )
            return weight.to(dtype), base.bias
    return dense_weight(base, dtype), base.bias


def _pack(parts: list[tuple[Tensor, Tensor | None]], num_rows: int) -> Projection:
    """Return the product with several weights stacked, packed by oneDNN where it can."""
    weight = torch.cat([weight for weight, _ in parts]) if len(parts) > 1 else parts[0][0]
    biases = [bias for _, bias in parts]
    has_bias = any(bias is not None for bias in biases)
    rows = [
        weight.new_zeros(len(each)) if bias is None else bias.to(weight.dtype)
        for each, bias in parts
    ]
    bias = torch.cat(rows) if has_bias else None
    if not _can_pack(weight.dtype):
        return _linear(weight, bias)
    ops = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, num_rows)  # noqa: SLF001 -- no public name
    linear = ops._linear_pointwise  # noqa: SLF001 -- as above

    def project(x: Tensor) -> Tensor:
        out: Tensor = linear(x, packed, bias, "none", [], "")
        return out

    return project


def _own_head(output: Any, dtype: torch.dtype) -> Projection:  # noqa: ANN401 -- plain or adapted
    """Return the head itself, or a copy if it does not compute in `dtype`."""
    if isinstance(output, HalfHead) or output.weight.dtype == dtype:
        return output  # type: ignore[no-any-return]  # a module, which is called
    return _linear(*_folded(output, dtype))


def _linear(weight: Tensor, bias: Tensor | None) -> Projection:
    return lambda x: F.linear(x, weight, bias)


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 -- as above
    return dtype == torch.float32


def _norm(module: Any) -> Norm:  # noqa: ANN401 -- each architecture's own class
    """Return an RMS norm over the last dimension."""
    return _rms_norm(*_norm_weight(module))


def _rms_norm(weight: Tensor, eps: float) -> Norm:
    """Return w x / √(mean x² + eps) = √D w x / hypot(‖x‖, √(D eps)) over the last dimension D.

    That is four operations; torch's own is eleven.
    """
    D = weight.shape[-1]
    scaled, floor = math.sqrt(D) * weight.float(), torch.tensor(math.sqrt(D * eps))

    def norm(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return x.div(length.hypot_(floor)).mul_(scaled).to(x.dtype)

    return norm


def _norm_weight(module: Any) -> tuple[Tensor, float]:  # noqa: ANN401 -- as above
    eps = float(getattr(module, "variance_epsilon", None) or module.eps)
    is_offset = type(module).__name__.startswith("Gemma")  # (1 + w) x / ‖x‖
    return (1 + module.weight.float() if is_offset else module.weight), eps


def _head_norm(attention: Any, config: Any) -> Norm | None:  # noqa: ANN401 -- as above
    """Return the norm of query and key heads `[B, H + Hkv, K]`, or None."""
    if getattr(attention, "q_norm", None) is None:
        return None
    (q_weight, eps), (k_weight, _) = _norm_weight(attention.q_norm), _norm_weight(attention.k_norm)
    weight = torch.stack(
        [*[q_weight] * config.num_attention_heads, *[k_weight] * config.num_key_value_heads]
    )  # [H + Hkv, K]
    return _rms_norm(weight, eps)
