"""Attention over packed trees: the prompt's tokens see the prompt, a branch sees prompt and itself.

transformers calls `packed_attention` in place of its own attention and hands it the layout that
the forward was given. A layout knows who may see whom: `TreeLayout` here, the sampling cache in
`sample`. Every path has one meaning, tested against plain transformers for every family.

Left out: faster CUDA paths (varlen, flex); the same tested path serves there.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor, nn
from transformers import AttentionInterface

from upbring.data.batch import Span

NAME = "upbring"  # what the model's configuration calls this attention

# Keywords without a meaning for attention itself: what transformers threads through its layers.
_IGNORED = frozenset({"position_ids", "use_cache", "cache_position", "is_causal"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What an architecture asks of its attention besides queries, keys and values."""

    scaling: float
    window: int | None = None  # a token sees itself and the window − 1 tokens before it
    softcap: float | None = None  # scores ↦ cap · tanh(scores / cap)


class Layout(Protocol):
    """Who may see whom, and where keys and values of earlier tokens are kept."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
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
    layout: Layout | None = None,
    **unknown: object,
) -> tuple[Tensor, None]:
    """Return `[1, T, H, K]` and no weights, in the form that transformers expects."""
    strange = sorted(k for k, v in unknown.items() if v is not None and k not in _IGNORED)
    if strange or attention_mask is not None or dropout or layout is None:
        raise UnknownAttention(", ".join(strange) or "a mask, dropout or no layout")
    rule = Rule(scaling or query.shape[-1] ** -0.5, sliding_window, softcap)
    layer = int(str(module.layer_idx))
    out = layout.attend(layer, query[0], key[0], value[0], rule)
    return out.transpose(0, 1).unsqueeze(0), None


class UnknownAttention(Exception):  # noqa: N818 -- a finding about the architecture, not an error
    """The architecture asks something of its attention that is not understood here."""


AttentionInterface.register(NAME, packed_attention)


@dataclass(frozen=True, slots=True, eq=False)
class TreeLayout:
    """Trees that lie end to end in one row."""

    spans: tuple[Span, ...]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
        """Return `[H, T, K]`: every tree on its own."""
        del layer
        parts = []
        for span in self.spans:
            here = slice(span.start, span.stop)
            parts.extend(_tree(span, q[:, here], k[:, here], v[:, here], rule))
        return torch.cat(parts, dim=1)


def _tree(span: Span, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> list[Tensor]:
    """Return a tree's outputs: in one piece with a single branch, else prompt and branches."""
    if len(span.branches) <= 1:
        return [attention(q, k, v, rule)]
    p = span.prompt
    parts = [attention(q[:, :p], k[:, :p], v[:, :p], rule)]
    start = p
    for c in span.branches:
        here = slice(start, start + c)
        keys = torch.cat([k[:, :p], k[:, here]], dim=1)
        values = torch.cat([v[:, :p], v[:, here]], dim=1)
        parts.append(attention(q[:, here], keys, values, rule))
        start += c
    return parts


def attention(q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
    """Return `[H, L, K]`: the L queries are the last of the S ≥ L tokens, and look back only."""
    L, S = q.shape[1], k.shape[1]
    seen = None
    if S > L or (rule.window is not None and rule.window < S):
        seen = visible(L, S, rule.window, q.device)
    if rule.softcap is not None:
        return _capped(q, k, v, rule, visible(L, S, rule.window, q.device))
    out: Tensor = F.scaled_dot_product_attention(
        q.unsqueeze(0),
        k.unsqueeze(0),
        v.unsqueeze(0),
        attn_mask=seen,
        is_causal=seen is None,
        scale=rule.scaling,
        enable_gqa=q.shape[0] != k.shape[0],
    )
    return out.squeeze(0)


def visible(L: int, S: int, window: int | None, device: torch.device) -> Tensor:
    """Return `[L, S]`: whether query i, the (S − L + i)-th token, sees token j."""
    ones = torch.ones(L, S, dtype=torch.bool, device=device)
    seen = ones.tril(S - L)
    return seen if window is None else seen & ones.triu(S - L - window + 1)


def _capped(q: Tensor, k: Tensor, v: Tensor, rule: Rule, seen: Tensor) -> Tensor:
    """Return attention whose scores are capped, which the fused kernels cannot do."""
    assert rule.softcap is not None, "only for scores with a cap"
    groups = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    scores = q @ k.transpose(-1, -2) * rule.scaling  # [H, L, S]
    scores = rule.softcap * torch.tanh(scores / rule.softcap)
    scores = scores.masked_fill(~seen, float("-inf"))
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype) @ v
