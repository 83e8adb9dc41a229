"""Signals are raised in the test process, so that no test sleeps."""

import signal
import threading
from collections.abc import Iterator

import pytest

from upbring.errors import Interrupted
from upbring.interruption import STOPPING_MESSAGE, ForcedStop, Interruption


@pytest.fixture(autouse=True)
def _handlers_are_as_before() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def quiet(text: str) -> None:
    del text


def test_nothing_is_requested_until_a_signal_comes() -> None:
    with Interruption() as interruption:
        interruption.poll()
        assert not interruption.is_requested
        assert interruption.signal_number is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_a_flag_and_prints_one_line(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with Interruption() as interruption:
        signal.raise_signal(number)
        assert interruption.is_requested
        assert interruption.signal_number == number
    assert capfd.readouterr().err.strip() == STOPPING_MESSAGE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_polling_raises_with_the_exit_code_of_the_signal(number: signal.Signals, code: int) -> None:
    with Interruption(log=quiet) as interruption:
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=f"stopped by {number.name}; resume with") as caught:
            interruption.poll()
    assert caught.value.exit_code == code


def test_the_second_signal_stops_immediately() -> None:
    with Interruption(log=quiet):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(ForcedStop, match="stopped immediately") as caught:
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.signal_number == signal.SIGTERM
    assert caught.value.exit_code == 143
    assert isinstance(caught.value, KeyboardInterrupt)


def test_an_inner_block_shares_the_request_with_the_outer_one() -> None:
    with Interruption(log=quiet) as outer:
        with Interruption(log=quiet) as inner:
            signal.raise_signal(signal.SIGTERM)
            assert inner.is_requested
        assert outer.is_requested
        with Interruption(log=quiet) as later:
            assert later.signal_number == signal.SIGTERM


def test_a_signal_after_an_inner_block_still_reaches_the_outer_one() -> None:
    with Interruption(log=quiet) as outer:
        with Interruption(log=quiet):
            pass
        signal.raise_signal(signal.SIGINT)
        assert outer.is_requested


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption(log=quiet) as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.is_requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_installs_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with Interruption() as interruption:
            seen.extend([signal.getsignal(signal.SIGTERM), interruption.is_requested])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
