"""Generation: prompts are prefilled once for their n samples, finished rows leave, others enter.

A row's tokens depend on its own key and prompt alone: noise is a function of (key, token index,
token id), and Gumbel-max needs no running state. The log-probabilities that come back are the
model's own, at temperature 1 and over the whole vocabulary, as `score` computes them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor

from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import tree
from upbring.maths import counter_rng
from upbring.model.attention import Rule, attention
from upbring.model.network import Model, hidden_states, run
from upbring.model.score import logits
from upbring.settings.sampling import SampleSettings

Reason = Literal["stop", "string", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and one key for each of the samples wanted of it."""

    prompt: Sequence[int]
    keys: tuple[int, ...]


@dataclass(slots=True)
class Response:
    """What was drawn for one row: the stop token, if one came, is the last token."""

    request: int
    sample: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """What ends a row besides its length: tokens, or a rule over the tokens so far."""

    tokens: frozenset[int] = frozenset()
    is_end: Callable[[Sequence[int]], bool] | None = None


class Cache:
    """Keys and values of the rows now being drawn, a slot a row; active slots come first."""

    def __init__(self, num_slots: int, length: int) -> None:
        self.num_slots, self.length = num_slots, length
        self.keys: dict[int, Tensor] = {}  # of each layer: [slots, Hkv, S, K]
        self.values: dict[int, Tensor] = {}
        self.lengths = torch.zeros(num_slots, dtype=torch.int64)  # tokens held by each slot

    def room(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values, made on first use from k `[Hkv, T, K]`."""
        if layer not in self.keys:
            shape = (self.num_slots, like.shape[0], self.length, like.shape[2])
            self.keys[layer], self.values[layer] = like.new_zeros(shape), like.new_zeros(shape)
        return self.keys[layer], self.values[layer]

    def move(self, source: int, target: int) -> None:
        """Let slot `source` take the place of `target`, whose row has left."""
        n = int(self.lengths[source])
        for kept in (*self.keys.values(), *self.values.values()):
            kept[target, :, :n] = kept[source, :, :n]
        self.lengths[target] = n


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """Prompts end to end; each is attended once and kept in the slots of its samples."""

    cache: Cache
    lengths: tuple[int, ...]
    slots: tuple[range, ...]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
        """Return `[H, T, K]`."""
        keys, values = self.cache.room(layer, k)
        parts, start = [], 0
        for p, slots in zip(self.lengths, self.slots, strict=True):
            here = slice(start, start + p)
            parts.append(attention(q[:, here], k[:, here], v[:, here], rule))
            keys[slots.start : slots.stop, :, :p] = k[:, here]
            values[slots.start : slots.stop, :, :p] = v[:, here]
            start += p
        return torch.cat(parts, dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One token a row: row i is slot i, and sees its slot and itself."""

    cache: Cache
    num_rows: int
    hidden: dict[int | None, Tensor] = field(default_factory=dict)  # [B, S], for each window

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, rule: Rule) -> Tensor:
        """Return `[H, B, K]` from the B rows' q `[H, B, K]` and k, v `[Hkv, B, K]`."""
        keys, values = self.cache.room(layer, k)
        B = self.num_rows
        held = self.cache.lengths[:B]  # [B], the place of the new token
        rows = torch.arange(B)
        keys[rows, :, held], values[rows, :, held] = k.transpose(0, 1), v.transpose(0, 1)
        if rule.window not in self.hidden:  # alike for many layers
            self.hidden[rule.window] = _hidden(held, rule.window).to(q)
        bias = self.hidden[rule.window]
        S = bias.shape[1]
        out = _look_back(q, keys[:B, :, :S], values[:B, :, :S], bias, rule)
        return out.transpose(0, 1)


def _hidden(held: Tensor, window: int | None) -> Tensor:
    """Return `[B, S]`: 0 at the places that a token at `held` `[B]` sees, −∞ at the others."""
    places = torch.arange(int(held.max()) + 1)
    seen = places <= held.unsqueeze(1)
    if window is not None:
        seen &= places > held.unsqueeze(1) - window
    return torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)


