"""A random number generator without state: each number is a pure function of key and counter.

There is no state to save or restore: a resumed run equals an uninterrupted run. Keys are mixed with
two applications of MurmurHash3's 64-bit finalizer. The numbers of a vocabulary are mixed with the
32-bit function of lowest bias found by C. Wellons (both public domain).
"""

import torch
from torch import Tensor

from upbring.maths.random_key import key as key  # noqa: PLC0414 -- of the same numbers, without torch

_MIX64_MULTIPLIERS = (-49064778989728563, -4265267296055464877)  # ff51afd7ed558ccd c4ceb9fe1a85ec53
_MIX32_ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32))  # (shift, multiplier)


def mix(values: Tensor) -> Tensor:
    """Return 64 well-mixed bits for each int64 of `values`, as int64."""
    values = values.clone(memory_format=torch.contiguous_format)
    for _ in range(2):
        for multiplier in _MIX64_MULTIPLIERS:
            values.bitwise_xor_(_logical_shift_right(values, 33)).mul_(multiplier)
        values.bitwise_xor_(_logical_shift_right(values, 33)).add_(0x1E3779B97F4A7C15)
    return values


def _logical_shift_right(values: Tensor, num_bits: int, *, out: Tensor | None = None) -> Tensor:
    """Return `values >> num_bits` for unsigned integers."""
    mask = (1 << (8 * values.element_size() - num_bits)) - 1
    return torch.bitwise_right_shift(values, num_bits, out=out).bitwise_and_(mask)


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """Return float32 numbers in (0, 1), one for each of the broadcast `keys` and `counters`.

    The numbers have 23 bits and the largest is 1 − 2⁻²⁴, so logarithms are finite and nonzero. The
    two halves of the mixed key scale and shift the counters before 32-bit mixing: sampling a token
    needs one number per vocabulary entry, and 64-bit mixing takes four times as long.
    """
    mixed_key = mix(keys)
    factor, summand = (mixed_key >> 32).to(torch.int32) | 1, mixed_key.to(torch.int32)
    bits = (counters.to(torch.int32) * factor).add_(summand)
    buffer = torch.empty_like(bits)  # in place: a large vocabulary does not fit the CPU caches
    for num_bits, multiplier in _MIX32_ROUNDS:
        bits.bitwise_xor_(_logical_shift_right(bits, num_bits, out=buffer)).mul_(multiplier)
    bits.bitwise_xor_(_logical_shift_right(bits, 16, out=buffer))
    return _logical_shift_right(bits, 9, out=buffer).to(torch.float32).add_(0.5).mul_(2.0**-23)


def gumbel(keys: Tensor, counters: Tensor) -> Tensor:
    """Return Gumbel noise: argmax(logits + noise) is a sample from softmax(logits)."""
    return uniform(keys, counters).log_().neg_().log_().neg_()


def permutation(seed_key: int, count: int) -> Tensor:
    """Return a permutation of 0…count−1, a pure function of the key.

    >>> sorted(permutation(key(0, "order", 0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    seed = mix(torch.tensor(seed_key))
    return torch.argsort(mix(seed ^ torch.arange(count)), stable=True)


def make_generator(*parts: int | str) -> torch.Generator:
    """Return a torch generator seeded with the key of `parts`, for bulk sampling."""
    return torch.Generator().manual_seed(key(*parts))
