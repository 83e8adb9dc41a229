"""Attention on a GPU: all sequences of all trees in one call of torch's variable-length kernel.

A sequence is a prompt, or a branch after its prompt. Queries stay at their positions in the row;
keys are gathered, so that a branch's own keys follow those of its prompt. The kernel aligns a
sequence's queries with the end of its keys, as a branch needs it.

Excluded: float32 and soft-capped scores, which the kernel does not support.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from upbring.data.trees.batch import TreeSpan

_DTYPES = (torch.bfloat16, torch.float16)
_MAX_HEAD_SIZE = 256
_HAS_WINDOWS = "window_size" in inspect.signature(varlen_attn).parameters  # since torch 2.11


@dataclass(frozen=True, slots=True, eq=False)
class RaggedSequences:
    """Offsets of M sequences among T queries, and the positions of their S keys."""

    cu_seqlens_q: Tensor  # [M + 1] int32
    cu_seqlens_k: Tensor  # [M + 1] int32
    key_positions: Tensor | None  # [S] int64, into T; None: queries and keys coincide
    max_seqlen_q: int
    max_seqlen_k: int


def sequence_lengths(span: TreeSpan) -> list[int]:
    """Return the lengths of a tree's sequences: one for up to one branch, else one per part."""
    if len(span.branch_lengths) <= 1:
        return [span.stop - span.start]
    return [span.prompt_length, *span.branch_lengths]


def ragged_sequences(spans: Sequence[TreeSpan], device: torch.device) -> RaggedSequences:
    """Return the sequences of trees packed end to end."""
    query_lengths, key_positions = list[int](), list[np.ndarray]()
    for span in spans:
        first, *branches = sequence_lengths(span)
        prompt = np.arange(span.start, span.start + first)
        starts = span.start + first + np.cumsum([0, *branches])
        branch_positions = [
            np.arange(start, start + c) for start, c in zip(starts, branches, strict=False)
        ]
        query_lengths += [first, *branches]
        key_positions += [prompt, *(np.concatenate([prompt, each]) for each in branch_positions)]
    key_lengths = [len(each) for each in key_positions]
    return RaggedSequences(
        cu_seqlens_q=_to_tensor(np.cumsum([0, *query_lengths]), torch.int32, device),
        cu_seqlens_k=_to_tensor(np.cumsum([0, *key_lengths]), torch.int32, device),
        key_positions=None
        if key_lengths == query_lengths
        else _to_tensor(np.concatenate(key_positions), torch.int64, device),
        max_seqlen_q=max(query_lengths),
        max_seqlen_k=max(key_lengths),
    )


def _to_tensor(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)


def is_ragged_supported(q: Tensor, *, softcap: float | None) -> bool:
    """Whether the kernel supports queries `[H, T, K]` with this device, dtype and size."""
    K = q.shape[-1]
    is_supported = _HAS_WINDOWS and q.dtype in _DTYPES and K % 8 == 0 and K <= _MAX_HEAD_SIZE
    return q.device.type == "cuda" and is_supported and softcap is None


def ragged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sequences: RaggedSequences,
    *,
    scaling: float,
    window: int | None,
) -> Tensor:
    """Return `[H, T, K]` from q `[H, T, K]` and k, v `[Hkv, T, K]`."""
    q, k, v = (each.transpose(0, 1) for each in (q, k, v))  # [T, H, K]
    if sequences.key_positions is not None:
        k, v = (
            k.index_select(0, sequences.key_positions),
            v.index_select(0, sequences.key_positions),
        )  # [S, Hkv, K]
    groups = q.shape[1] // k.shape[1]
    if groups > 1:  # torch before 2.12 does not repeat keys itself
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    out = varlen_attn(
        q.contiguous(),
        k.contiguous(),
        v.contiguous(),
        sequences.cu_seqlens_q,
        sequences.cu_seqlens_k,
        sequences.max_seqlen_q,
        sequences.max_seqlen_k,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
    )
    assert isinstance(out, Tensor), "no auxiliary output was requested"
    return out.transpose(0, 1)
