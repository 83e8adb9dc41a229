"""Search sorted, disjoint spans of a text in logarithmic time."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

TextSpan = tuple[int, int]


def _start(span: TextSpan) -> int:
    return span[0]


def _end(span: TextSpan) -> int:
    return span[1]


def overlapping(spans: Sequence[TextSpan], start: int, stop: int) -> Sequence[TextSpan]:
    """Return the spans that share a character with the text from `start` to `stop`.

    >>> overlapping([(0, 2), (3, 5), (6, 8)], 4, 6)
    [(3, 5)]
    """
    first = bisect_right(spans, start, key=_end)
    return spans[first : bisect_left(spans, stop, lo=first, key=_start)]


def inside(spans: Sequence[TextSpan], start: int, stop: int) -> Sequence[TextSpan]:
    """Return the spans that lie within the text from `start` to `stop`.

    >>> inside([(0, 2), (3, 5), (6, 8)], 0, 5)
    [(0, 2), (3, 5)]
    """
    first = bisect_left(spans, start, key=_start)
    return spans[first : bisect_right(spans, stop, lo=first, key=_end)]


def starting_in(spans: Sequence[TextSpan], start: int, stop: int) -> Sequence[TextSpan]:
    """Return the spans that start at `start` or later, and before `stop`.

    >>> starting_in([(0, 2), (3, 5), (6, 8)], 3, 7)
    [(3, 5), (6, 8)]
    """
    first = bisect_left(spans, start, key=_start)
    return spans[first : bisect_left(spans, stop, lo=first, key=_start)]


def last_before(spans: Sequence[TextSpan], position: int) -> TextSpan | None:
    """Return the last span that ends at `position` or before, or None.

    >>> last_before([(0, 2), (3, 5), (6, 8)], 5)
    (3, 5)
    """
    count = bisect_right(spans, position, key=_end)
    return spans[count - 1] if count else None
