"""Chooses the next token of each sequence, each with its own settings.

A token depends on the sequence's own logits, settings and key only: the noise is a function of
(key, token index, token id). Log-probabilities are the model's own, at temperature 1 and before
penalties and filters.
"""

from collections import Counter
from collections.abc import Sequence as Many
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.maths import counter_rng
from upbring.model.sampling import gumbel_max
from upbring.serve.engine.requests import TokenLogprob, TokenSampling

NUM_CANDIDATES = 1024  # likeliest tokens that are sorted; all of them only where these do not do


@dataclass(frozen=True, slots=True)
class Draw:
    """What decides about one token besides the logits."""

    sampling: TokenSampling
    key: int
    prompt: Many[int]
    generated: Many[int]
    num_top: int | None = None  # likeliest tokens to report; None: no log-probability
    allowed: Tensor | None = None  # [V]


def choose_tokens(logits: Tensor, draws: Many[Draw]) -> list[TokenLogprob]:
    """Return the next token of each row of `logits` `[B, V]`."""
    tokens = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    changed = _change_logits(logits, draws)
    greedy = [i for i, draw in enumerate(draws) if draw.sampling.temperature == 0]
    if greedy:
        tokens[greedy] = _rows(changed, greedy).argmax(-1)
    sampled = [i for i, draw in enumerate(draws) if draw.sampling.temperature > 0]
    if sampled:
        own = [draws[i] for i in sampled]
        tokens[sampled] = _sample(_rows(changed, sampled), own)
    return _with_logprobs(logits, tokens, draws)


def token_logprobs(logprobs: Tensor, tokens: Tensor, num_top: Many[int]) -> list[TokenLogprob]:
    """Return the log-probability of `tokens` `[M]` under `logprobs` `[M, V]`, and the likeliest."""
    own = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
    most = max(num_top, default=0)
    values, ids = logprobs.topk(min(most, logprobs.shape[1]), dim=-1)  # [M, most]
    rows = zip(tokens.tolist(), own, ids.tolist(), values.tolist(), num_top, strict=True)
    return [
        TokenLogprob(token, logprob, tuple(zip(row[:n], tops[:n], strict=True)))
        for token, logprob, row, tops, n in rows
    ]


def _with_logprobs(logits: Tensor, tokens: Tensor, draws: Many[Draw]) -> list[TokenLogprob]:
    chosen = [TokenLogprob(token, None) for token in tokens.tolist()]
    wanted = [i for i, draw in enumerate(draws) if draw.num_top is not None]
    if wanted:
        logprobs = _rows(logits, wanted).log_softmax(-1)
        found = token_logprobs(logprobs, tokens[wanted], [draws[i].num_top or 0 for i in wanted])
        for i, each in zip(wanted, found, strict=True):
            chosen[i] = each
    return chosen


def _rows(values: Tensor, indices: list[int]) -> Tensor:
    """Return some rows, without a copy if they are all."""
    return values if len(indices) == values.shape[0] else values[indices]


def _change_logits(logits: Tensor, draws: Many[Draw]) -> Tensor:
    """Return the logits with each row's bias, penalties and constraint."""
    changed = [
        i for i, draw in enumerate(draws) if not draw.sampling.is_plain or draw.allowed is not None
    ]
    if not changed:
        return logits
    logits = logits.clone()
    for i in changed:
        _penalize(logits[i], draws[i])
        allowed = draws[i].allowed
        if allowed is not None:
            logits[i].masked_fill_(~allowed, -torch.inf)
    return logits


def _penalize(row: Tensor, draw: Draw) -> None:
    """Change one row `[V]` in place: the repetition penalty, then the others, then the bias."""
    sampling, device = draw.sampling, row.device
    if sampling.repetition_penalty != 1:  # Keskar et al. 2019, as in transformers
        seen = torch.tensor(sorted({*draw.prompt, *draw.generated}), device=device)
        scores, r = row[seen], sampling.repetition_penalty
        row[seen] = torch.where(scores > 0, scores / r, scores * r)
    if draw.generated and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = Counter(draw.generated)
        ids = torch.tensor(list(counts), device=device)
        times = torch.tensor(list(counts.values()), device=device, dtype=row.dtype)
        row[ids] -= sampling.presence_penalty + sampling.frequency_penalty * times
    if sampling.logit_bias:
        ids = torch.tensor(list(sampling.logit_bias), device=device)
        row[ids] += torch.tensor(list(sampling.logit_bias.values()), device=device, dtype=row.dtype)


def _sample(logits: Tensor, draws: Many[Draw]) -> Tensor:
    """Return a token `[B]` for each row of `logits` `[B, V]`."""
    device = logits.device
    temperatures = torch.tensor([draw.sampling.temperature for draw in draws], device=device)
    scaled = logits / temperatures.unsqueeze(1)
    filtered = [i for i, draw in enumerate(draws) if draw.sampling.is_filtered]
    if filtered:
        own = [draws[i].sampling for i in filtered]
        scaled[filtered] = _filter(scaled[filtered], own)
    keys = torch.tensor([draw.key for draw in draws], device=device)
    index = torch.tensor([len(draw.generated) for draw in draws], device=device)
    return gumbel_max(scaled.softmax(-1), counter_rng.mix(keys) + index)


def _filter(scaled: Tensor, samplings: Many[TokenSampling]) -> Tensor:
    """Return `[B, V]` with −∞ for the tokens outside of each row's top k, top p or min p.

    Top p applies to what top k leaves. Only the likeliest tokens are sorted, unless a row needs
    more of them.
    """
    V = scaled.shape[1]
    top_k = torch.tensor([s.top_k or V for s in samplings], device=scaled.device).unsqueeze(1)
    top_p = torch.tensor([s.top_p for s in samplings], device=scaled.device).unsqueeze(1)
    min_p = torch.tensor([s.min_p for s in samplings], device=scaled.device).unsqueeze(1)
    log_total = scaled.logsumexp(-1, keepdim=True)
    for num_candidates in (NUM_CANDIDATES, V):
        values, ids = scaled.topk(min(num_candidates, V), dim=-1)  # [B, C], sorted
        probs = (values - log_total).exp()
        rank = torch.arange(values.shape[1], device=scaled.device)
        probs = probs.masked_fill(rank >= top_k, 0)
        # the sum over all that top k leaves; without top k, that is 1
        total = torch.where(top_k < V, probs.sum(-1, keepdim=True), torch.ones_like(log_total))
        before = (probs.cumsum(-1) - probs) / total
        keeps = (rank < top_k) & ((before < top_p) | (top_p >= 1)) & (probs >= min_p * probs[:, :1])
        C = values.shape[1]
        if V == C or bool((~keeps[:, -1:] & ((top_k <= C) | (top_k == V))).all()):
            break
    kept = values.masked_fill(~keeps, -torch.inf)
    return torch.full_like(scaled, -torch.inf).scatter(1, ids, kept)
