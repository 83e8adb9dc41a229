"""Whether an answer is the expected one: letter by letter, but for form, or as a number."""

import re
import string
from decimal import Decimal

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’…–—")
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
)
_MARKED = re.compile(r"####\s*(\S+)")


def is_exact(answer: str, expected: str) -> bool:
    """Tell whether the answer is the expected text but for white space around it."""
    return answer.strip() == expected.strip()


def normalise(text: str) -> str:
    """Return the text in small letters without punctuation, articles and extra spaces (as SQuAD).

    >>> normalise("The  Eiffel Tower!")
    'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.casefold().translate(_PUNCTUATION)).split())


def is_same(answer: str, expected: str) -> bool:
    """Tell whether the two texts are equal once normalised."""
    return normalise(answer) == normalise(expected)


def holds(answer: str, expected: str) -> bool:
    """Tell whether the expected text stands in the answer as whole words.

    >>> holds("It is in Paris, France.", "paris"), holds("comparison", "paris")
    (True, False)
    """
    return f" {normalise(expected)} " in f" {normalise(answer)} "


def numbers(text: str) -> list[Decimal]:
    """Return the numbers in the text, in order.

    >>> numbers("From 1,200 to -3.5 and 2e3")
    [Decimal('1200'), Decimal('-3.5'), Decimal('2E+3')]
    """
    return [_decimal(found) for found in _NUMBER.findall(text)]


def last_number(text: str) -> Decimal | None:
    """Return the number after #### if there is one, else the last number, else None.

    >>> last_number("48 + 24 = 72. So #### 72 clips, not 100")
    Decimal('72')
    """
    marked = _MARKED.findall(text)
    found = numbers(marked[-1].lstrip("$€£")) if marked else []
    found = found or numbers(text)
    return found[-1] if found else None


def is_same_number(answer: str, expected: str) -> bool:
    """Tell whether the last numbers of both texts are equal: 72 = 72.0 = 7.2e1.

    >>> is_same_number("That makes $72.00.", "#### 72")
    True
    """
    mine, theirs = last_number(answer), last_number(expected)
    return mine is not None and mine == theirs


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))
