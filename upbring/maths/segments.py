"""Ragged sums and means: what tokens say `[R]`, gathered by branch `[N]`."""

import torch
from torch import Tensor


def sums(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the sum `[count]` of `values` `[R]` by `segment` `[R]`.

    >>> sums(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3).tolist()
    [3.0, 0.0, 4.0]
    """
    return values.new_zeros(count).index_add(0, segment, values)


def means(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the mean `[count]` of `values` `[R]` by `segment` `[R]`; of nothing it is 0.

    >>> means(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3).tolist()
    [1.5, 0.0, 4.0]
    """
    counts = sums(torch.ones_like(values), segment, count)
    return sums(values, segment, count) / counts.clamp_min(1)


def last(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the last value `[count]` of each segment; every segment must have one.

    >>> last(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2).tolist()
    [2.0, 4.0]
    """
    places = torch.arange(len(values), device=values.device)
    ends = places.new_full((count,), -1).scatter_reduce(0, segment, places, "amax")
    assert bool((ends >= 0).all()), "a segment has no value"
    return values[ends]


def at_last(values: Tensor, segment: Tensor) -> Tensor:
    """Return `[R]` with each segment's value of `values` `[N]` at its last place, 0 elsewhere.

    >>> at_last(torch.tensor([5.0, 7.0]), torch.tensor([0, 0, 1])).tolist()
    [0.0, 5.0, 7.0]
    """
    is_last = torch.ones_like(segment, dtype=torch.bool)
    is_last[:-1] = segment[1:] != segment[:-1]
    return values[segment] * is_last


def whitened(values: Tensor, *, shifts_mean: bool = True) -> Tensor:
    """Return `values` `[R]` with variance 1, and mean 0 or, unshifted, their own mean.

    Huang et al. 2024, detail 25: (x − mean) · rsqrt(var + 1e-8), over all of them.
    """
    centred = values - values.mean()
    scaled = centred * torch.rsqrt(centred.square().mean() + 1e-8)
    return scaled if shifts_mean else scaled + values.mean()
