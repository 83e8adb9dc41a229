"""Log-probabilities `[R]` from hidden states, one chunk of logits at a time.

The head runs only at the R positions that predict a weighted token, and at most one chunk of logits
is alive at any time: memory grows with chunk size × V, not with T.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from upbring.data.trees.batch import Batch
from upbring.model import frozen_head
from upbring.model.network import Model, hidden_states
from upbring.model.quantized import is_frozen_linear

CHUNK_BYTES = 256 * 2**20  # of float32 logits: 8,192 tokens at V = 8,192, 440 at V = 152,000


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities, and optionally entropies, of a batch's weighted tokens."""

    logprobs: Tensor  # [R] float32
    entropy: Tensor | None = None  # [R] float32, of the distribution before each token


def score_tokens(model: Model, batch: Batch, *, has_entropy: bool = False) -> TokenScores:
    """Return the log-probability `[R]` of every weighted token of `batch`, and the entropy."""
    hidden = hidden_states(model, batch)[batch.source]  # [R, D]
    return score_hidden_states(model, hidden, batch.target, has_entropy=has_entropy)


def compute_logits(model: Model, hidden: Tensor) -> Tensor:
    """Return logits `[…, V]` in float32 at least: the head, then the architecture's transforms."""
    with model.autocast():
        return transform_logits(model, model.network.get_output_embeddings()(hidden))


def transform_logits(model: Model, out: Tensor) -> Tensor:
    """Return logits `[…, V]` in float32 at least from the output of the head."""
    config = model.network.config
    out = out.to(torch.promote_types(out.dtype, torch.float32))
    if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
        out = out * scale
    if (divisor := getattr(config, "logits_scaling", None)) is not None:  # Granite
        out = out / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma
        out = cap * torch.tanh(out / cap)
    return out


def score_hidden_states(
    model: Model,
    hidden: Tensor,
    target: Tensor,
    *,
    has_entropy: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> TokenScores:
    """Return log-probabilities of `target` `[R]` under the head at `hidden` `[R, D]`.

    With a trainable head, the last chunk keeps its logits for the backward pass and the others
    recompute them: a batch of one chunk is never computed twice.
    """
    if not has_entropy and (weight := _frozen_head_weight(model)) is not None:
        dtype = model.compute_dtype
        if dtype == torch.float32:
            dtype = torch.promote_types(weight.dtype, hidden.dtype)
        return TokenScores(frozen_head.logprobs(hidden.to(dtype), weight, target))

    def score_chunk(h: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        chunk_logits = compute_logits(model, h)  # [C, V]
        log_normalizer = torch.logsumexp(chunk_logits, -1)  # [C]
        logprobs = chunk_logits.gather(-1, t.unsqueeze(-1)).squeeze(-1) - log_normalizer  # [C]
        if not has_entropy:
            return (logprobs,)
        return logprobs, log_normalizer - (chunk_logits.softmax(-1) * chunk_logits).sum(-1)

    chunk_size = max(16, chunk_bytes // (4 * model.vocab_size))
    chunks = list(
        zip(torch.split(hidden, chunk_size), torch.split(target, chunk_size), strict=True)
    )
    parts = [
        score_chunk(h, t)
        if index == len(chunks) - 1
        else checkpoint(score_chunk, h, t, use_reentrant=False)
        for index, (h, t) in enumerate(chunks)
    ]
    return TokenScores(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _frozen_head_weight(model: Model) -> Tensor | None:
    """Return the weight `[V, D]` of a frozen head without bias or transforms, else None."""
    head, config = model.network.get_output_embeddings(), model.network.config
    transforms = ("logit_scale", "logits_scaling", "final_logit_softcapping")
    is_plain = is_frozen_linear(head) and head.bias is None
    if not is_plain or any(getattr(config, name, None) is not None for name in transforms):
        return None
    weight: Tensor = head.weight
    return weight
