"""The interface through which long work shows how far it is.

`train/work_progress.py` implements it for a console; by default nothing is shown.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """A function that yields items and shows how many of `total` are done.

    Without a total it shows the elapsed time. Work may be nested.
    """

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        """Yield the items."""


def no_tracking(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
    """Yield the items and show nothing."""
    del total, label
    yield from items


def track_call(track: Track, label: str, function: Callable[[], T]) -> T:
    """Call a function that takes an unknown time, and return its result."""

    def call() -> Iterator[T]:
        yield function()

    (result,) = track(call(), total=None, label=label)
    return result
