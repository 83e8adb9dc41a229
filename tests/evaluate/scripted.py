"""Scripted models for tests of the suites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from upbring.data.read.records import Message
from upbring.evaluate.model_protocol import Dialogue, Likelihood, LikelihoodRequest, format_prompt


def user_prompt(text: str) -> Dialogue:
    """Return a prompt of one turn."""
    return (Message("user", text),)


@dataclass
class Scripted:
    """A model with a fixed response to each prompt and a fixed log-probability of each text."""

    name: str
    says: Mapping[str, str] = field(default_factory=dict)
    logprobs: Mapping[str, float] = field(default_factory=dict)
    identity: str = ""
    num_asked: int = 0

    def __post_init__(self) -> None:
        self.identity = self.identity or self.name

    def generate(self, prompts: Sequence[Dialogue]) -> list[str]:
        self.num_asked += len(prompts)
        return [self.says[format_prompt(prompt)] for prompt in prompts]

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
        assert seed >= 0
        return self.generate(prompts)

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        assert max_tokens > 0
        self.num_asked += len(texts)
        return [self.says.get(text, "") for text in texts]

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        self.num_asked += len(requests)
        return [
            tuple(Likelihood(self.logprobs[e], len(e.split())) for e in request.endings)
            for request in requests
        ]

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        self.num_asked += len(documents)
        return [Likelihood(self.logprobs[text], len(text.split())) for text in documents]
