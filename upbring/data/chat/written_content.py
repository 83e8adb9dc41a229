"""Whether a chat template writes the content of messages, or drops all or part of it.

Templates of vision models expect a list of parts and write nothing of a text. Others leave out
system messages, or what is inside <think> tags.
"""

import re

from upbring.errors import InputError

_MAX_WORDS = 200  # of a content that are searched; more are spread evenly over it
_WORD = re.compile(r"\w+")


def missing_words(content: str, text: str) -> list[str]:
    """Return the words of the content that the rendered text does not contain.

    >>> missing_words("<think>Hm.</think> Yes", "assistant: Yes<end>")
    ['think', 'Hm', 'think']
    """
    if content.strip() in text:
        return []
    words = _sample_words(content)
    written = set(_WORD.findall(text) if _WORD.search(content) else text)
    return [word for word in words if word not in written]


def _sample_words(content: str) -> list[str]:
    """Return words of the content, or characters if it has none."""
    words = _WORD.findall(content) or [*"".join(content.split())]
    return words[:: -(-len(words) // _MAX_WORDS) or 1]


def require_written(content: str, text: str, *, role: str) -> None:
    """Raise InputError if the rendered text contains no word of the content."""
    missing = missing_words(content, text)
    if missing and len(missing) == len(_sample_words(content)):
        raise InputError(
            f"the chat template does not write the text of the {role} message (templates of "
            "vision models expect a list of parts); pass another template with "
            "--chat-template FILE"
        )
