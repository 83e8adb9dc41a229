"""What is generated, with which settings, and what the engine reports about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class TokenSampling:
    """How the next token is chosen; temperature 0 is greedy decoding."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether the logits are used as they are, but for the temperature and the filters."""
        has_penalty = self.presence_penalty or self.frequency_penalty or self.logit_bias
        return not has_penalty and self.repetition_penalty == 1

    @property
    def is_filtered(self) -> bool:
        """Whether some tokens are excluded."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its log-probability under the model, and the likeliest tokens in its place.

    The first token of a prompt has no log-probability.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SampleProgress:
    """What is new in one sample: text that no later token changes, and its tokens."""

    index: int  # of the sample
    text: str
    tokens: tuple[TokenLogprob, ...]
    num_tokens: int  # generated so far
    finish_reason: FinishReason | None = None


class Constraint(Protocol):
    """Restricts the next token, such as to what continues a JSON document."""

    def allowed(self) -> Tensor | None:
        """Return `[V]`, whether each token is allowed next; None if all are."""

    def accept(self, token: int) -> None:
        """Take a chosen token into account."""


@dataclass(eq=False)
class EngineRequest:
    """A prompt, and one random key for each requested sample."""

    prompt: Sequence[int]
    keys: tuple[int, ...]
    sampling: TokenSampling
    max_tokens: int
    on_progress: Callable[[list[SampleProgress]], None]  # called in the engine's thread
    stop_token_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    adapter: str | None = None
    num_top: int | None = None  # of likeliest tokens to report; None: no log-probabilities
    num_prompt_top: int | None = None  # the same for the prompt's own tokens
    make_constraint: Callable[[], Constraint] | None = None
    is_cancelled: bool = False  # set from any thread
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    num_cached: int = 0  # prompt tokens that were not computed again
    error: str = ""  # if it finished with reason error
