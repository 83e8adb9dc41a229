"""A model in memory that generates, chats, and returns log-probabilities."""

from collections.abc import Mapping, Sequence

from upbring.api.calls import runs_models
from upbring.data.read.records import Message, Role
from upbring.errors import InputError, format_value
from upbring.evaluate.local_model import LocalModel
from upbring.maths import counter_rng
from upbring.model.sampling import Request
from upbring.plurals import format_count
from upbring.settings.model import ModelSettings
from upbring.settings.resolve import CallStyle, resolve
from upbring.settings.sampling import SampleSettings
from upbring.train import devices

Prompt = str | Sequence[Mapping[str, str]]

ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


class Model:
    """A loaded model; make it with `upbring.load`."""

    def __init__(self, settings: ModelSettings, local_model: LocalModel) -> None:
        self._settings, self._model = settings, local_model

    @runs_models
    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 256,
        temperature: float = 0.7,
        top_p: float = 1.0,
        top_k: int = 0,
        stop: Sequence[str] = (),
        seed: int = 0,
        raw: bool = False,
    ) -> list[str]:
        """Return a response to each prompt.

        A string is one user turn, rendered with the chat template; a list of messages is a
        dialogue. With `raw=True` a prompt is text, which is continued as it stands. The same seed
        gives the same responses; `temperature=0` is greedy decoding. `stop` are strings that end a
        response.
        """
        sampling = _sampling_settings(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            stop=tuple(stop),
        )
        requests = [
            Request(tokens, (counter_rng.key(seed, "generate", index),))
            for index, tokens in enumerate(self._encode(prompts, is_raw=raw))
        ]
        devices.prepare(self._settings)
        return [text for (text,) in self._model.sample_requests(requests, sampling)]

    def chat(
        self,
        messages: Prompt,
        *,
        max_tokens: int = 256,
        temperature: float = 0.7,
        top_p: float = 1.0,
        top_k: int = 0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> str:
        """Return the response to one dialogue: the text of a user's turn, or a list of messages."""
        (response,) = self.generate(
            [messages],
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            stop=stop,
            seed=seed,
        )
        return response

    @runs_models
    def logprobs(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, raw: bool = False
    ) -> list[list[float]]:
        """Return the log-probability of each token of each response, in nats.

        Prompts are as in `generate`. A response is scored without the stop token that ends it; the
        sum of its list is the log-probability of the response.
        """
        encoded = self._encode(prompts, is_raw=raw)
        if len(encoded) != len(responses):
            raise InputError(
                f"responses: {len(responses)} for {format_count(len(encoded), 'prompt')}; give one "
                "for each prompt"
            )
        tokenizer = self._model.chat.tokenizer
        endings = tokenizer.encode_batch(tuple(responses), trusted=False, is_continuation=True)
        for index, (prompt, ending) in enumerate(zip(encoded, endings, strict=True)):
            self._check_length(index, len(prompt) + len(ending) - 1)
        devices.prepare(self._settings)
        return self._model.token_logprobs(encoded, endings)

    def _encode(self, prompts: Sequence[Prompt], *, is_raw: bool) -> list[list[int]]:
        """Return the tokens of each prompt."""
        if isinstance(prompts, str):
            raise InputError("prompts: is one string; give a list, such as [prompt]")
        if prompts and isinstance(prompts[0], Mapping):
            raise InputError("prompts: is one dialogue; give a list of dialogues, as [messages]")
        encoded = []
        for index, prompt in enumerate(prompts):
            if is_raw:
                tokens = self._model.encode_text(_require_text(prompt, index))
            else:
                tokens = self._model.chat.encode_prompt(_dialogue(prompt, index))
            self._check_length(index, len(tokens))
            encoded.append(tokens)
        return encoded

    def _check_length(self, index: int, length: int) -> None:
        """Raise if this many tokens leave no room for another one in the model's context."""
        limit = self._model.model.max_positions
        if limit is not None and length >= limit:
            raise InputError(
                f"prompts[{index}]: has {format_count(length, 'token')}, and the model's context "
                "length is "
                f"{limit}; shorten it"
            )

    def __repr__(self) -> str:
        return f"Model({self._settings.model!r})"


def _sampling_settings(**arguments: object) -> SampleSettings:
    style = CallStyle("argument", "see help(upbring.Model.generate)")
    return resolve(SampleSettings, section="generate", flags=arguments, style=style).settings


def _require_text(prompt: Prompt, index: int) -> str:
    if not isinstance(prompt, str):
        raise InputError(f"prompts[{index}]: is a dialogue; with raw=True give text")
    return prompt


def _dialogue(prompt: Prompt, index: int) -> tuple[Message, ...]:
    """Return a prompt as messages; text is one turn of the user."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    return tuple(
        _message(each, location=f"prompts[{index}][{turn}]") for turn, each in enumerate(prompt)
    )


def _message(message: Mapping[str, str], *, location: str) -> Message:
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise InputError(
            f"{location}: {format_value(message)} is not a message; write it as "
            '{"role": "user", "content": "…"}'
        )
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise InputError(f"{location}: role {format_value(role)}; use {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise InputError(f"{location}: content is {format_value(content)}; give text")
    return Message(ROLES[role], content)