def _look_back(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, rule: Rule) -> Tensor:
    """Return `[B, H, K]`: one query a row, q `[H, B, K]`, k and v `[B, Hkv, S, K]`."""
    B, Hkv, _, K = k.shape
    q = q.transpose(0, 1).reshape(B, Hkv, -1, K)  # heads that share keys lie side by side
    bias = bias[:, None, None, :]  # [B, 1, 1, S]
    if rule.softcap is None and not _is_faster_by_products(q):
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=rule.scaling)
        return out.reshape(B, -1, K)
    scores = (q * rule.scaling) @ k.transpose(-1, -2)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    weights = (scores + bias).softmax(-1, dtype=torch.float32)
    return (weights.to(v.dtype) @ v).reshape(B, -1, K)


def _is_faster_by_products(q: Tensor) -> bool:
    """Whether plain products beat the fused kernel: on processors, in float32.

    16 rows of 8 heads that see 100 tokens, two cores: 70 against 150 µs; in bfloat16 alike.
    """
    return q.device.type == "cpu" and q.dtype == torch.float32


def sample(
    model: Model,
    requests: Sequence[Request],
    how: SampleSettings,
    *,
    stopping: Stopping,
    num_slots: int = 32,
    poll: Callable[[], None] = lambda: None,
) -> list[Response]:
    """Return the responses of all requests, a request's samples side by side, in order."""
    responses = {
        (response.request, response.sample): response
        for response, _ in stream(
            model, requests, how, stopping=stopping, num_slots=num_slots, poll=poll
        )
    }
    return [responses[place] for place in sorted(responses)]


def stream(
    model: Model,
    requests: Sequence[Request],
    how: SampleSettings,
    *,
    stopping: Stopping,
    num_slots: int = 32,
    poll: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Response, int]]:
    """Yield each response as it grows, with the token it has just got."""
    if not requests:
        return
    is_cached = model.is_packed
    widest = max(len(request.keys) for request in requests)
    total = sum(len(request.keys) for request in requests)
    slots = max(widest, min(num_slots, total))
    length = max(len(r.prompt) for r in requests) + how.max_tokens
    if model.rotary_threshold is not None and length > model.rotary_threshold:
        is_cached = False  # a cache holds positions scaled for one side of the threshold only
    cache = Cache(slots, length)
    waiting = deque(enumerate(requests))
    rows: list[tuple[Response, int]] = []  # of each active slot: what was drawn, and its key
    while waiting or rows:
        poll()
        entering: list[tuple[int, Request]] = []
        num_rows = len(rows)
        while waiting and num_rows + len(waiting[0][1].keys) <= slots:
            entering.append(waiting.popleft())
            num_rows += len(entering[-1][1].keys)
        parts = []
        with torch.inference_mode():  # keeps no books at all, which short rows pay for
            if rows:
                parts.append(_advance(model, cache if is_cached else None, requests, rows))
            if entering:
                parts.append(_enter(model, cache if is_cached else None, entering, len(rows)))
                rows += [(Response(r, s), key) for r, q in entering for s, key in enumerate(q.keys)]
            every = torch.cat(parts)  # [B, V]
            tokens, logprobs = draw(every, rows, how)
        for (response, _), token, logprob in zip(rows, tokens, logprobs, strict=True):
            response.tokens.append(token)
            response.logprobs.append(logprob)
            response.reason = _reason(response, how, stopping)
            yield response, token
        with torch.inference_mode():
            _leave(cache if is_cached else None, rows)


