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
