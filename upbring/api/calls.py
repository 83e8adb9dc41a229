"""What every public function does around its work: it restores the process and explains errors."""

import csv
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from upbring.api.messages import to_python
from upbring.errors import UpbringError
from upbring.interruption import ForcedStop

P = ParamSpec("P")
T = TypeVar("T")


def runs_models(function: Callable[P, T]) -> Callable[P, T]:
    """Restore the state of the process after each call, and raise errors without our frames."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        from upbring.train.process_state import preserve_process_state  # noqa: PLC0415 -- torch

        try:
            with preserve_process_state():
                return function(*args, **kwargs)
        except (UpbringError, ForcedStop) as error:
            raise _explain(error) from None

    return call


def reads_files(function: Callable[P, T]) -> Callable[P, T]:
    """Raise errors without our frames; for functions that do not import torch."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with _preserve_field_limit():
                return function(*args, **kwargs)
        except (UpbringError, ForcedStop) as error:
            raise _explain(error) from None

    return call


def _explain(error: UpbringError | ForcedStop) -> UpbringError | ForcedStop:
    """Return the error with a message for a caller, and without the frames of this package."""
    error.args = (to_python(str(error)),)
    return error.with_traceback(None)


@contextmanager
def _preserve_field_limit() -> Iterator[None]:
    limit = csv.field_size_limit()
    try:
        yield
    finally:
        csv.field_size_limit(limit)
