"""Compare a response with the expected answer: exactly, normalized, or as a number."""

import re
import string
from decimal import Decimal

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’…–—")
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
)
_MARKED_ANSWER = re.compile(r"####\s*(\S+)")


def is_exact(answer: str, expected: str) -> bool:
    """Return whether the answer equals the expected text, ignoring surrounding white space."""
    return answer.strip() == expected.strip()


def normalize(text: str) -> str:
    """Return the text in lowercase without punctuation, articles and extra spaces (as SQuAD).

    >>> normalize("The  Eiffel Tower!")
    'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.casefold().translate(_PUNCTUATION)).split())


def is_normalized_match(answer: str, expected: str) -> bool:
    """Return whether the normalized texts are equal."""
    return normalize(answer) == normalize(expected)


def contains_phrase(answer: str, expected: str) -> bool:
    """Return whether the answer contains the expected text as whole words.

    >>> contains_phrase("It is in Paris, France.", "paris"), contains_phrase("comparison", "paris")
    (True, False)
    """
    return f" {normalize(expected)} " in f" {normalize(answer)} "


def numbers(text: str) -> list[Decimal]:
    """Return the numbers in the text, in order.

    >>> numbers("From 1,200 to -3.5 and 2e3")
    [Decimal('1200'), Decimal('-3.5'), Decimal('2E+3')]
    """
    return [_parse_decimal(number) for number in _NUMBER.findall(text)]


def last_number(text: str) -> Decimal | None:
    """Return the number after #### if there is one, else the last number, else None.

    >>> last_number("48 + 24 = 72. So #### 72 clips, not 100")
    Decimal('72')
    """
    marked_answers = _MARKED_ANSWER.findall(text)
    candidates = numbers(marked_answers[-1].lstrip("$€£")) if marked_answers else []
    candidates = candidates or numbers(text)
    return candidates[-1] if candidates else None


def is_same_number(answer: str, expected: str) -> bool:
    """Return whether the last numbers of both texts are equal: 72 = 72.0 = 7.2e1.

    >>> is_same_number("That makes $72.00.", "#### 72")
    True
    """
    answer_number, expected_number = last_number(answer), last_number(expected)
    return answer_number is not None and answer_number == expected_number


def _parse_decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))
