"""Streams a model's response to a dialogue, with the chat template it was trained with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from upbring.data.chat.chat import Chat, make_chat
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.decoder import Decoder, make_decoder
from upbring.model.load import LoadedModel
from upbring.model.sampling import Request, StopConditions, stream
from upbring.plurals import format_count
from upbring.settings.sampling import SampleSettings

_REPLACEMENT_CHARACTER = "\ufffd"  # decoded from an incomplete character


@dataclass(frozen=True, eq=False)
class ChatModel:
    """A loaded model with its chat template."""

    loaded: LoadedModel
    chat: Chat

    @cached_property
    def decoder(self) -> Decoder | None:
        """A copy of the weights for fast generation, made once for all responses."""
        with torch.inference_mode():
            return make_decoder(self.loaded.model, num_rows=1)

    def stream_response(
        self, messages: Sequence[Message], sampling: SampleSettings, *, key: int
    ) -> Iterator[str]:
        """Yield the response in pieces that never split a character or contain a stop string."""
        tokenizer, model = self.chat.tokenizer, self.loaded.model
        prompt = self.chat.encode_prompt(messages)
        limit = model.max_positions
        if limit is not None and len(prompt) >= limit:
            raise InputError(
                f"the dialogue has {format_count(len(prompt), 'token')} and the model's context "
                "length is "
                f"{limit}; shorten the message, or start a new dialogue with /new"
            )
        if limit is not None and len(prompt) + sampling.max_tokens > limit:
            sampling = sampling.model_copy(update={"max_tokens": limit - len(prompt)})
        stop_token_ids = frozenset(self.chat.stop_token_ids)
        stopping = StopConditions(
            stop_token_ids,
            lambda tokens: bool(_from_stop_string(tokenizer.decode(tokens), sampling.stop)),
        )
        num_sent = 0
        text = ""
        for response, _ in stream(
            model, [Request(prompt, (key,))], sampling, stopping=stopping, decoder=self.decoder
        ):
            text = tokenizer.decode([t for t in response.tokens if t not in stop_token_ids])
            if response.finish_reason == "string":
                text = text[: -len(_from_stop_string(text, sampling.stop))]
            num_safe = (
                len(text)
                if response.finish_reason
                else len(text) - _num_held_back(text, sampling.stop)
            )
            if num_safe > num_sent:
                yield text[num_sent:num_safe]
                num_sent = num_safe


def make_chat_model(loaded: LoadedModel, *, template: str | None = None) -> ChatModel:
    """Return the model with `template`, or with the template of its contract."""
    if loaded.tokenizer is None:
        raise InputError(f"{loaded.folder}: has no tokenizer; put tokenizer.json into the folder")
    if loaded.contract is not None and loaded.contract.kind in {"reward", "value"}:
        raise InputError(
            f"{loaded.folder}: is a {loaded.contract.kind} model, which scores text and generates "
            "none; pass a language model"
        )
    contract_template = loaded.contract.template if loaded.contract else None
    return ChatModel(loaded, make_chat(loaded.tokenizer, template=template or contract_template))


def response_key(seed: int, turn: int, attempt: int = 0) -> int:
    """Return the random key for sampling a response; each attempt gives another one."""
    return counter_rng.key(seed, "chat", turn, *([attempt] if attempt else []))


def _from_stop_string(text: str, stops: Sequence[str]) -> str:
    """Return the part of `text` from the first stop string on; empty if there is none."""
    starts = [text.find(stop) for stop in stops if stop and stop in text]
    return text[min(starts) :] if starts else ""


def _num_held_back(text: str, stops: Sequence[str]) -> int:
    r"""Return the number of trailing characters that the next tokens can still change.

    >>> _num_held_back("Hello wor", ("world",))
    3
    >>> _num_held_back("ab\ufffd", ())
    1
    """
    num_unfinished = len(text) - len(text.rstrip(_REPLACEMENT_CHARACTER))
    partial_stops = [n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
    return max([num_unfinished, *partial_stops])
