"""What a row of a file means, whatever its format: the five records of post-training.

Records hold text alone. `formats` makes them from files, `chat` turns them into tokens.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)
SYNTHETIC_PREFIX = "synthetic"  # how the name of every simulated annotator begins


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was read: a file and the line on which its row begins.

    >>> str(Origin("chat.jsonl", 17))
    'chat.jsonl:17'
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a dialogue."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Document:
    """Plain text, to be continued."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Prompt:
    """A dialogue in which the assistant is to speak next."""

    messages: tuple[Message, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A dialogue that shows how the assistant should speak; its last message is the assistant's."""

    messages: tuple[Message, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Comparison:
    """A prompt and K ≥ 2 responses with their ranks: 1 is best, equal ranks are ties."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    ranks: tuple[float, ...]
    origin: Origin
    margin: float | None = None
    annotator: str | None = None


def is_synthetic(annotator: str | None) -> bool:
    """Return whether an annotator is a simulated one, by the name that all of them have.

    >>> is_synthetic("synthetic-1"), is_synthetic("Ann"), is_synthetic(None)
    (True, False, False)
    """
    return annotator is not None and annotator.startswith(SYNTHETIC_PREFIX)


@dataclass(frozen=True, slots=True)
class Label:
    """A prompt with one response that somebody called good or bad."""

    prompt: tuple[Message, ...]
    response: str
    is_good: bool
    origin: Origin


Record = Document | Prompt | Demonstration | Comparison | Label
