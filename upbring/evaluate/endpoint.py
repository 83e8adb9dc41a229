"""An OpenAI-compatible endpoint as the evaluated model.

It generates responses but returns no log-probabilities of given texts, so that suites that need
them raise an InputError. Excluded: the calls themselves (`remote`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from upbring.errors import InputError
from upbring.evaluate.model_protocol import (
    Dialogue,
    Likelihood,
    LikelihoodRequest,
    fingerprint,
)
from upbring.remote.chat import ChatOptions, chat_texts
from upbring.remote.client import Client


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible chat endpoint."""

    client: Client
    max_tokens: int
    name: str

    @property
    def identity(self) -> str:
        """A hash of the URL and the settings; the weights that the server uses are unknown."""
        address = self.client.address
        return fingerprint(address.base, address.model, self.max_tokens)

    def generate(self, prompts: Sequence[Dialogue]) -> list[str]:
        """Return the greedy response to each prompt; requests run concurrently."""
        return self._request_all(prompts, temperature=0.0)

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
        """Return a response to each prompt, sampled at temperature 1."""
        return self._request_all(prompts, temperature=1.0, seed=seed)

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Raise an InputError: a chat endpoint does not complete plain text."""
        del texts, max_tokens
        self._reject_unsupported("does not complete plain text")

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Raise an InputError: an endpoint returns no log-probabilities of given texts."""
        del requests
        self._reject_unsupported("returns no log-probabilities of given texts")

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Raise an InputError: an endpoint returns no log-probabilities of given texts."""
        del documents
        self._reject_unsupported("returns no log-probabilities of given texts")

    def _reject_unsupported(self, limitation: str) -> NoReturn:
        raise InputError(
            f"{self.name}: is an endpoint, which {limitation}; remove that suite or that data, or "
            "give a local model"
        )

    def _request_all(
        self, prompts: Sequence[Dialogue], *, temperature: float, seed: int = 0
    ) -> list[str]:
        dialogues = [[{"role": m.role, "content": m.content} for m in prompt] for prompt in prompts]
        options = ChatOptions(self.max_tokens, temperature=temperature, seed=seed)
        return chat_texts(self.client, dialogues, options)
