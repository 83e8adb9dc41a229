"""Attention of one step: single new tokens of many sequences, and chunks of prompts.

The step is one row of tokens. First come the sequences with one new token, ordered by pool: the
attention of a pool is one batch of products. Then come the chunks, each attended by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from upbring.model.attention import AttentionConfig, attention
from upbring.model.sampling import decode_attention, visibility_bias
from upbring.serve.engine.kv_pools import KVPool, KVSpec, Slot


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one sequence in this step: `count` tokens after the first `start` of its slot."""

    slot: Slot
    start: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class PoolRows:
    """The single tokens of one pool: rows `first` to `last` of the step."""

    pool: KVPool
    first: int
    last: int
    numbers: Tensor  # [B] slots
    lengths: Tensor  # [B] tokens before the new one
    num_slots: int  # of the pool that take part, used or not
    bias: dict[int | None, Tensor] = field(default_factory=dict)  # per window: [slots, S]

    def attend(self, call: int, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Store k, v `[B, Hkv, K]` and return `[B, H, K]` for q `[B, H, K]`."""
        keys, values = self.pool.keys[call], self.pool.values[call]
        keys[self.numbers, :, self.lengths] = k
        values[self.numbers, :, self.lengths] = v
        if config.window not in self.bias:
            all_lengths = torch.zeros(self.num_slots, dtype=torch.int64)
            all_lengths[self.numbers.cpu()] = self.lengths.cpu()
            self.bias[config.window] = visibility_bias(all_lengths, config.window).to(q)
        bias = self.bias[config.window]
        is_dense = self.num_slots == len(self.numbers)
        if not is_dense:
            own = q
            q = own.new_zeros(self.num_slots, *own.shape[1:])
            q[self.numbers] = own
        S = bias.shape[1]
        out = decode_attention(
            q, keys[: self.num_slots, :, :S], values[: self.num_slots, :, :S], bias, config
        )
        return out if is_dense else out[self.numbers]


@dataclass(frozen=True, slots=True, eq=False)
class StepLayout:
    """Which tokens of the step attend to which keys."""

    spec: KVSpec
    singles: tuple[PoolRows, ...]
    chunks: tuple[tuple[Span, int], ...]  # and the row at which each begins
    calls: Iterator[int] = field(default_factory=count)  # the attentions of this forward pass

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Return `[H, T, K]` from q `[H, T, K]` and k, v `[Hkv, T, K]`."""
        del config  # is that of the spec
        q, k, v = (each.transpose(0, 1) for each in (q, k, v))
        return self.attend_rows(next(self.calls), q, k, v).transpose(0, 1)

    def attend_rows(self, call: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return `[T, H, K]` from q `[T, H, K]` and k, v `[T, Hkv, K]`."""
        config = self.spec.configs[call]
        parts = [
            rows.attend(
                call,
                q[rows.first : rows.last],
                k[rows.first : rows.last],
                v[rows.first : rows.last],
                config,
            )
            for rows in self.singles
        ]
        parts += [self._attend_chunk(call, span, at, (q, k, v)) for span, at in self.chunks]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _attend_chunk(
        self, call: int, span: Span, at: int, qkv: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Store a chunk's keys and values and return its attention `[L, H, K]`."""
        q, k, v = (each[at : at + span.count].transpose(0, 1) for each in qkv)  # [H, L, K]
        end = span.start + span.count
        keys, values = (
            buffers[call][span.slot.number]
            for buffers in (span.slot.pool.keys, span.slot.pool.values)
        )
        keys[:, span.start : end], values[:, span.start : end] = k, v
        out = attention(
            q.contiguous(), keys[:, :end], values[:, :end], self.spec.configs[call]
        )  # [H, L, K]
        return out.transpose(0, 1)


def order_spans(spans: Sequence[Span]) -> list[int]:
    """Return the order in which spans are laid out: single tokens by slot, then chunks."""

    def place(index: int) -> tuple[bool, int, int]:
        span = spans[index]
        is_chunk = span.count > 1
        return (
            is_chunk,
            0 if is_chunk else span.slot.length,
            index if is_chunk else span.slot.number,
        )

    return sorted(range(len(spans)), key=place)


def make_step_layout(spec: KVSpec, spans: Sequence[Span]) -> StepLayout:
    """Return the layout of spans that are in the order of `order_spans`."""
    singles, chunks, row = [], [], 0
    by_pool: dict[int, list[Span]] = {}
    for span in spans:
        if span.count == 1:
            by_pool.setdefault(id(span.slot.pool), []).append(span)
    for members in by_pool.values():
        numbers = torch.tensor([each.slot.number for each in members], device=spec.device)
        singles.append(
            PoolRows(
                pool=members[0].slot.pool,
                first=row,
                last=row + len(members),
                numbers=numbers,
                lengths=torch.tensor([each.start for each in members], device=spec.device),
                num_slots=max(each.slot.number for each in members) + 1,
            )
        )
        row += len(members)
    for span in spans:
        if span.count > 1:
            chunks.append((span, row))
            row += span.count
    return StepLayout(spec, tuple(singles), tuple(chunks))
