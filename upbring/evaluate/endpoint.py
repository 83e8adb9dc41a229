"""An OpenAI-compatible endpoint as the evaluated model or as the judge.

    http://localhost:8000/v1            the server's only model
    http://localhost:8000/v1#my-model   one of several models

Data is sent only to a URL that the user gave. The API key, if needed, comes from the environment
variable UPBRING_ENDPOINT_KEY. An endpoint generates responses but returns no log-probabilities of
given texts, so that suites that need them raise an InputError.
"""

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from upbring.data.read.records import Message
from upbring.errors import InputError, format_value
from upbring.evaluate.model_protocol import (
    Dialogue,
    Likelihood,
    LikelihoodRequest,
    fingerprint,
    format_prompt,
)
from upbring.evaluate.preference import AnswerPair

API_KEY_VARIABLE = "UPBRING_ENDPOINT_KEY"
MAX_CONCURRENT_REQUESTS = 8
TIMEOUT_SECONDS = 120.0
RETRY_PAUSES_SECONDS = (1.0, 4.0, 15.0)  # before each retry
RETRYABLE_STATUS_CODES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

_JUDGE_PROMPT = """Two assistants answered a user. Which answer is better: more correct, \
more helpful, politer, and not longer than it needs to be? Do not mind their order.

[The dialogue]
{prompt}

[Answer A]
{first}

[Answer B]
{second}

Reply with A, B, or C if they are equally good. Reply with that letter alone."""
_LETTER = re.compile(r"\b([ABC])\b")
_PROBABILITY_OF_LETTER = {"A": 1.0, "B": 0.0, "C": 0.5}


def is_url(name: str) -> bool:
    """Return whether a model name is the URL of an endpoint."""
    return urlsplit(name).scheme in {"http", "https"}


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible chat endpoint."""

    url: str
    max_tokens: int
    name: str
    pause: Callable[[float], None] = time.sleep

    @property
    def identity(self) -> str:
        """A hash of the URL and the settings; the weights that the server uses are unknown."""
        return fingerprint(self.url, self.max_tokens)

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

    def win_probabilities(self, pairs: Sequence[AnswerPair]) -> list[float]:
        """Return 1, ½ or 0 per pair: the first wins, tie, the second wins; ½ if no letter."""
        prompts = [
            _JUDGE_PROMPT.format(
                prompt=format_prompt(pair.prompt), first=pair.first, second=pair.second
            )
            for pair in pairs
        ]
        replies = self._request_all([(Message("user", text),) for text in prompts], temperature=0.0)
        letters = [_LETTER.findall(text) for text in replies]
        return [_PROBABILITY_OF_LETTER[matches[-1]] if matches else 0.5 for matches in letters]

    def _reject_unsupported(self, limitation: str) -> NoReturn:
        raise InputError(
            f"{self.name}: is an endpoint, which {limitation}; remove that suite or that data, or "
            "give a local model"
        )

    def _request_all(
        self, prompts: Sequence[Dialogue], *, temperature: float, seed: int = 0
    ) -> list[str]:
        def request_one(prompt: Dialogue) -> str:
            messages = [{"role": m.role, "content": m.content} for m in prompt]
            body = {
                "messages": messages,
                "temperature": temperature,
                "max_tokens": self.max_tokens,
                "seed": seed,
                "model": urlsplit(self.url).fragment or "default",
            }
            return self._request_with_retries(body)

        with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
            return list(pool.map(request_one, prompts))

    def _request_with_retries(self, body: dict[str, object]) -> str:
        """Return the response text; retry after a pause on temporary errors."""
        for pause in (*RETRY_PAUSES_SECONDS, None):
            try:
                return _parse_reply(self._post(body), self.name)
            except urllib.error.HTTPError as error:
                preview = format_value(error.read()[:200].decode(errors="replace"))
                problem = f"responded with HTTP status {error.code}: {preview}"
                if error.code not in RETRYABLE_STATUS_CODES or pause is None:
                    raise InputError(
                        f"{self.name}: {problem}; {_status_advice(error.code)}"
                    ) from error
            except (OSError, ValueError) as error:
                if pause is None:
                    raise InputError(
                        f"{self.name}: cannot be reached ({error}); check the URL, and that the "
                        "server is running"
                    ) from error
            self.pause(pause)
        raise AssertionError("the last attempt returns or raises")

    def _post(self, body: dict[str, object]) -> bytes:
        address = urlsplit(self.url)._replace(fragment="").geturl().rstrip("/")
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(API_KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(  # noqa: S310 -- is_url accepts only http(s)
            f"{address}/chat/completions", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310 -- as above
            reply_body: bytes = reply.read()
        return reply_body


def _parse_reply(reply: bytes, name: str) -> str:
    """Return the message content of a reply."""
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        preview = format_value(reply[:200].decode(errors="replace"))
        raise InputError(
            f"{name}: responded with {preview}, which is not a chat completion; give the URL up to "
            "and including /v1"
        ) from error
    return text if isinstance(text, str) else ""


def _status_advice(code: int) -> str:
    if code in {401, 403}:
        return f"set the environment variable {API_KEY_VARIABLE} to the API key"
    if code == 404:  # noqa: PLR2004 -- not found
        return "give the URL up to and including /v1, and the name of a served model after #"
    return "try again later" if code in RETRYABLE_STATUS_CODES else "ask the operator of the server"
