"""A model that answers: dialogue in, text out piece by piece, as it was trained to be asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from upbring.data.chat.chat import Chat, make_chat
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.load import Loaded
from upbring.model.sampling import Request, Stopping, stream
from upbring.settings.sampling import SampleSettings

_UNFINISHED = "\ufffd"  # what the decoder writes for the first bytes of a character


@dataclass(frozen=True, eq=False)
class Speaker:
    """A loaded model and the template that it is asked with."""

    loaded: Loaded
    chat: Chat

    def say(self, messages: Sequence[Message], how: SampleSettings, *, key: int) -> Iterator[str]:
        """Yield the answer in pieces that never split a character nor show a stop string."""
        tokenizer, model = self.chat.tokenizer, self.loaded.model
        prompt = self.chat.prompt(messages)
        limit = model.longest
        if limit is not None and len(prompt) >= limit:
            raise InputError(
                f"the dialogue has {len(prompt)} tokens and the model reads {limit}; begin anew"
            )
        if limit is not None and len(prompt) + how.max_tokens > limit:
            how = how.model_copy(update={"max_tokens": limit - len(prompt)})
        stops = frozenset(self.chat.stops)
        stopping = Stopping(stops, lambda tokens: bool(_end(tokenizer.decode(tokens), how.stop)))
        told = 0
        text = ""
        for response, _ in stream(model, [Request(prompt, (key,))], how, stopping=stopping):
            text = tokenizer.decode([t for t in response.tokens if t not in stops])
            if response.reason == "string":
                text = text[: -len(_end(text, how.stop))]
            safe = len(text) if response.reason else len(text) - _held_back(text, how.stop)
            if safe > told:
                yield text[told:safe]
                told = safe


def speaker(loaded: Loaded, *, template: str | None = None) -> Speaker:
    """Return the model as a speaker, asked with the template of its contract."""
    if loaded.tokenizer is None:
        raise InputError(f"{loaded.folder}: has no tokenizer; put tokenizer.json beside the model")
    if loaded.contract is not None and loaded.contract.kind in {"reward", "value"}:
        raise InputError(
            f"{loaded.folder}: is a {loaded.contract.kind} model, which scores and does not speak"
        )
    agreed = loaded.contract.template if loaded.contract else None
    return Speaker(loaded, make_chat(loaded.tokenizer, template=template or agreed))


def answer_key(seed: int, turn: int) -> int:
    """Return the key of an answer's draws."""
    return counter_rng.key(seed, "chat", turn)


def _end(text: str, stops: Sequence[str]) -> str:
    """Return what of `text` is to go when a stop string has come: from its beginning on."""
    found = [text.find(stop) for stop in stops if stop and stop in text]
    return text[min(found) :] if found else ""


def _held_back(text: str, stops: Sequence[str]) -> int:
    r"""Return how many last characters may yet become something else.

    >>> _held_back("Hello wor", ("world",))
    3
    >>> _held_back("ab\ufffd", ())
    1
    """
    unfinished = len(text) - len(text.rstrip(_UNFINISHED))
    begun = [n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
    return max([unfinished, *begun])
