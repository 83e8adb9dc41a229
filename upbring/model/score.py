"""Hidden states to log-probabilities `[R]`, a chunk of the vocabulary's logits at a time.

The head runs at the R places that predict a weighted token, never at the others, and the logits
of one chunk at most are alive at any time: memory grows with chunk × V, not with T.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from upbring.data.trees.batch import Batch
from upbring.model import frozen_head
from upbring.model.network import Model, hidden_states

CHUNK_BYTES = 256 * 2**20  # of float32 logits: 8,192 tokens of V = 8,192, 440 of V = 152,000


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model thinks of the weighted tokens of a batch."""

    logprobs: Tensor  # [R] float32
    entropy: Tensor | None = None  # [R] float32, of the distribution before each token


def score(model: Model, batch: Batch, *, has_entropy: bool = False) -> Scores:
    """Return the log-probability `[R]` of every weighted token of `batch`, and the entropy."""
    hidden = hidden_states(model, batch)[batch.source]  # [R, D]
    return read_out(model, hidden, batch.target, has_entropy=has_entropy)


def logits(model: Model, hidden: Tensor) -> Tensor:
    """Return `[…, V]`, float32 at least: the head, and what the architecture does behind it."""
    config = model.network.config
    with model.autocast():
        out: Tensor = model.network.get_output_embeddings()(hidden)
    out = out.to(torch.promote_types(out.dtype, torch.float32))
    if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
        out = out * scale
    if (divisor := getattr(config, "logits_scaling", None)) is not None:  # Granite
        out = out / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma
        out = cap * torch.tanh(out / cap)
    return out


def read_out(
    model: Model,
    hidden: Tensor,
    target: Tensor,
    *,
    has_entropy: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Scores:
    """Return log-probabilities of `target` `[R]` under the head at `hidden` `[R, D]`.

    Of a head that learns, the last chunk keeps its logits for the backward pass and the others
    compute them again: a batch that fits one chunk pays nothing for the bound.
    """
    if not has_entropy and (weight := _plain_head(model)) is not None:
        kind = weight.dtype if model.compute == torch.float32 else model.compute
        return Scores(frozen_head.logprobs(hidden.to(kind), weight.to(kind), target))

    def read(h: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        every = logits(model, h)  # [C, V]
        total = torch.logsumexp(every, -1)  # [C]
        chosen = every.gather(-1, t.unsqueeze(-1)).squeeze(-1) - total  # [C]
        if not has_entropy:
            return (chosen,)
        return chosen, total - (every.softmax(-1) * every).sum(-1)

    rows = max(16, chunk_bytes // model.lanes // (4 * model.vocabulary))  # each lane has a chunk
    chunks = list(zip(torch.split(hidden, rows), torch.split(target, rows), strict=True))
    parts = [
        read(h, t) if index == len(chunks) - 1 else checkpoint(read, h, t, use_reentrant=False)
        for index, (h, t) in enumerate(chunks)
    ]
    return Scores(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _plain_head(model: Model) -> Tensor | None:
    """Return the weight `[V, D]` of a head that does not learn, where nothing else is behind it."""
    head, config = model.network.get_output_embeddings(), model.network.config
    transforms = ("logit_scale", "logits_scaling", "final_logit_softcapping")
    is_plain = type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad
    if not is_plain or any(getattr(config, name, None) is not None for name in transforms):
        return None
    weight: Tensor = head.weight
    return weight
