"""Heads: one number off a hidden state, of a whole response (a reward) or before a token (a value).

A head is a linear map without a bias, in float32 whatever the network computes in: a score is a sum
of hundreds of products, and comparisons of near scores are what it is for.
"""

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.model.network import Model, hidden_states


def rewards(model: Model, head: nn.Linear, batch: Batch) -> Tensor:
    """Return the score `[N]` of every branch, read at its last token."""
    return apply_head(head, hidden_states(model, batch)[batch.last_index])


def values(model: Model, head: nn.Linear, batch: Batch) -> Tensor:
    """Return the value `[R]` of the state before every weighted token."""
    return apply_head(head, hidden_states(model, batch)[batch.source])


def apply_head(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Return what a head says `[M]` of hidden states `[M, D]`."""
    with torch.autocast(hidden.device.type, enabled=False):
        scores: Tensor = head(hidden.to(head.weight.dtype)).squeeze(-1)
    return scores
