"""Sampling with continuous batching: finished rows free their slots for waiting requests.

A prompt is prefilled once for its n samples. A row's tokens depend only on its own key and prompt:
the noise is a function of (key, token index, token id), and Gumbel-max needs no running state. The
returned log-probabilities are the model's own, at temperature 1 and over the full vocabulary, as
`score` computes them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor

from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.maths import counter_rng
from upbring.model.attention import AttentionConfig, attention
from upbring.model.decoder import Decoder, make_decoder
from upbring.model.network import Model, forward, hidden_states, require_rotary_range
from upbring.model.score import compute_logits, transform_logits
from upbring.settings.sampling import SampleSettings

MIN_DECODER_TOKENS = 16  # per response; for fewer, a copy of the weights costs more than it saves

GROUP_SIZE = 64  # tokens of the vocabulary whose noise is drawn as one

FinishReason = Literal["stop", "string", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt, and one random key for each requested sample."""

    prompt: Sequence[int]
    keys: tuple[int, ...]


@dataclass(slots=True)
class Response:
    """The tokens sampled for one row; a stop token, if there is one, is the last token."""

    request_index: int
    sample_index: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class StopConditions:
    """What ends a row besides its length: stop tokens, or a predicate over its tokens."""

    stop_token_ids: frozenset[int] = frozenset()
    ends_sequence: Callable[[Sequence[int]], bool] | None = None


