"""Ragged sums and means: token values `[R]`, reduced by branch `[N]`."""

import torch
from torch import Tensor


def segment_sum(values: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """Return the sum `[num_segments]` of `values` `[R]` by `segment` `[R]`.

    >>> segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3).tolist()
    [3.0, 0.0, 4.0]
    """
    return values.new_zeros(num_segments).index_add(0, segment, values)


def segment_mean(values: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """Return the mean `[num_segments]` of `values` `[R]` by `segment` `[R]`; 0 if empty.

    >>> segment_mean(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3).tolist()
    [1.5, 0.0, 4.0]
    """
    counts = segment_sum(torch.ones_like(values), segment, num_segments)
    return segment_sum(values, segment, num_segments) / counts.clamp_min(1)


def segment_last(values: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """Return the last value `[num_segments]` of each segment; no segment may be empty.

    >>> segment_last(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2).tolist()
    [2.0, 4.0]
    """
    indices = torch.arange(len(values), device=values.device)
    last_indices = indices.new_full((num_segments,), -1).scatter_reduce(0, segment, indices, "amax")
    assert bool((last_indices >= 0).all()), "a segment has no value"
    return values[last_indices]


def place_at_segment_end(values: Tensor, segment: Tensor) -> Tensor:
    """Return `[R]` with each segment's value of `values` `[N]` at its last token, 0 elsewhere.

    >>> place_at_segment_end(torch.tensor([5.0, 7.0]), torch.tensor([0, 0, 1])).tolist()
    [0.0, 5.0, 7.0]
    """
    is_last = torch.ones_like(segment, dtype=torch.bool)
    is_last[:-1] = segment[1:] != segment[:-1]
    return values[segment] * is_last


def whiten(values: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Return `values` `[R]` scaled to variance 1, with mean 0 or, if not shifted, their mean.

    Huang et al. 2024, detail 25: (x − mean) · rsqrt(var + 1e-8), over all values.
    """
    centered = values - values.mean()
    scaled = centered * torch.rsqrt(centered.square().mean() + 1e-8)
    return scaled if shift_mean else scaled + values.mean()
