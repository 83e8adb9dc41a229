"""A transformers model that maps one packed row of tokens to hidden states.

`Model` holds the compute dtype and whether the architecture computes packed trees correctly. If it
does not, each sequence is computed separately: slower, but correct.

The network is always in evaluation mode, in training too: dropout never applies, wherever the
architecture keeps its rate, and a log-probability is the same in every forward pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from upbring.data.trees.batch import Batch, TreeSpan
from upbring.data.trees.tree import Trees
from upbring.errors import InputError
from upbring.model.attention import AttentionLayout, TreeLayout

FLOAT32_ROUNDING = 1e-4  # nats; larger differences of log-probabilities are errors


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network, its compute dtype, and what the probe at load found about it."""

    network: PreTrainedModel
    compute_dtype: torch.dtype = torch.float32
    is_packed: bool = True  # scores packed trees correctly
    is_cached: bool = True  # samples correctly with cached keys and values
    has_decoder: bool = True  # samples correctly from the decoder's copy of the weights
    rounding: float = FLOAT32_ROUNDING  # of a log-probability in the compute dtype, in nats

    @property
    def device(self) -> torch.device:
        """The network's device."""
        device: torch.device = self.network.device
        return device

    @property
    def body(self) -> nn.Module:
        """The network without its head, which returns hidden states."""
        network = self.network
        body: nn.Module = network.base_model
        return network.get_submodule("model") if body is network else body  # as in Llama 4

    @property
    def vocab_size(self) -> int:
        """V, the number of logits."""
        return int(self.network.config.get_text_config().vocab_size)

    @property
    def max_positions(self) -> int | None:
        """The architecture's maximum number of positions, or None without a limit."""
        return max_positions(self.network.config)

    @property
    def rotary_threshold(self) -> int | None:
        """The length above which rotary scaling changes (longrope), or None.

        A row's longest tree decides for the row, so lengths below and above it never share a row.
        """
        config = self.network.config.get_text_config()
        limits = [
            rope.get("original_max_position_embeddings")
            or getattr(config, "original_max_position_embeddings", None)
            for rope in _rotary_parameters(config)
            if rope.get("rope_type") == "longrope"
        ]
        return min((int(str(limit)) for limit in limits if limit is not None), default=None)

    @property
    def rotary_limit(self) -> int | None:
        """The length beyond which every row has a rotary scaling of its own (dynamic), or None."""
        config = self.network.config.get_text_config()
        is_dynamic = any("dynamic" in str(r.get("rope_type")) for r in _rotary_parameters(config))
        return max_positions(config) if is_dynamic else None

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the compute dtype."""
        return torch.autocast(
            self.device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32
        )


def max_positions(config: PretrainedConfig) -> int | None:
    """Return the maximum number of positions of an architecture, or None without a limit."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def _rotary_parameters(config: PretrainedConfig) -> Iterator[Mapping[str, object]]:
    """Yield the rotary parameters: one set, or one for each type of layer."""
    rope = getattr(config, "rope_parameters", None) or {}
    each = [rope] if "rope_type" in rope else rope.values()
    yield from (parameters for parameters in each if isinstance(parameters, Mapping))


def require_rotary_range(model: Model, length: int) -> None:
    """Raise an InputError if a row of this length has a rotary scaling that depends on it.

    Its log-probabilities would depend on the other rows, and on how far it was generated.
    """
    limit = model.rotary_limit
    if limit is not None and length > limit:
        raise InputError(
            f"max_length: {length} tokens are more than the {limit} up to which this model's "
            "rotary embedding (rope_type dynamic) does not depend on the length; set max_length, "
            f"with room for a response, to {limit} or less"
        )


def require_one_rotary_scale(model: Model, prompts: Trees, max_response_length: int) -> None:
    """Raise an InputError if responses to these prompts may reach another rotary scaling.

    Their first tokens would be sampled under one scaling (longrope) and scored under the other.
    """
    limit = model.rotary_threshold
    if limit is None:
        return
    for number in range(len(prompts)):
        length = len(prompts[number].prompt)
        if length < limit < length + max_response_length:
            raise InputError(
                f"max_length: a prompt of {length} tokens and a response of up to "
                f"{max_response_length} are below and above {limit} tokens, where this model "
                f"changes its rotary scaling; set max_length to {limit} or less"
            )


def hidden_states(model: Model, batch: Batch) -> Tensor:
    """Return the hidden states `[T, D]` of a batch's tokens."""
    lengths = [length for span in batch.spans for length in _lengths(span)]
    require_rotary_range(model, max(lengths, default=0))
    if model.is_packed and not _has_mixed_rotary_scales(model, batch.spans):
        return forward(model, batch.tokens, batch.positions, TreeLayout(batch.spans, model.device))
    hidden = [part for span in batch.spans for part in _forward_branches(model, batch.tokens, span)]
    return torch.cat(hidden)


def forward(model: Model, tokens: Tensor, positions: Tensor, layout: AttentionLayout) -> Tensor:
    """Return the hidden states `[T, D]` of a row of `tokens` `[T]` under a layout."""
    with model.autocast(), _explained_token_errors(model, tokens):
        out = model.body(
            input_ids=tokens.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            layout=layout,
        )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


@contextmanager
def _explained_token_errors(model: Model, tokens: Tensor) -> Iterator[None]:
    """Name the token that is beyond the vocabulary if the embedding has no row for it."""
    try:
        yield
    except IndexError as error:
        largest, V = int(tokens.max()), model.vocab_size
        if largest < V:
            raise
        raise InputError(
            f"token {largest} is beyond the model's vocabulary of {V}; its tokenizer belongs to "
            "another model, or its config.json is wrong"
        ) from error


def _forward_sequence(model: Model, tokens: Tensor) -> Tensor:
    """Return the hidden states `[T, D]` of one sequence in a row of its own."""
    if model.is_packed:
        positions = torch.arange(len(tokens), device=tokens.device)
        return forward(
            model, tokens, positions, TreeLayout((TreeSpan(0, len(tokens), ()),), model.device)
        )
    with model.autocast(), _explained_token_errors(model, tokens):
        out = model.body(input_ids=tokens.unsqueeze(0), use_cache=False)
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


def _lengths(span: TreeSpan) -> list[int]:
    """Return the length of each branch of a tree with its prompt."""
    return [span.prompt_length + c for c in (span.branch_lengths or (0,))]


def _has_mixed_rotary_scales(model: Model, spans: Sequence[TreeSpan]) -> bool:
    """Whether lengths below and above the rotary threshold share the row."""
    limit = model.rotary_threshold
    if limit is None:
        return False
    lengths = [length for span in spans for length in _lengths(span)]
    return min(lengths) <= limit < max(lengths)


def _forward_branches(model: Model, tokens: Tensor, span: TreeSpan) -> list[Tensor]:
    """Return a tree's hidden states, each branch computed after its own copy of the prompt."""
    limit = model.rotary_threshold
    if len(span.branch_lengths) > 1 and _has_mixed_rotary_scales(model, [span]):
        raise InputError(
            f"max_length: responses to one prompt are below and above {limit} tokens, where this "
            f"model changes its rotary scaling; set max_length to {limit} or less"
        )
    prompt = tokens[span.start : span.start + span.prompt_length]
    parts: list[Tensor] = []
    start = span.start + span.prompt_length
    for c in span.branch_lengths:
        hidden = _forward_sequence(model, torch.cat([prompt, tokens[start : start + c]]))
        parts.extend([hidden] if not parts else [hidden[span.prompt_length :]])
        start += c
    return parts or [_forward_sequence(model, prompt)]
