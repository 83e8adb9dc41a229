"""Chat completions: the call of a dialogue, and the texts and log-probabilities of a reply."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upbring.errors import InputError, format_value
from upbring.remote.client import Call, Client, Reply, dig

PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The settings of a chat completion; with top_logprobs 0 no log-probabilities are requested."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0


def chat_call(messages: Sequence[Mapping[str, str]], options: ChatOptions, *, model: str) -> Call:
    """Return the call for the next message of a dialogue."""
    body: dict[str, object] = {
        "model": model,
        "messages": [dict(message) for message in messages],
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "seed": options.seed,
    }
    if options.top_p != 1.0:
        body["top_p"] = options.top_p
    if options.stop:
        body["stop"] = list(options.stop)
    if options.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": options.top_logprobs}
    return Call(PATH, body)


def chat_text(reply: Reply, name: str) -> str:
    """Return the text of a chat completion; '' if the model wrote none."""
    if dig(reply, "choices", 0, "message") is None:
        raise InputError(
            f"{name}: responded with {format_value(dict(reply), limit=200)}, which is not a chat "
            "completion; give the URL up to and including /v1"
        )
    content = dig(reply, "choices", 0, "message", "content")
    return content if isinstance(content, str) else ""


def is_cut_off(reply: Reply) -> bool:
    """Whether a chat completion reached `max_tokens` before its end."""
    return dig(reply, "choices", 0, "finish_reason") == "length"


def chat_texts(
    client: Client, dialogues: Sequence[Sequence[Mapping[str, str]]], options: ChatOptions
) -> list[str]:
    """Return the next message of each dialogue."""
    calls = [chat_call(messages, options, model=client.address.model) for messages in dialogues]
    return [chat_text(reply, client.name) for reply in client.call_all(calls)]


def first_token_logprobs(reply: Reply) -> dict[str, float] | None:
    """Return the log-probability of each alternative to the first token; None if there is none.

    Two tokens of the same text, such as two spellings in bytes, keep the higher one.
    """
    alternatives = dig(reply, "choices", 0, "logprobs", "content", 0, "top_logprobs")
    if not isinstance(alternatives, Sequence) or isinstance(alternatives, str):
        return None
    found: dict[str, float] = {}
    for each in alternatives:
        token, logprob = dig(each, "token"), dig(each, "logprob")
        is_number = isinstance(logprob, int | float) and not math.isnan(logprob)
        if isinstance(token, str) and isinstance(logprob, int | float) and is_number:
            found[token] = max(found.get(token, -math.inf), float(logprob))
    return found or None
