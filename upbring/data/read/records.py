"""The five record types of post-training, into which rows of every format are read.

Records contain only text. `formats` reads them from files, `chat` encodes them as tokens.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
SYNTHETIC_PREFIX = "synthetic"  # of the names of simulated annotators


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was read: a file and the first line of its row.

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
    """Plain text for language-model training."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Prompt:
    """A dialogue that the assistant answers next."""

    messages: tuple[Message, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A dialogue whose last message is the assistant response to train on."""

    messages: tuple[Message, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Comparison:
    """A prompt and K ≥ 2 responses with their ranks: 1 is best, equal ranks are ties.

    A soft label is the probability, at least ½, that the better one of a pair is better; a tie has
    ½. The weight is that of the row in the loss.
    """

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    ranks: tuple[float, ...]
    origin: Origin
    margin: float | None = None
    annotator: str | None = None
    probability: float | None = None
    weight: float | None = None


def is_synthetic(annotator: str | None) -> bool:
    """Return whether an annotator is simulated, from the prefix of its name.

    >>> is_synthetic("synthetic-1"), is_synthetic("Ann"), is_synthetic(None)
    (True, False, False)
    """
    return annotator is not None and annotator.startswith(SYNTHETIC_PREFIX)


@dataclass(frozen=True, slots=True)
class Label:
    """A prompt with one response that is labeled good or bad."""

    prompt: tuple[Message, ...]
    response: str
    is_good: bool
    origin: Origin


Record = Document | Prompt | Demonstration | Comparison | Label