def _enter(
    model: Model, cache: Cache | None, entering: list[tuple[int, Request]], first: int
) -> Tensor:
    """Prefill prompts, each once for all its samples, and return their rows' logits `[B, V]`."""
    counts = [len(request.keys) for _, request in entering]
    lengths = [len(request.prompt) for _, request in entering]
    batch = make_batch([tree(request.prompt) for _, request in entering]).to(model.device)
    if cache is None:
        hidden = hidden_states(model, batch)
    else:
        ends = [first + sum(counts[: i + 1]) for i in range(len(counts))]
        slots = [range(end - count, end) for end, count in zip(ends, counts, strict=True)]
        for p, taken in zip(lengths, slots, strict=True):
            cache.lengths[taken.start : taken.stop] = p
        layout = Prefill(cache, tuple(lengths), tuple(slots))
        hidden = run(model, batch.tokens, batch.positions, layout)
    last = torch.tensor(lengths, device=model.device).cumsum(0) - 1
    every = logits(model, hidden[last])  # [prompts, V]
    return every.repeat_interleave(torch.tensor(counts, device=model.device), dim=0)


def _advance(
    model: Model,
    cache: Cache | None,
    requests: Sequence[Request],
    rows: list[tuple[Response, int]],
) -> Tensor:
    """Feed each active row its newest token and return the logits after it `[B, V]`.

    Without a cache every row is computed from its beginning.
    """
    if cache is None:
        texts = [(*requests[r.request].prompt, *r.tokens) for r, _ in rows]
        batch = make_batch([tree(text) for text in texts]).to(model.device)
        ends = torch.tensor([span.stop - 1 for span in batch.spans], device=model.device)
        return logits(model, hidden_states(model, batch)[ends])
    B = len(rows)
    newest = torch.tensor([response.tokens[-1] for response, _ in rows], device=model.device)
    places = cache.lengths[:B].to(model.device)
    hidden = run(model, newest, places, Step(cache, B))
    cache.lengths[:B] += 1
    return logits(model, hidden)


def draw(
    every: Tensor, rows: Sequence[tuple[Response, int]], how: SampleSettings
) -> tuple[list[int], list[float]]:
    """Return each row's next token, drawn from logits `[B, V]`, and its log-probability."""
    logprobs = every.log_softmax(-1)  # [B, V]
    if how.temperature == 0:
        tokens = every.argmax(-1)  # [B]
    else:
        keys = torch.tensor([key for _, key in rows], device=every.device)
        index = torch.tensor([len(r.tokens) for r, _ in rows], device=every.device)
        keys = counter_rng.mix(keys) + index  # [B], a key a token
        noise = counter_rng.gumbel(
            keys.unsqueeze(1), torch.arange(every.shape[1], device=every.device)
        )  # [B, V]
        tokens = (_kept(logprobs / how.temperature, how) + noise).argmax(-1)
    chosen = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1)
    return tokens.tolist(), chosen.tolist()


def _kept(scaled: Tensor, how: SampleSettings) -> Tensor:
    """Return `[B, V]` with −∞ for tokens outside of the top k and the top p."""
    if 0 < how.top_k < scaled.shape[1]:
        least = scaled.topk(how.top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    if how.top_p < 1:
        ranked, order = scaled.sort(dim=-1, descending=True, stable=True)
        shares = ranked.softmax(-1)
        is_out = shares.cumsum(-1) - shares >= how.top_p  # the likeliest token always stays
        scaled = scaled.masked_fill(is_out.gather(1, order.argsort(dim=-1)), float("-inf"))
    return scaled


def _reason(response: Response, how: SampleSettings, stopping: Stopping) -> Reason | None:
    if response.tokens[-1] in stopping.tokens:
        return "stop"
    if stopping.is_end is not None and stopping.is_end(response.tokens):
        return "string"
    return "length" if len(response.tokens) >= how.max_tokens else None


def _leave(cache: Cache | None, rows: list[tuple[Response, int]]) -> None:
    """Let finished rows leave: the last row takes the slot of each."""
    for slot in reversed(range(len(rows))):
        if rows[slot][0].reason is not None:
            last = rows.pop()
            if slot < len(rows):
                rows[slot] = last
                if cache is not None:
                    cache.move(len(rows), slot)
