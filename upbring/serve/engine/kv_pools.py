"""Keys and values of all sequences, in pools of slots of equal length.

The slots of a pool are one tensor, so that the attention of one new token of each sequence is one
product per pool. A slot that was given back keeps its tokens until it is used again: a later prompt
that starts with them copies their keys and values instead of computing them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from upbring.model.attention import AttentionConfig

SHORTEST = 256  # tokens of a slot in the first pool; each further pool has 4 times as many
GROWTH = 4
MIN_SHARED = 8  # tokens that are worth a copy


@dataclass(frozen=True, slots=True)
class KVSpec:
    """What each attention of a forward pass stores, in the order of the calls."""

    configs: tuple[AttentionConfig, ...]
    shapes: tuple[tuple[int, int, int], ...]  # heads, width of keys, width of values
    dtype: torch.dtype
    device: torch.device


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one sequence in a pool."""

    pool: "KVPool"
    number: int
    is_used: bool = False
    tokens: Sequence[int] = ()  # the sequence's own list while it is used
    count: int = 0  # of these tokens that are computed
    adapter: str | None = None
    last_use: int = 0

    @property
    def length(self) -> int:
        """The number of tokens that fit."""
        return self.pool.length


@dataclass(eq=False)
class KVPool:
    """Slots of one length."""

    length: int
    slots: list[Slot] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)  # per attention: [slots, Hkv, S, K]
    values: list[Tensor] = field(default_factory=list)

    @property
    def num_used_range(self) -> int:
        """The number of slots up to the last used one."""
        return max((slot.number + 1 for slot in self.slots if slot.is_used), default=0)

    def resize(self, num_slots: int, spec: KVSpec) -> None:
        """Change the number of slots; the first ones keep what they hold."""
        kept = min(num_slots, len(self.slots))
        grown: tuple[list[Tensor], list[Tensor]] = ([], [])
        for call, (heads, *widths) in enumerate(spec.shapes):
            for which, buffers in enumerate((self.keys, self.values)):
                shape = (num_slots, heads, self.length, widths[which])
                # Zeros: a masked value that is not finite would spoil the sum. They are written, so
                # that the memory is taken now and not page by page with each longer text.
                new = torch.empty(shape, dtype=spec.dtype, device=spec.device)
                grown[which].append(new.zero_())
                if kept:
                    grown[which][-1][:kept] = buffers[call][:kept]
                    buffers[call] = buffers[call].new_empty(0)  # freed before the next one is made
        self.keys, self.values = grown
        self.slots = self.slots[:kept] + [Slot(self, i) for i in range(kept, num_slots)]


class KVPools:
    """All pools; together at most `max_tokens` tokens."""

    def __init__(self, spec: KVSpec, *, max_tokens: int, max_length: int) -> None:
        self.spec, self.max_tokens, self.max_length = spec, max_tokens, max_length
        self.pools = [KVPool(length) for length in _pool_lengths(max_length)]
        self._time = 0

    @property
    def num_tokens(self) -> int:
        """The tokens for which there is memory now."""
        return sum(pool.length * len(pool.slots) for pool in self.pools)

    def slots(self) -> Iterator[Slot]:
        """Yield all slots, used or not."""
        for pool in self.pools:
            yield from pool.slots

    def find_prefix(self, tokens: Sequence[int], adapter: str | None) -> tuple[Slot | None, int]:
        """Return the slot that shares the longest computed prefix with `tokens`, and its length."""
        best, longest = None, MIN_SHARED - 1
        for slot in self.slots():
            if slot.adapter == adapter and slot.count > longest:
                count = shared_length(tokens, slot.tokens, slot.count)
                if count > longest:
                    best, longest = slot, count
        return best, longest if best is not None else 0

    def allocate(self, length: int, *, keep: Slot | None = None) -> Slot | None:
        """Return a slot for `length` tokens, or None without memory; `keep` is not reused."""
        self._time += 1
        for pool in self.pools:
            if pool.length < length:
                continue
            slot = self._free_slot(pool, keep) or self._new_slot(pool, keep)
            if slot is not None:
                slot.is_used, slot.tokens, slot.count, slot.last_use = True, (), 0, self._time
                return slot
        return None

    def release(self, slot: Slot) -> None:
        """Give a slot back; its tokens stay until it is used again."""
        self._time += 1
        slot.is_used, slot.last_use = False, self._time
        slot.tokens = tuple(slot.tokens[: slot.count])

    def copy(self, source: Slot, target: Slot, count: int) -> None:
        """Copy the keys and values of the first tokens."""
        if source is target:
            return
        for ours, theirs in (
            (target.pool.keys, source.pool.keys),
            (target.pool.values, source.pool.values),
        ):
            for into, out_of in zip(ours, theirs, strict=True):
                into[target.number, :, :count] = out_of[source.number, :, :count]

    def compact(self) -> None:
        """Move the last used slot of a pool down where most slots before it are unused."""
        for pool in self.pools:
            end = pool.num_used_range
            free = [slot for slot in pool.slots[:end] if not slot.is_used]
            if 2 * len(free) <= end:
                continue
            last, first = pool.slots[end - 1], free[0]
            for buffer in (*pool.keys, *pool.values):
                buffer[first.number, :, : last.count] = buffer[last.number, :, : last.count]
            first.count, first.tokens = 0, ()
            first.number, last.number = last.number, first.number
            pool.slots[first.number], pool.slots[last.number] = first, last

    def clear(self) -> None:
        """Forget everything, after an error."""
        self.pools = [KVPool(length) for length in _pool_lengths(self.max_length)]

    def _free_slot(self, pool: KVPool, keep: Slot | None) -> Slot | None:
        """Return the first slot that holds nothing, or the one unused for the longest time."""
        free = [slot for slot in pool.slots if not slot.is_used and slot is not keep]
        return min(
            free, key=lambda slot: (slot.count > 0, slot.last_use, slot.number), default=None
        )

    def _new_slot(self, pool: KVPool, keep: Slot | None) -> Slot | None:
        """Return a slot of a pool that is doubled for it, or None without memory."""
        for other in reversed(self.pools):  # pools that nobody uses make room
            if self._num_affordable(pool) > 0:
                break
            is_kept = keep is not None and keep.pool is other
            if other is not pool and not is_kept and other.slots and not other.num_used_range:
                other.resize(0, self.spec)
        added = min(self._num_affordable(pool), max(1, len(pool.slots)))
        if added <= 0:
            return None
        before = len(pool.slots)
        pool.resize(before + added, self.spec)
        return pool.slots[before]

    def _num_affordable(self, pool: KVPool) -> int:
        return (self.max_tokens - self.num_tokens) // pool.length


def shared_length(tokens: Sequence[int], others: Sequence[int], count: int) -> int:
    """Return how many of the first `count` tokens are equal.

    >>> shared_length([1, 2, 3, 4], [1, 2, 9, 4], 4)
    2
    """
    low, high = 0, min(count, len(tokens), len(others))
    if list(tokens[:high]) == list(others[:high]):
        return high
    while high - low > 1:  # the first low are equal, the first high are not
        middle = (low + high) // 2
        if list(tokens[low:middle]) == list(others[low:middle]):
            low = middle
        else:
            high = middle
    return low


def _pool_lengths(max_length: int) -> list[int]:
    """Return the lengths of the pools' slots.

    >>> _pool_lengths(8192), _pool_lengths(100)
    ([256, 1024, 4096, 8192], [100])
    """
    lengths = [min(SHORTEST, max_length)]
    while lengths[-1] < max_length:
        lengths.append(min(lengths[-1] * GROWTH, max_length))
    return lengths
