"""How an answer is said, apart from what it says: words of courtesy, marks of formatting.

English only, and counts alone: whether the courtesy is fitting is not judged.
"""

import re

from upbring.rules.bullets import list_items

_POLITE_WORDS = re.compile(
    r"\b(?:please|thank(?:s|\s+you)|gladly|certainly|of\s+course|happy\s+to|glad\s+to|welcome"
    r"|sorry|apologi[sz]e|great\s+question|hope\s+(?:this|that|it|you)|kind(?:ly)?|feel\s+free"
    r"|appreciate|pleasure)\b",
    re.IGNORECASE,
)
_FORMATTING_PATTERNS = (
    re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE),  # headings
    re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__"),  # bold
    re.compile(r"^```", re.MULTILINE),  # fences
    re.compile(r"^\|.*\|[ \t]*$", re.MULTILINE),  # rows of tables
)


def num_polite_words(text: str) -> int:
    """Return how many words of courtesy the text has.

    >>> num_polite_words("Of course! Thank you for asking. 42.")
    2
    """
    return len(_POLITE_WORDS.findall(text))


def num_formatting_marks(text: str) -> int:
    r"""Return how many marks of formatting it has: headings, bold, fences, table rows, items.

    >>> num_formatting_marks("# Shopping\n- **milk**\n- bread")
    4
    """
    return len(list_items(text)) + sum(len(mark.findall(text)) for mark in _FORMATTING_PATTERNS)
