"""Attention over packed trees: the prompt's tokens see the prompt, a branch sees prompt and itself.

transformers calls `packed_attention` in place of its own attention and hands it the layout that
the forward was given. A layout knows who may see whom: `TreeLayout` here, the sampling cache in
`sample`. Every path has one meaning, tested against plain transformers for every family.

On a GPU in half precision all pieces go through one call (`ragged`); elsewhere each has its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor, nn
from transformers import AttentionInterface

from upbring.data.trees.batch import TreeSpan
from upbring.model.matmul_attention import MAX_TOKENS, causal_mask, matmul_attention
from upbring.model.ragged_attention import (
    RaggedSequences,
    is_ragged_supported,
    ragged_attention,
    ragged_sequences,
    sequence_lengths,
)

ATTENTION_NAME = "upbring"  # what the model's configuration calls this attention

# Keywords without a meaning for attention itself: what transformers threads through its layers.
_IGNORED = frozenset({"position_ids", "use_cache", "cache_position", "is_causal"})


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    """What an architecture asks of its attention besides queries, keys and values."""

    scaling: float
    window: int | None = None  # a token sees itself and the window − 1 tokens before it
    softcap: float | None = None  # scores ↦ cap · tanh(scores / cap)


class AttentionLayout(Protocol):
    """Who may see whom, and where keys and values of earlier tokens are kept."""

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig
    ) -> Tensor:
        """Return `[H, T, K]` from q `[H, T, K]` and k, v `[Hkv, T, K]`."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    layout: AttentionLayout | None = None,
    **extra_kwargs: object,
) -> tuple[Tensor, None]:
    """Return `[1, T, H, K]` and no weights, in the form that transformers expects."""
    unsupported = sorted(k for k, v in extra_kwargs.items() if v is not None and k not in _IGNORED)
    if unsupported or attention_mask is not None or dropout or layout is None:
        raise UnsupportedAttention(", ".join(unsupported) or "a mask, dropout or no layout")
    config = AttentionConfig(scaling or query.shape[-1] ** -0.5, sliding_window, softcap)
    layer = int(str(module.layer_idx))
    q, k, v = (to_compute_dtype(each[0]) for each in (query, key, value))
    out = layout.attend(layer, q, k, v, config)
    return out.transpose(0, 1).unsqueeze(0), None


class UnsupportedAttention(Exception):  # noqa: N818 -- a finding about the architecture, not an error
    """The architecture asks something of its attention that is not understood here."""


AttentionInterface.register(ATTENTION_NAME, packed_attention)


@dataclass(frozen=True, eq=False)
class TreeLayout:
    """Trees that lie end to end in one row on a device."""

    spans: tuple[TreeSpan, ...]
    device: torch.device

    @cached_property
    def sequences(self) -> RaggedSequences:
        """Where the trees' pieces lie, found once for all layers."""
        return ragged_sequences(self.spans, self.device)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig
    ) -> Tensor:
        """Return `[H, T, K]`: every tree on its own."""
        del layer
        if is_ragged_supported(q, softcap=config.softcap):
            return ragged_attention(
                q, k, v, self.sequences, scaling=config.scaling, window=config.window
            )
        sizes = [size for span in self.spans for size in sequence_lengths(span)]
        parts = zip(*(torch.split(each, sizes, 1) for each in (q, k, v)), strict=True)
        return torch.cat(
            [out for span in self.spans for out in _attend_tree(span, parts, config)], dim=1
        )


def _attend_tree(
    span: TreeSpan, parts: Iterator[tuple[Tensor, Tensor, Tensor]], config: AttentionConfig
) -> Iterator[Tensor]:
    """Yield the outputs of a tree's pieces: branches see the prompt and themselves."""
    q, k, v = next(parts)
    yield attention(q, k, v, config)
    if len(span.branch_lengths) > 1:
        for _ in span.branch_lengths:
            q_own, k_own, v_own = next(parts)
            keys, values = torch.cat([k, k_own], dim=1), torch.cat([v, v_own], dim=1)
            yield attention(q_own, keys, values, config)


def attention(q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
    """Return `[H, L, K]`: the L queries are the last of the S ≥ L tokens, and look back only."""
    L, S = q.shape[1], k.shape[1]
    if config.softcap is not None:
        return _softcapped_attention(q, k, v, config, causal_mask(L, S, config.window, q.device))
    if _is_matmul_faster(q, S):
        return matmul_attention(q, k, v, scaling=config.scaling, window=config.window)
    has_mask = S > L or (config.window is not None and config.window < S)
    mask = causal_mask(L, S, config.window, q.device) if has_mask else None
    out: Tensor = F.scaled_dot_product_attention(
        q.unsqueeze(0),
        k.unsqueeze(0),
        v.unsqueeze(0),
        attn_mask=mask,
        is_causal=mask is None,
        scale=config.scaling,
        enable_gqa=q.shape[0] != k.shape[0],
    )
    return out.squeeze(0)


def to_compute_dtype(values: Tensor) -> Tensor:
    """Return queries, keys or values in the number format that products are computed in.

    Under autocast a layer's products come in that format, and rotary positions turn them back.
    """
    device_type = values.device.type
    if not torch.is_autocast_enabled(device_type):
        return values
    return values.to(torch.get_autocast_dtype(device_type))


def _is_matmul_faster(q: Tensor, S: int) -> bool:
    """Whether plain products beat the fused kernel: on processors, in short texts."""
    return q.device.type == "cpu" and S <= MAX_TOKENS


def _softcapped_attention(
    q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig, mask: Tensor
) -> Tensor:
    """Return attention by two products, with a float32 softmax and, if asked, capped scores."""
    groups = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    scores = (q @ k.transpose(-1, -2)).float() * config.scaling  # [H, L, S]
    if config.softcap is not None:
        scores = config.softcap * torch.tanh(scores / config.softcap)
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(q.dtype) @ v
