"""Attention on a GPU: all pieces of all trees in one call of the fused ragged kernel.

A piece is a prompt, or a branch behind its prompt. Its queries lie where they lie in the row; its
keys are gathered, so that a branch finds its prompt's before its own. The kernel aligns a piece's
queries with the end of its keys, which is what a branch wants.

Left out: float32 and capped scores, which the kernel does not compute.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from upbring.data.trees.batch import Span

_FORMATS = (torch.bfloat16, torch.float16)
_WIDEST_HEAD = 256
_HAS_WINDOWS = "window_size" in inspect.signature(varlen_attn).parameters  # since torch 2.11


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Where M pieces lie among T queries, and which places their S keys come from."""

    queries: Tensor  # [M + 1] int32
    keys: Tensor  # [M + 1] int32
    places: Tensor | None  # [S] int64, into T; None: each piece sees itself alone
    most_queries: int
    most_keys: int


def lengths(span: Span) -> list[int]:
    """Return the lengths that a tree is attended in: whole with one branch, else each part."""
    if len(span.branches) <= 1:
        return [span.stop - span.start]
    return [span.prompt, *span.branches]


def pieces(spans: Sequence[Span], device: torch.device) -> Pieces:
    """Return the pieces of trees that lie end to end."""
    sizes, places = list[int](), list[np.ndarray]()
    for span in spans:
        first, *branches = lengths(span)
        prompt = np.arange(span.start, span.start + first)
        starts = span.start + first + np.cumsum([0, *branches])
        own = [np.arange(start, start + c) for start, c in zip(starts, branches, strict=False)]
        sizes += [first, *branches]
        places += [prompt, *(np.concatenate([prompt, each]) for each in own)]
    seen = [len(each) for each in places]
    return Pieces(
        queries=_on(np.cumsum([0, *sizes]), torch.int32, device),
        keys=_on(np.cumsum([0, *seen]), torch.int32, device),
        places=None if seen == sizes else _on(np.concatenate(places), torch.int64, device),
        most_queries=max(sizes),
        most_keys=max(seen),
    )


def _on(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)


def is_fused(q: Tensor, *, softcap: float | None) -> bool:
    """Whether the ragged kernel computes queries `[H, T, K]` such as these."""
    K = q.shape[-1]
    fits = _HAS_WINDOWS and q.dtype in _FORMATS and K % 8 == 0 and K <= _WIDEST_HEAD
    return q.device.type == "cuda" and fits and softcap is None


def ragged(
    q: Tensor, k: Tensor, v: Tensor, found: Pieces, *, scaling: float, window: int | None
) -> Tensor:
    """Return `[H, T, K]` from q `[H, T, K]` and k, v `[Hkv, T, K]`."""
    q, k, v = (each.transpose(0, 1) for each in (q, k, v))  # [T, H, K]
    if found.places is not None:
        k, v = k.index_select(0, found.places), v.index_select(0, found.places)  # [S, Hkv, K]
    groups = q.shape[1] // k.shape[1]
    if groups > 1:  # only torch 2.12 and newer repeat keys by themselves
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    out = varlen_attn(
        q.contiguous(),
        k.contiguous(),
        v.contiguous(),
        found.queries,
        found.keys,
        found.most_queries,
        found.most_keys,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
    )
    assert isinstance(out, Tensor), "no auxiliary output was asked for"
    return out.transpose(0, 1)