class KVCache:
    """Keys and values of the rows being sampled, one slot per row; active slots come first.

    Each attention of a forward pass has its own buffers. They are numbered in the order of the
    calls, not by layer: some architectures attend twice in a layer, or use a layer repeatedly.
    """

    def __init__(self, num_slots: int, length: int) -> None:
        self.num_slots, self.length = num_slots, length
        self.keys: dict[int, Tensor] = {}  # per attention: [slots, Hkv, S, K]
        self.values: dict[int, Tensor] = {}
        self.lengths = torch.zeros(num_slots, dtype=torch.int64)  # tokens in each slot
        self.configs: dict[int, AttentionConfig] = {}  # per attention, as the prefill had it

    def buffers(self, call: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return an attention's keys and values, allocated on first use from k and v."""
        if call not in self.keys:
            slots = (self.num_slots, k.shape[0], self.length)
            self.keys[call] = k.new_zeros(*slots, k.shape[2])
            self.values[call] = v.new_zeros(*slots, v.shape[2])
        return self.keys[call], self.values[call]

    def move_slot(self, source: int, target: int) -> None:
        """Move slot `source` to slot `target`, whose row has finished."""
        n = int(self.lengths[source])
        for buffer in (*self.keys.values(), *self.values.values()):
            buffer[target, :, :n] = buffer[source, :, :n]
        self.lengths[target] = n


@dataclass(frozen=True, slots=True, eq=False)
class PrefillLayout:
    """Prompts end to end; each is attended once and stored in the slots of its samples."""

    cache: KVCache
    lengths: tuple[int, ...]
    slots: tuple[range, ...]
    calls: Iterator[int] = field(default_factory=count)  # the attentions of this forward pass

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Return `[H, T, K]`."""
        call = next(self.calls)
        keys, values = self.cache.buffers(call, k, v)
        self.cache.configs[call] = config
        parts, start = [], 0
        for p, slots in zip(self.lengths, self.slots, strict=True):
            prompt_slice = slice(start, start + p)
            parts.append(
                attention(q[:, prompt_slice], k[:, prompt_slice], v[:, prompt_slice], config)
            )
            keys[slots.start : slots.stop, :, :p] = k[:, prompt_slice]
            values[slots.start : slots.stop, :, :p] = v[:, prompt_slice]
            start += p
        return torch.cat(parts, dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class DecodeLayout:
    """One token per row: row i attends to slot i and itself."""

    cache: KVCache
    num_rows: int
    attention_bias: dict[int | None, Tensor] = field(default_factory=dict)  # per window: [B, S]
    calls: Iterator[int] = field(default_factory=count)  # the attentions of this forward pass

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Return `[H, B, K]` from the B rows' q `[H, B, K]` and k, v `[Hkv, B, K]`."""
        call = next(self.calls)
        self.cache.buffers(call, k, v)
        q, k, v = (each.transpose(0, 1) for each in (q, k, v))
        return self.attend_rows(call, q, k, v, config).transpose(0, 1)

    def attend_cached(self, call: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return `[B, H, K]` from q `[B, H, K]` and k, v `[B, Hkv, K]`, as in the prefill."""
        return self.attend_rows(call, q, k, v, self.cache.configs[call])

    def attend_rows(
        self, call: int, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig
    ) -> Tensor:
        """Store k, v `[B, Hkv, K]` and return `[B, H, K]` for q `[B, H, K]`."""
        keys, values = self.cache.keys[call], self.cache.values[call]
        B = self.num_rows
        lengths = self.cache.lengths[:B]  # [B], positions of the new tokens
        rows = torch.arange(B)
        keys[rows, :, lengths], values[rows, :, lengths] = k, v
        if config.window not in self.attention_bias:  # shared by many layers
            self.attention_bias[config.window] = visibility_bias(lengths, config.window).to(q)
        bias = self.attention_bias[config.window]
        S = bias.shape[1]
        return decode_attention(q, keys[:B, :, :S], values[:B, :, :S], bias, config)


def visibility_bias(lengths: Tensor, window: int | None) -> Tensor:
    """Return `[B, S]`: 0 at positions that a token at `lengths` `[B]` attends to, else −∞."""
    positions = torch.arange(int(lengths.max()) + 1)
    is_visible = positions <= lengths.unsqueeze(1)
    if window is not None:
        is_visible &= positions > lengths.unsqueeze(1) - window
    return torch.zeros(is_visible.shape).masked_fill_(~is_visible, -torch.inf)


def decode_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, config: AttentionConfig
) -> Tensor:
    """Return `[B, H, K]` for one query per row: q `[B, H, K]`, k and v `[B, Hkv, S, K]`.

    The K of the values may differ from that of queries and keys.
    """
    B, Hkv, _, K = k.shape
    q = q.reshape(B, Hkv, -1, K)  # heads that share keys are adjacent
    bias = bias[:, None, None, :]  # [B, 1, 1, S]
    if config.softcap is None and q.device.type != "cpu":
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=config.scaling)
        return out.reshape(B, -1, v.shape[-1])
    if q.dtype == torch.float32 and config.softcap is None:  # one operation instead of three
        rows = bias.expand(B, Hkv, 1, -1).flatten(0, 1)
        keys = k.flatten(0, 1).transpose(1, 2)  # [B Hkv, K, S]
        scores = torch.baddbmm(rows, q.flatten(0, 1), keys, alpha=config.scaling)
        return (scores.softmax(-1) @ v.flatten(0, 1)).view(B, -1, v.shape[-1])
    if q.dtype == torch.float32:
        scores = (q * config.scaling) @ k.transpose(-1, -2)
    else:  # with the keys on the left, oneDNN needs 60 % of the time
        scores = (k @ (q * config.scaling).transpose(-1, -2)).transpose(-1, -2)
    if config.softcap is not None:
        scores = config.softcap * torch.tanh(scores / config.softcap)
    weights = (scores + bias).softmax(-1, dtype=torch.float32)
    return (weights.to(v.dtype) @ v).reshape(B, -1, v.shape[-1])


def sample(
    model: Model,
    requests: Sequence[Request],
    sampling: SampleSettings,
    *,
    stopping: StopConditions,
    num_slots: int = 32,
    poll: Callable[[], None] = lambda: None,
    decoder: Decoder | None = None,
) -> list[Response]:
    """Return the responses to all requests in order, with a request's samples side by side."""
    responses = {
        (response.request_index, response.sample_index): response
        for response, _ in stream(
            model,
            requests,
            sampling,
            stopping=stopping,
            num_slots=num_slots,
            poll=poll,
            decoder=decoder,
        )
    }
    return [responses[index] for index in sorted(responses)]


def stream(
    model: Model,
    requests: Sequence[Request],
    sampling: SampleSettings,
    *,
    stopping: StopConditions,
    num_slots: int = 32,
    poll: Callable[[], None] = lambda: None,
    decoder: Decoder | None = None,
) -> Iterator[tuple[Response, int]]:
    """Yield each response after each new token, with that token.

    Without a `decoder` one is made, if the responses are long enough to be worth it.
    """
    if not requests:
        return
    is_cached = model.is_packed and model.is_cached
    max_samples = max(len(request.keys) for request in requests)
    num_samples = sum(len(request.keys) for request in requests)
    slots = max(max_samples, min(num_slots, num_samples))
    length = max(len(r.prompt) for r in requests) + sampling.max_tokens
    require_rotary_range(model, length)
    if model.rotary_threshold is not None and length > model.rotary_threshold:
        is_cached = False  # cached keys have the rotary scaling of one side
    cache = KVCache(slots, length)
    if is_cached and decoder is None and sampling.max_tokens >= MIN_DECODER_TOKENS:
        with torch.inference_mode():
            decoder = make_decoder(model, num_rows=slots)
    waiting = deque(enumerate(requests))
    rows: list[tuple[Response, int]] = []  # per active slot: response and key
    while waiting or rows:
        poll()
        new_requests: list[tuple[int, Request]] = []
        num_rows = len(rows)
        while waiting and num_rows + len(waiting[0][1].keys) <= slots:
            new_requests.append(waiting.popleft())
            num_rows += len(new_requests[-1][1].keys)
        parts = []
        with torch.inference_mode():  # autograd's bookkeeping is expensive for short rows
            if rows:
                parts.append(_decode(model, cache if is_cached else None, decoder, requests, rows))
            if new_requests:
                parts.append(_prefill(model, cache if is_cached else None, new_requests, len(rows)))
                rows += [
                    (Response(r, s), key) for r, q in new_requests for s, key in enumerate(q.keys)
                ]
            next_logits = torch.cat(parts)  # [B, V]
            tokens, logprobs = sample_next_tokens(next_logits, rows, sampling)
        for (response, _), token, logprob in zip(rows, tokens, logprobs, strict=True):
            response.tokens.append(token)
            response.logprobs.append(logprob)
            response.finish_reason = _finish_reason(response, sampling, stopping)
            yield response, token
        with torch.inference_mode():
            _remove_finished(cache if is_cached else None, rows)


def _prefill(
    model: Model, cache: KVCache | None, requests: list[tuple[int, Request]], first_slot: int
) -> Tensor:
    """Prefill each prompt once for all its samples and return their rows' logits `[B, V]`."""
    counts = [len(request.keys) for _, request in requests]
    lengths = [len(request.prompt) for _, request in requests]
    batch = make_batch([make_tree(request.prompt) for _, request in requests]).to(model.device)
    if cache is None:
        hidden = hidden_states(model, batch)
    else:
        ends = [first_slot + sum(counts[: i + 1]) for i in range(len(counts))]
        slots = [range(end - count, end) for end, count in zip(ends, counts, strict=True)]
        for p, slot_range in zip(lengths, slots, strict=True):
            cache.lengths[slot_range.start : slot_range.stop] = p
        layout = PrefillLayout(cache, tuple(lengths), tuple(slots))
        hidden = forward(model, batch.tokens, batch.positions, layout)
    last = torch.tensor(lengths, device=model.device).cumsum(0) - 1
    prompt_logits = compute_logits(model, hidden[last])  # [prompts, V]
    return prompt_logits.repeat_interleave(torch.tensor(counts, device=model.device), dim=0)


def _decode(
    model: Model,
    cache: KVCache | None,
    decoder: Decoder | None,
    requests: Sequence[Request],
    rows: list[tuple[Response, int]],
) -> Tensor:
    """Feed each active row its newest token and return the next logits `[B, V]`.

    Without a cache every row is recomputed from its first token.
    """
    if cache is None:
        sequences = [(*requests[r.request_index].prompt, *r.tokens) for r, _ in rows]
        batch = make_batch([make_tree(text) for text in sequences]).to(model.device)
        ends = torch.tensor([span.stop - 1 for span in batch.spans], device=model.device)
        return compute_logits(model, hidden_states(model, batch)[ends])
    B = len(rows)
    last_tokens = torch.tensor([response.tokens[-1] for response, _ in rows], device=model.device)
    positions, layout = cache.lengths[:B].to(model.device), DecodeLayout(cache, B)
    if decoder is None:
        logits = compute_logits(model, forward(model, last_tokens, positions, layout))
    else:
        hidden = decoder.hidden_states(last_tokens, positions, layout.attend_cached)
        logits = transform_logits(model, decoder.head(hidden.to(decoder.dtype)))
    cache.lengths[:B] += 1
    return logits


def sample_next_tokens(
    next_logits: Tensor, rows: Sequence[tuple[Response, int]], sampling: SampleSettings
) -> tuple[list[int], list[float]]:
    """Return each row's next token, sampled from `[B, V]` logits, and its log-probability."""
    logprobs = next_logits.log_softmax(-1)  # [B, V]
    if sampling.temperature == 0:
        tokens = next_logits.argmax(-1)  # [B]
    else:
        keys = torch.tensor([key for _, key in rows], device=next_logits.device)
        index = torch.tensor([len(r.tokens) for r, _ in rows], device=next_logits.device)
        keys = counter_rng.mix(keys) + index  # [B], one key per token
        scaled = logprobs if sampling.temperature == 1 else logprobs / sampling.temperature
        tokens = gumbel_max(_filter_top_k_top_p(scaled, sampling).softmax(-1), keys)
    token_logprobs = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1)
    return tokens.tolist(), token_logprobs.tolist()


def gumbel_max(probs: Tensor, keys: Tensor) -> Tensor:
    """Return a token `[B]` for each row of `probs` `[B, V]`: first its group, then the token in it.

        group = argmax_g log Σ_{v in g} p_v + G_g        token = argmax_{v in group} log p_v + G_v

    The largest of log p_v + G_v over a group is Gumbel noise around the group's log-sum, so both
    together are a sample of p, from V / 64 + 64 numbers instead of V. Rounding errors of p change
    hardly any sample, which a search in the cumulative sum would not give.
    """
    B, V = probs.shape
    groups = F.pad(probs, (0, -V % GROUP_SIZE)).view(B, -1, GROUP_SIZE)  # [B, groups, 64]
    keys, counters = keys.unsqueeze(1), torch.arange(groups.shape[1], device=probs.device)
    group = (groups.sum(-1).log() + counter_rng.gumbel(keys, counters)).argmax(-1)  # [B]
    members = torch.arange(GROUP_SIZE, device=probs.device)
    own = groups.gather(1, group[:, None, None].expand(-1, 1, GROUP_SIZE)).squeeze(1)  # [B, 64]
    token_ids = group.unsqueeze(1) * GROUP_SIZE + members
    noise = counter_rng.gumbel(keys, groups.shape[1] + token_ids)
    best = (own.log() + noise).argmax(-1, keepdim=True)
    return token_ids.gather(1, best).squeeze(1)


def _filter_top_k_top_p(scaled: Tensor, sampling: SampleSettings) -> Tensor:
    """Return `[B, V]` with −∞ for tokens outside the top k or the top p."""
    if 0 < sampling.top_k < scaled.shape[1]:
        threshold = scaled.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < threshold, float("-inf"))
    if sampling.top_p < 1:
        sorted_logprobs, order = scaled.sort(dim=-1, descending=True, stable=True)
        probs = sorted_logprobs.softmax(-1)
        is_excluded = probs.cumsum(-1) - probs >= sampling.top_p  # keeps the likeliest
        scaled = scaled.masked_fill(is_excluded.gather(1, order.argsort(dim=-1)), float("-inf"))
    return scaled


def _finish_reason(
    response: Response, sampling: SampleSettings, stopping: StopConditions
) -> FinishReason | None:
    if response.tokens[-1] in stopping.stop_token_ids:
        return "stop"
    if stopping.ends_sequence is not None and stopping.ends_sequence(response.tokens):
        return "string"
    return "length" if len(response.tokens) >= sampling.max_tokens else None


def _remove_finished(cache: KVCache | None, rows: list[tuple[Response, int]]) -> None:
    """Remove finished rows; the last row moves into each freed slot."""
    for slot in reversed(range(len(rows))):
        if rows[slot][0].finish_reason is not None:
            last = rows.pop()
            if slot < len(rows):
                rows[slot] = last
                if cache is not None:
                    cache.move_slot(len(rows), slot)
