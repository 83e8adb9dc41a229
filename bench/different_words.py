"""The reward of the bench of GRPO: the number of different words of a response."""

from collections.abc import Mapping


def different_words(prompt: object, response: str, row: Mapping[str, object]) -> float:
    """Return the number of different words."""
    del prompt, row
    return float(len(set(response.split())))
