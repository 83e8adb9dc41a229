"""Who is evaluated, as the suites see it: something that answers, and may tell probabilities.

A suite asks; where the weights are, and whether they are in memory now, is not its matter.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from upbring.data.read.records import Message

Dialogue = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The log-probability of a text after another, in nats, and of how many tokens."""

    logprob: float
    num_tokens: int

    @property
    def mean(self) -> float:
        """The log-probability of a token on average."""
        return self.logprob / max(1, self.num_tokens)


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """What is read, a dialogue or plain text, and the endings that may follow it."""

    prompt: Dialogue | str
    endings: tuple[str, ...]


class Identified(Protocol):
    """Somebody with a name and an identity: a subject, or a judge."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def identity(self) -> str:
        """A hash of all that decides what it says."""


class EvaluatedModel(Identified, Protocol):
    """A model or an endpoint; what it cannot do it refuses with an InputError."""

    def generate(self, prompts: Sequence[Dialogue]) -> list[str]:
        """Return the likeliest answer to each prompt; '' to one that is longer than it reads."""

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
        """Return an answer to each prompt, drawn at temperature 1."""

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return the likeliest continuation of each plain text."""

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Return how likely each ending of each choice is."""

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return how likely each document is, token after token."""


def format_prompt(prompt: Dialogue | str) -> str:
    r"""Return a prompt as people read it.

    >>> format_prompt((Message("system", "Be brief."), Message("user", "Hi!")))
    'system: Be brief.\nuser: Hi!'
    """
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def fingerprint(*parts: object) -> str:
    """Return a hash of what JSON can write; dialogues are written as they are spoken."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]
