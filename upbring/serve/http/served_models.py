"""The models that a server offers: a base model, adapters on it, and reward models."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from torch import nn

from upbring.data.chat.chat import Chat
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.serve.engine.engine import Engine
from upbring.serve.http.api_errors import NOT_FOUND, ApiError
from upbring.serve.http.grammars import make_grammar_tokenizer
from upbring.serve.http.metrics import ServerMetrics
from upbring.serve.http.token_texts import TokenTexts


@dataclass(frozen=True, eq=False)
class ServedModel:
    """One name that requests can ask for."""

    name: str
    chat: Chat
    role: str | None = None  # the adapter; None is the base
    head: nn.Linear | None = None  # of a reward model
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def is_reward(self) -> bool:
        """Whether the model scores responses instead of generating them."""
        return self.head is not None


@dataclass(frozen=True, eq=False)
class ServedModels:
    """All models of a server by name; the first one is the default."""

    engine: Engine
    model: Model
    roles: Roles
    by_name: Mapping[str, ServedModel]
    texts: TokenTexts
    fingerprint: str = ""
    metrics: ServerMetrics = field(default_factory=ServerMetrics)
    _grammar_tokenizers: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def grammar_tokenizer(self, stops: tuple[int, ...]) -> Any:  # noqa: ANN401 -- llguidance has no types
        """Return llguidance's view of the vocabulary, made once."""
        if stops not in self._grammar_tokenizers:
            text = self.texts.tokenizer.backend.to_str()
            made = make_grammar_tokenizer(text, self.model.vocab_size, stops)
            self._grammar_tokenizers[stops] = made
        return self._grammar_tokenizers[stops]

    def find(self, name: str, *, is_reward: bool = False) -> ServedModel:
        """Return the model of a name; `""` and `default` are the first one of the kind."""
        if name in {"", "default"}:
            for model in self.by_name.values():
                if model.is_reward == is_reward:
                    return model
        found = self.by_name.get(name)
        if found is None:
            names = ", ".join(each.name for each in self.by_name.values())
            raise ApiError(
                f"model: {name[:80]!r} is not served here; use one of {names}",
                status=NOT_FOUND,
                param="model",
                code="model_not_found",
            )
        if found.is_reward != is_reward:
            does = "scores responses" if found.is_reward else "generates text"
            raise ApiError(
                f"model: {found.name} {does}; use another model or another path", param="model"
            )
        return found


def served_models(request: Request) -> ServedModels:
    """Return the models of the application that got a request."""
    served: ServedModels = request.app.state.served
    return served
