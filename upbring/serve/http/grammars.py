"""Token masks of grammars, computed by llguidance (`upbring[serve]`)."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upbring.serve.http.api_errors import ApiError


def make_grammar_tokenizer(tokenizer_json: str, vocab_size: int, stops: tuple[int, ...]) -> Any:  # noqa: ANN401 -- llguidance has no types
    """Return llguidance's view of the vocabulary; `stops` may follow a complete response."""
    return import_module("llguidance").LLTokenizer(
        tokenizer_json, n_vocab=vocab_size, eos_token=list(stops)
    )


def matcher_class() -> Any:  # noqa: ANN401 -- as above
    """Return llguidance's matcher; without the package, the request cannot be answered."""
    try:
        return import_module("llguidance").LLMatcher
    except ImportError as error:
        raise ApiError(
            "response_format, tool_choice: need the package llguidance on the server; install "
            "upbring[serve]",
            param="response_format",
            code="unsupported_parameter",
        ) from error


class GrammarConstraint:
    """Excludes the tokens that leave a grammar."""

    def __init__(self, tokenizer: Any, grammar: str, stops: tuple[int, ...]) -> None:  # noqa: ANN401 -- as above
        self._matcher = matcher_class()(tokenizer, grammar)
        self._stops = torch.tensor(stops)
        self._vocab_size = int(tokenizer.vocab_size)
        if error := self._matcher.get_error():
            raise ApiError(
                f"response_format: {str(error).splitlines()[0][:300]}", param="response_format"
            )

    def allowed(self) -> Tensor:
        """Return `[V]`, whether each token is allowed next."""
        if self._matcher.is_stopped():
            mask = torch.zeros(self._vocab_size, dtype=torch.bool)
        else:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            mask = torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))
            mask = mask[: self._vocab_size]
        if self._matcher.is_stopped() or self._matcher.is_accepting():
            mask[self._stops] = True
        return mask

    def accept(self, token: int) -> None:
        """Take a chosen token into account."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)
