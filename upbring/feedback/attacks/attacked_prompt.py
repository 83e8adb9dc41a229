"""An attacked prompt, and transformations of the request in it.

A transformation is a pure function of the prompt and a stream of random draws. The request is the
last user message; messages before it and a beginning of the answer after it may be part of the
attack.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from upbring.data.read.records import Message
from upbring.maths.random_draws import RandomStream


@dataclass(frozen=True, slots=True)
class AttackedPrompt:
    """What is sent to the model.

    A last message of the assistant is the beginning of the answer, which the model continues.
    `follow_ups` are user turns; each is sent after the model's answer to the turn before it, and
    the last answer counts.
    """

    messages: tuple[Message, ...]
    follow_ups: tuple[str, ...] = ()

    @property
    def prefill(self) -> str:
        """The beginning of the answer, or ''."""
        return self.messages[-1].content if self.messages[-1].role == "assistant" else ""


Transform = Callable[[AttackedPrompt, RandomStream], AttackedPrompt]
ChangeText = Callable[[str, RandomStream], str]


def request_index(prompt: AttackedPrompt) -> int:
    """Return the index of the last user message."""
    return max(i for i, message in enumerate(prompt.messages) if message.role == "user")


def request_text(prompt: AttackedPrompt) -> str:
    """Return the text of the last user message."""
    return prompt.messages[request_index(prompt)].content


def with_request(prompt: AttackedPrompt, text: str) -> AttackedPrompt:
    """Return the prompt with another text of the last user message."""
    index = request_index(prompt)
    message = Message("user", text)
    return replace(
        prompt, messages=(*prompt.messages[:index], message, *prompt.messages[index + 1 :])
    )


def on_request(change: ChangeText) -> Transform:
    """Return the transformation that changes the text of the request."""

    def transform(prompt: AttackedPrompt, rng: RandomStream) -> AttackedPrompt:
        return with_request(prompt, change(request_text(prompt), rng))

    return transform


def in_frame(frames: tuple[str, ...]) -> Transform:
    """Return the transformation that puts the request into one of the frames."""

    def change(text: str, rng: RandomStream) -> str:
        return rng.choice(frames).replace("{request}", text)

    return on_request(change)
