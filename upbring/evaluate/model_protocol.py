"""The interface of an evaluated model: it generates responses and may return likelihoods.

Excluded: loading of the weights (`stages/evaluation/models.py`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from upbring.data.read.records import Message

Dialogue = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The log-probability of a text in nats, summed over its tokens, and their number."""

    logprob: float
    num_tokens: int

    @property
    def mean(self) -> float:
        """The mean log-probability per token."""
        return self.logprob / max(1, self.num_tokens)


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """A prompt, as a dialogue or plain text, and the endings to score after it."""

    prompt: Dialogue | str
    endings: tuple[str, ...]


class GeneratedText(str):
    """The text of a response, and whether it reached the maximum length before its end.

    A plain str in its place says that this is unknown.
    """

    __slots__ = ("is_cut_off",)
    is_cut_off: bool

    def __new__(cls, text: str, *, is_cut_off: bool = False) -> Self:
        """Return the text with the mark."""
        response = super().__new__(cls, text)
        response.is_cut_off = is_cut_off
        return response


class Identified(Protocol):
    """An evaluated model or a judge."""

    @property
    def name(self) -> str:
        """The name in reports, from the user or the recipe."""

    @property
    def identity(self) -> str:
        """A hash of everything that determines its outputs."""


class EvaluatedModel(Identified, Protocol):
    """A model or an endpoint; an unsupported method raises an InputError."""

    def generate(self, prompts: Sequence[Dialogue]) -> Sequence[str]:
        """Return the greedy response to each prompt; '' if the prompt exceeds the context."""

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> Sequence[str]:
        """Return a `GeneratedText` to each prompt, sampled at temperature 1."""

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> Sequence[str]:
        """Return the greedy continuation of each plain text."""

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of each ending of each request."""

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return the likelihood of each document."""


def format_prompt(prompt: Dialogue | str) -> str:
    r"""Return a prompt as readable text; a single message has no role prefix.

    >>> format_prompt((Message("system", "Be brief."), Message("user", "Hi!")))
    'system: Be brief.\nuser: Hi!'
    """
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def fingerprint(*parts: object) -> str:
    """Return a hash of values that JSON can encode; other values are hashed by their `str`."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]
