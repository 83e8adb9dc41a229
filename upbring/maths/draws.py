"""Randomness without state: a draw is a pure function of its key and its counter.

There is nothing to save and nothing to restore: killed and resumed = never killed. The mixing
function is the 64-bit finaliser of MurmurHash3 (public domain), applied twice.
"""

import hashlib

import torch
from torch import Tensor

_MULTIPLIERS = (-49064778989728563, -4265267296055464877)  # ff51afd7ed558ccd, c4ceb9fe1a85ec53


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
    high = torch.empty_like(values)  # in place: a large vocabulary's numbers do not fit the caches
    for _ in range(2):
        for multiplier in _MULTIPLIERS:
            values.bitwise_xor_(_shifted(values, 33, out=high)).mul_(multiplier)
        values.bitwise_xor_(_shifted(values, 33, out=high)).add_(0x1E3779B97F4A7C15)
    return values


def _shifted(values: Tensor, places: int, *, out: Tensor | None = None) -> Tensor:
    """Return `values >> places` as if they had no sign."""
    kept = (1 << (64 - places)) - 1
    return torch.bitwise_right_shift(values, places, out=out).bitwise_and_(kept)


def choice(shares: Tensor, keys: Tensor) -> Tensor:
    """Return `[B]`, a place of each row of `shares` `[B, V]`, drawn in proportion to them.

    The first place up to which the shares add up to more than a random part of their sum. They are
    counted in whole 2⁻⁴⁵ths, whose sums are the same in any order and on any device.
    """
    ends = (shares * 2.0**45).to(torch.int64).cumsum(-1)  # [B, V]
    part = _shifted(mix(keys), 11).to(torch.float64) * 2.0**-53  # [B], in [0, 1)
    point = (part.unsqueeze(1) * ends[:, -1:]).to(torch.int64)  # [B, 1], below the sum
    return torch.searchsorted(ends, point, right=True).squeeze(1).clamp_(max=shares.shape[1] - 1)


def order(seed_key: int, count: int) -> Tensor:
    """Return a permutation of 0…count−1 that is a pure function of its key.

    >>> sorted(order(key(0, "order", 0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    seed = mix(torch.tensor(seed_key))
    return torch.argsort(mix(seed ^ torch.arange(count)), stable=True)


def generator(*parts: int | str) -> torch.Generator:
    """Return a generator seeded by the key of `parts`, for draws that torch makes in bulk."""
    return torch.Generator().manual_seed(key(*parts))
