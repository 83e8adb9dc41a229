import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

import psutil
import pytest
import torch

from upbring.serve.engine.own_thread import call_in_own_thread

VALUE: ContextVar[int] = ContextVar("VALUE", default=0)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compute() -> float:
    torch.set_num_threads(2)
    return float(torch.ones(500, 500).matmul(torch.ones(500, 500)).add_(1).max())


def count_threads(expected: int) -> int:
    """Return the threads of this process; an ended thread may need a moment."""
    deadline = time.monotonic() + 5
    while psutil.Process().num_threads() != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return psutil.Process().num_threads()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(torch.__config__.parallel_info().find("OpenMP") < 0, reason="needs OpenMP")
def test_no_compute_thread_is_left() -> None:
    before = psutil.Process().num_threads()
    assert call_in_own_thread(compute) == 501
    assert count_threads(before) == before

    has_computed, may_end = threading.Event(), threading.Event()

    def live() -> None:
        compute()
        has_computed.set()
        may_end.wait()

    living = threading.Thread(target=live)
    living.start()
    has_computed.wait()
    assert psutil.Process().num_threads() > before + 1  # what the other way would leave
    may_end.set()
    living.join()


def test_context_and_errors_are_the_callers() -> None:
    token = VALUE.set(7)
    try:
        assert call_in_own_thread(VALUE.get) == 7
    finally:
        VALUE.reset(token)
    with pytest.raises(ZeroDivisionError):
        call_in_own_thread(lambda: 1 / 0)
