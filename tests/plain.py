"""The independent reference: one sequence at a time through transformers, nothing of ours."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from upbring.data.trees.tree import Tree, make_tree


def plain_logprobs(network: PreTrainedModel, trees: Sequence[Tree]) -> Tensor:
    """Return the log-probability of every response token, each branch after its own prompt."""
    out = []
    for item in trees:
        for branch in item.branches:
            tokens = torch.tensor(np.concatenate([item.prompt, branch.tokens])).long()[None]
            every = network(input_ids=tokens).logits[0].float().log_softmax(-1)
            p = len(item.prompt)
            out.append(every[p - 1 : -1].gather(-1, tokens[0, p:, None]).squeeze(-1))
    return torch.cat(out)


def random_trees(vocabulary: int, shapes: Sequence[tuple[int, tuple[int, ...]]]) -> list[Tree]:
    """Return trees of random tokens: prompt length and branch lengths of each."""
    rng = np.random.default_rng(0)
    return [
        make_tree(rng.integers(3, vocabulary, p), *[rng.integers(3, vocabulary, c) for c in cs])
        for p, cs in shapes
    ]


def relative(ours: Sequence[nn.Parameter], theirs: Sequence[nn.Parameter]) -> float:
    """Return ‖difference of gradients‖ / ‖gradients‖ over all parameters."""
    pairs = [(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True)]
    off = sum(float((a - b).square().sum()) for a, b in pairs if a is not None and b is not None)
    all_ = sum(float(b.square().sum()) for _, b in pairs if b is not None)
    assert all((a is None) == (b is None) for a, b in pairs)
    return float(np.sqrt(off / all_))
