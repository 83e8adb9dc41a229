"""Style features of a response: polite words and Markdown formatting.

English only. The functions count; they do not judge whether the politeness is appropriate.
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
    """Return the number of polite words and phrases in the text.

    >>> num_polite_words("Of course! Thank you for asking. 42.")
    2
    """
    return len(_POLITE_WORDS.findall(text))


def num_formatting_marks(text: str) -> int:
    r"""Return the number of headings, bold parts, code fences, table rows and list items.

    >>> num_formatting_marks("# Shopping\n- **milk**\n- bread")
    4
    """
    return len(list_items(text)) + sum(len(mark.findall(text)) for mark in _FORMATTING_PATTERNS)
