"""Scalar heads on hidden states: a reward per response, or a value per token.

A head is a linear map without bias, in float32 regardless of the network's dtype: a score is a sum
of hundreds of products, and scores that are close to each other must stay comparable.
"""

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.model.network import Model, hidden_states


def rewards(model: Model, head: nn.Linear, batch: Batch) -> Tensor:
    """Return the reward `[N]` of every branch, read at its last token."""
    return apply_head(head, hidden_states(model, batch)[batch.last_index])


def values(model: Model, head: nn.Linear, batch: Batch) -> Tensor:
    """Return the value `[R]` of the state before every weighted token."""
    return apply_head(head, hidden_states(model, batch)[batch.source])


def apply_head(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Return a head's outputs `[M]` for hidden states `[M, D]`."""
    with torch.autocast(hidden.device.type, enabled=False):
        scores: Tensor = head(hidden.to(head.weight.dtype)).squeeze(-1)
    return scores
