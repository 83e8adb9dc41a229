"""What calls of a server cost: an estimate before they are made, and the count of those made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from upbring.plurals import format_count

CHARACTERS_PER_TOKEN = 4  # of English text; an estimate before the first reply


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per million tokens, in any currency; None: not known."""

    input: float | None = None
    output: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls with their tokens."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __mul__(self, times: int) -> "Usage":
        return Usage(self.calls * times, self.input_tokens * times, self.output_tokens * times)

    def text(self, prices: Prices) -> str:
        """Return the calls and tokens, and the cost if prices are known.

        >>> Usage(1200, 480_000, 1200).text(Prices(2.5, 10))
        '1,200 calls, 480,000 tokens in and 1,200 out, cost 1.21'
        """
        counts = (
            f"{format_count(self.calls, 'call')}, {self.input_tokens:,} tokens in and "
            f"{self.output_tokens:,} out"
        )
        if prices.input is None and prices.output is None:
            return counts
        cost = self.input_tokens * (prices.input or 0) + self.output_tokens * (prices.output or 0)
        return f"{counts}, cost {cost / 1e6:.2f}"


def estimate(texts: Iterable[str], *, max_tokens: int, more_input: int = 0) -> Usage:
    """Return an upper estimate of one call per text.

    `more_input` are the tokens that each call has besides its text, such as a response that is not
    written yet.

    >>> estimate(["a" * 400, "b" * 40], max_tokens=5, more_input=3)
    Usage(calls=2, input_tokens=116, output_tokens=10)
    """
    sizes = [-(-len(text) // CHARACTERS_PER_TOKEN) + more_input for text in texts]
    return Usage(len(sizes), sum(sizes), max_tokens * len(sizes))


def read_usage(reply: Mapping[str, object]) -> Usage:
    """Return the usage that a reply states.

    >>> read_usage({"usage": {"prompt_tokens": 7, "completion_tokens": 1}})
    Usage(calls=1, input_tokens=7, output_tokens=1)
    """
    stated = reply.get("usage")
    counts = stated if isinstance(stated, Mapping) else {}
    values = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(1, *(value if isinstance(value, int) else 0 for value in values))
