"""Randomness without state: a draw is a pure function of its key and its counter.

There is nothing to save and nothing to restore: killed and resumed = never killed. Keys are mixed
by the 64-bit finaliser of MurmurHash3, applied twice, and the numbers of a vocabulary by the 32-bit
function of least bias that C. Wellons found (both public domain).
"""

import hashlib

import torch
from torch import Tensor

_MIX64_MULTIPLIERS = (
    -49064778989728563,
    -4265267296055464877,
)  # ff51afd7ed558ccd, c4ceb9fe1a85ec53
_MIX32_ROUNDS = (
    (16, 0x7FEB352D),
    (15, 0x846CA68B - 2**32),
)  # how far to shift, then what to multiply by


def key(*parts: int | str) -> int:
    """Return the 63-bit key of (seed, purpose, step, index, …).

    >>> key(0, "order", 1) == key(0, "order", 1) != key(0, "order", 2)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def mix(values: Tensor) -> Tensor:
    """Return 64 well-mixed bits for each int64 of `values`, as int64."""
    values = values.clone(memory_format=torch.contiguous_format)
    for _ in range(2):
        for multiplier in _MIX64_MULTIPLIERS:
            values.bitwise_xor_(_logical_shift_right(values, 33)).mul_(multiplier)
        values.bitwise_xor_(_logical_shift_right(values, 33)).add_(0x1E3779B97F4A7C15)
    return values


def _logical_shift_right(values: Tensor, num_bits: int, *, out: Tensor | None = None) -> Tensor:
    """Return `values >> places` as if they had no sign."""
    mask = (1 << (8 * values.element_size() - num_bits)) - 1
    return torch.bitwise_right_shift(values, num_bits, out=out).bitwise_and_(mask)


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """Return numbers in (0, 1), one for each of `keys` and `counters` broadcast, as float32.

    23 bits: the largest is 1 − 2⁻²⁴, so that no logarithm meets 0 or 1. Both halves of a mixed key
    place the counters, by a factor and by a sum, before each is mixed in 32 bits: a token needs a
    number for every word of its vocabulary, and 64 bits take four times as long.
    """
    mixed_key = mix(keys)
    factor, summand = (mixed_key >> 32).to(torch.int32) | 1, mixed_key.to(torch.int32)
    bits = (counters.to(torch.int32) * factor).add_(summand)
    buffer = torch.empty_like(bits)  # in place: a large vocabulary's numbers do not fit the caches
    for num_bits, multiplier in _MIX32_ROUNDS:
        bits.bitwise_xor_(_logical_shift_right(bits, num_bits, out=buffer)).mul_(multiplier)
    bits.bitwise_xor_(_logical_shift_right(bits, 16, out=buffer))
    return _logical_shift_right(bits, 9, out=buffer).to(torch.float32).add_(0.5).mul_(2.0**-23)


def gumbel(keys: Tensor, counters: Tensor) -> Tensor:
    """Return Gumbel noise: argmax(logits + noise) is a draw from softmax(logits)."""
    return uniform(keys, counters).log_().neg_().log_().neg_()


def permutation(seed_key: int, count: int) -> Tensor:
    """Return a permutation of 0…count−1 that is a pure function of its key.

    >>> sorted(permutation(key(0, "order", 0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    seed = mix(torch.tensor(seed_key))
    return torch.argsort(mix(seed ^ torch.arange(count)), stable=True)


def make_generator(*parts: int | str) -> torch.Generator:
    """Return a generator seeded by the key of `parts`, for draws that torch makes in bulk."""
    return torch.Generator().manual_seed(key(*parts))
