"""One forward pass over the new tokens of many sequences, with or without cached keys.

On a CPU it runs on the decoder's copy of the weights, where the architecture has one, with all
adapters in the same pass. Otherwise it runs on the network's own modules, one pass per adapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.model.attention import AttentionConfig, attention
from upbring.model.decoder import Decoder, make_decoder
from upbring.model.network import Model, forward, hidden_states
from upbring.model.roles import BASE, Roles
from upbring.model.score import compute_logits, transform_logits
from upbring.serve.engine.adapters import AdapterRows, adapt_decoder
from upbring.serve.engine.kv_pools import KVSpec
from upbring.serve.engine.step_layout import Span, make_step_layout

NUM_ROWS = 8  # of a step for which the decoder's weights are packed


@dataclass(frozen=True, slots=True)
class StepPiece:
    """The tokens of one sequence that a step computes."""

    tokens: Sequence[int]
    adapter: str | None
    span: Span | None  # None without a cache: the tokens are the whole sequence


@dataclass(slots=True, eq=False)
class StepForward:
    """Computes hidden states and logits of a step."""

    model: Model
    roles: Roles
    spec: KVSpec | None  # None: nothing is cached
    decoder: Decoder | None
    adapter_rows: AdapterRows

    def hidden_states(self, pieces: Sequence[StepPiece]) -> Tensor:
        """Return the hidden states `[T, D]` of all pieces, in the order of `order_spans`."""
        if self.decoder is not None:
            return self._decode(pieces, self.decoder)
        names = list(dict.fromkeys(piece.adapter for piece in pieces))
        if len(names) == 1:
            return self._run_network(pieces, names[0])
        hidden: list[Tensor] = [torch.empty(0)] * len(pieces)
        for name in names:
            indices = [i for i, piece in enumerate(pieces) if piece.adapter == name]
            own = [pieces[i] for i in indices]
            parts = torch.split(self._run_network(own, name), [len(each.tokens) for each in own])
            for i, part in zip(indices, parts, strict=True):
                hidden[i] = part
        return torch.cat(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits `[M, V]` in float32 of hidden states `[M, D]`."""
        if self.decoder is None:
            return compute_logits(self.model, hidden)
        out = self.decoder.head(hidden.to(self.decoder.dtype))
        return transform_logits(self.model, out)

    def _decode(self, pieces: Sequence[StepPiece], decoder: Decoder) -> Tensor:
        tokens, positions, spans = self._lay_out(pieces)
        assert self.spec is not None, "a decoder has cached keys"
        layout = make_step_layout(self.spec, spans)
        self.adapter_rows.assign(
            [(piece.adapter, len(piece.tokens)) for piece in pieces], self.model.device
        )
        return decoder.hidden_states(tokens, positions, layout.attend_rows)

    def _run_network(self, pieces: Sequence[StepPiece], adapter: str | None) -> Tensor:
        with self.roles.active(adapter or BASE):
            if self.spec is None:
                trees = [make_tree(piece.tokens) for piece in pieces]
                return hidden_states(self.model, make_batch(trees).to(self.model.device))
            tokens, positions, spans = self._lay_out(pieces)
            layout = make_step_layout(self.spec, spans)
            return forward(self.model, tokens, positions, layout)

    def _lay_out(self, pieces: Sequence[StepPiece]) -> tuple[Tensor, Tensor, list[Span]]:
        """Return tokens `[T]`, positions `[T]` and spans."""
        device = self.model.device
        spans = [piece.span for piece in pieces if piece.span is not None]
        tokens = [token for piece in pieces for token in piece.tokens]
        positions = [p for span in spans for p in range(span.start, span.start + span.count)]
        return torch.tensor(tokens, device=device), torch.tensor(positions, device=device), spans


@dataclass(slots=True, eq=False)
class RecordingLayout:
    """Plain causal attention that notes what each attention of the network stores."""

    configs: list[AttentionConfig] = field(default_factory=list)
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    dtype: torch.dtype = torch.float32

    def attend(self, q: Tensor, k: Tensor, v: Tensor, config: AttentionConfig) -> Tensor:
        """Return `[H, T, K]`."""
        self.configs.append(config)
        self.shapes.append((k.shape[0], k.shape[2], v.shape[2]))
        self.dtype = k.dtype
        return attention(q, k, v, config)


@torch.inference_mode()
def make_step_forward(model: Model, roles: Roles, adapters: Sequence[str]) -> StepForward:
    """Return the fastest forward pass that the model supports."""
    rows = AdapterRows()
    if not (model.is_packed and model.is_cached):
        return StepForward(model, roles, None, None, rows)
    recorded = RecordingLayout()
    zeros = torch.zeros(2, dtype=torch.int64, device=model.device)
    forward(model, zeros, torch.arange(2, device=model.device), recorded)
    spec = KVSpec(tuple(recorded.configs), tuple(recorded.shapes), recorded.dtype, model.device)
    with roles.active(BASE):
        decoder = make_decoder(model, num_rows=NUM_ROWS)
    if decoder is not None:
        decoder = adapt_decoder(decoder, model, roles, adapters, rows)
    return StepForward(model, roles, spec, decoder, rows)
