"""Counts the tokens of a request, and limits a response to the model's context."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from upbring.plurals import format_count
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields
from upbring.serve.http.generation import TaskProgress

MOST_TOKENS = 2**31


@dataclass(slots=True)
class TokenUsage:
    """Tokens of prompts and responses."""

    prompts: dict[int, tuple[int, int]] = field(default_factory=dict)  # tokens and cached ones
    samples: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, each: TaskProgress) -> None:
        """Take progress into account."""
        self.prompts[each.task] = len(each.request.prompt), each.request.num_cached
        self.samples[each.task, each.progress.index] = each.progress.num_tokens

    @property
    def num_prompt(self) -> int:
        """Tokens of all prompts."""
        return sum(count for count, _ in self.prompts.values())

    @property
    def num_cached(self) -> int:
        """Tokens of prompts that were not computed again."""
        return sum(cached for _, cached in self.prompts.values())

    @property
    def num_generated(self) -> int:
        """Tokens of all responses."""
        return sum(self.samples.values())

    def fields(self) -> dict[str, object]:
        """Return the usage as it is in a response."""
        return {
            "prompt_tokens": self.num_prompt,
            "completion_tokens": self.num_generated,
            "total_tokens": self.num_prompt + self.num_generated,
            "prompt_tokens_details": {"cached_tokens": self.num_cached},
        }


def room_for_response(
    fields: Fields, name: str, max_length: int, prompt: Sequence[int], *, default: int = MOST_TOKENS
) -> int:
    """Return the maximum number of generated tokens: what is asked for, or what fits."""
    wanted = fields.integer(name, default, low=0, high=MOST_TOKENS)
    room = max_length - len(prompt)
    if room < 1 or not prompt:
        found = "is empty" if not prompt else f"has {format_count(len(prompt), 'token')}"
        raise ApiError(
            f"the prompt {found}, and the model's context length is {max_length} with the "
            "response; send a prompt that fits",
            param="messages" if fields.has("messages") else "prompt",
            code="context_length_exceeded",
        )
    return min(wanted, room)
