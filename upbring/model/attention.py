"""Attention over packed trees: a branch attends to its prompt and itself, not to other branches.

transformers calls `packed_attention` instead of its own attention and passes it the layout that the
forward pass was given. A layout decides which tokens attend to which: `TreeLayout` here, the
KV-cache layouts in `sampling`. All implementations compute the same function, which is tested
against plain transformers for every model family.

On a GPU in half precision, one call (`ragged_attention`) computes all prompts and branches;
otherwise each has a call of its own.
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
from upbring.model.kernels.matmul_attention import MAX_TOKENS, causal_mask, matmul_attention
from upbring.model.kernels.ragged_attention import (
    RaggedSequences,
    is_ragged_supported,
    ragged_attention,
    ragged_sequences,
    sequence_lengths,
)
from upbring.model.kernels.tree_attention import attend_whole_tree, is_one_product_faster

ATTENTION_NAME = "upbring"  # the name registered with transformers

# Keywords that transformers passes to every layer and that do not change attention.
_IGNORED = frozenset({"position_ids", "use_cache", "cache_position", "is_causal"})


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    """An architecture's attention parameters besides queries, keys and values."""

    scaling: float
    window: int | None = None  # a token attends to itself and the window − 1 tokens before it
    softcap: float | None = None  # scores ↦ cap · tanh(scores / cap)


class AttentionLayout(Protocol):
    """Which tokens attend to which, and where earlier keys and values are stored."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
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
    """Return the output `[1, T, H, K]` and no attention weights, as transformers expects."""
    unsupported = sorted(k for k, v in extra_kwargs.items() if v is not None and k not in _IGNORED)
    if unsupported or attention_mask is not None or dropout or layout is None:
        raise UnsupportedAttention(", ".join(unsupported) or "a mask, dropout or no layout")
    config = AttentionConfig(scaling or query.shape[-1] ** -0.5, sliding_window, softcap)
    del module
    q, k, v = (to_compute_dtype(each[0]) for each in (query, key, value))
    out = layout.attend(q, k, v, config)
    return out.transpose(0, 1).unsqueeze(0).contiguous(), None


class UnsupportedAttention(Exception):  # noqa: N818 -- selects the slow path, not an error
    """The architecture uses an attention feature that is not implemented here."""


AttentionInterface.register(ATTENTION_NAME, packed_attention)


@dataclass(frozen=True, eq=False)
class TreeLayout:
    """Trees packed end to end in one row on a device."""

    spans: tuple[TreeSpan, ...]
    device: torch.device

    @cached_property
    def sequences(self) -> RaggedSequences:
        """The offsets of all prompts and branches, computed once for all layers."""
        return ragged_sequences(self.spans, self.device)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Return `[H, T, K]`, with each tree attended separately."""
        if is_ragged_supported(q, softcap=config.softcap):
            return ragged_attention(
                q, k, v, self.sequences, scaling=config.scaling, window=config.window
            )
        sizes = [span.stop - span.start for span in self.spans]
        parts = zip(*(torch.split(each, sizes, 1) for each in (q, k, v)), strict=True)
        return torch.cat(
            [
                out
                for span, part in zip(self.spans, parts, strict=True)
                for out in _attend_tree(span, part, config)
            ],
            dim=1,
        )


def _attend_tree(
    span: TreeSpan, part: tuple[Tensor, Tensor, Tensor], config: AttentionConfig
) -> Iterator[Tensor]:
    """Yield a tree's outputs at once, or of the prompt and then of each branch with the prompt."""
    q, k, v = part
    if (
        q.device.type == "cpu"
        and config.softcap is None
        and k.shape[2] == v.shape[2]
        and is_one_product_faster(span)
    ):
        yield attend_whole_tree(q, k, v, span, scaling=config.scaling, window=config.window)
        return
    sizes = sequence_lengths(span)
    parts = zip(*(torch.split(each, sizes, 1) for each in part), strict=True)
    q, k, v = next(parts)
    yield attention(q, k, v, config)
    if len(span.branch_lengths) > 1:
        for _ in span.branch_lengths:
            q_own, k_own, v_own = next(parts)
            keys, values = torch.cat([k, k_own], dim=1), torch.cat([v, v_own], dim=1)
            yield attention(q_own, keys, values, config)


def attention(q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
    """Return `[H, L, K]`: causal attention of the last L of S ≥ L tokens."""
    L, S = q.shape[1], k.shape[1]
    if config.softcap is not None:
        return _softcapped_attention(q, k, v, config, causal_mask(L, S, config.window, q.device))
    if _is_matmul_faster(q, S) and k.shape[2] == v.shape[2]:
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
    """Return queries, keys or values in the dtype of the matrix products.

    Under autocast, linear layers return that dtype, but rotary embeddings promote it to float32.
    """
    device_type = values.device.type
    if not torch.is_autocast_enabled(device_type):
        return values
    return values.to(torch.get_autocast_dtype(device_type))


def _is_matmul_faster(q: Tensor, S: int) -> bool:
    """Whether plain products are faster than the fused kernel: short sequences on a CPU."""
    return q.device.type == "cpu" and S <= MAX_TOKENS


def _softcapped_attention(
    q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig, mask: Tensor
) -> Tensor:
    """Return attention as two products, with soft-capped scores and a float32 softmax."""
    groups = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    scores = (q @ k.transpose(-1, -2)).float() * config.scaling  # [H, L, S]
    if config.softcap is not None:
        scores = config.softcap * torch.tanh(scores / config.softcap)
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(q.dtype) @ v
