"""One sample that is being generated: its tokens, its text, and when it ends."""

from dataclasses import dataclass, field

from upbring.data.chat.tokenizer import Tokenizer
from upbring.serve.engine.kv_pools import Slot
from upbring.serve.engine.requests import (
    Constraint,
    EngineRequest,
    FinishReason,
    SampleProgress,
    TokenLogprob,
)
from upbring.serve.engine.text_stream import TextStream


@dataclass(eq=False)
class ActiveSequence:
    """The prompt's tokens and the generated ones, of which the first `computed` are in a slot."""

    request: EngineRequest
    index: int
    tokens: list[int]
    text: TextStream
    constraint: Constraint | None
    computed: int = 0
    slot: Slot | None = None
    finish_reason: FinishReason | None = None
    pending: list[TokenLogprob] = field(default_factory=list)  # of text that is held back
    reported: int = 0  # prompt tokens whose log-probability is known

    @property
    def num_prompt(self) -> int:
        """The length of the prompt."""
        return len(self.request.prompt)

    @property
    def num_generated(self) -> int:
        """The number of generated tokens."""
        return len(self.tokens) - self.num_prompt

    @property
    def num_pending(self) -> int:
        """The tokens that are still to be computed: one while it is generated."""
        return len(self.tokens) - self.computed

    @property
    def is_scored(self) -> bool:
        """Whether the prompt's log-probabilities are wanted, and not yet known."""
        is_wanted = self.request.num_prompt_top is not None and self.index == 0
        return is_wanted and self.reported < self.num_prompt

    def accept(self, token: TokenLogprob) -> SampleProgress | None:
        """Append a token; return what is new in the text, if something is."""
        self.tokens.append(token.token)
        self.pending.append(token)
        if token.token in self.request.stop_token_ids:
            return self._finish("stop")
        text = self.text.push(token.token)
        if self.text.is_stopped:
            return self._progress(text, "stop")
        if self.num_generated >= self.request.max_tokens:
            return self._finish("length", text)
        if self.constraint is not None:
            self.constraint.accept(token.token)
        return self._progress(text, None) if text else None

    def _finish(self, reason: FinishReason, text: str = "") -> SampleProgress:
        return self._progress(text + self.text.flush(), reason)

    def _progress(self, text: str, reason: FinishReason | None) -> SampleProgress:
        self.finish_reason = reason
        tokens, self.pending = tuple(self.pending), []
        return SampleProgress(self.index, text, tokens, self.num_generated, reason)


def make_sequences(request: EngineRequest, tokenizer: Tokenizer) -> list[ActiveSequence]:
    """Return the sequences of a request, one for each sample."""
    return [
        ActiveSequence(
            request,
            index,
            list(request.prompt),
            TextStream(tokenizer, request.prompt, request.stop),
            None if request.make_constraint is None else request.make_constraint(),
        )
        for index in range(len(request.keys))
    ]
