"""Progress of evaluations, scoring and other work that is not a training step."""

import io
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from upbring.tracking import track_call
from upbring.train.progress import Progress
from upbring.train.work_progress import make_tracker


def ticking(seconds: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += seconds


def tracked(seconds: float, count: int, *, is_terminal: bool = False) -> str:
    """Return what is printed about `count` items that take this long each."""
    output, clock = io.StringIO(), ticking(seconds)
    console = Console(file=output, force_terminal=is_terminal, width=80)
    track = make_tracker(console, clock=lambda: next(clock))
    assert list(track(range(count), total=count, label="evaluating")) == [*range(count)]
    return output.getvalue()


def test_short_work_is_silent() -> None:
    assert tracked(0.1, 20) == ""
    assert tracked(0.1, 20, is_terminal=True) == ""


def test_long_work_prints_a_line_now_and_then_with_the_time_left() -> None:
    lines = tracked(2.0, 20).splitlines()
    assert lines[0] == "evaluating: 3/20, 34 s left"  # the first item after five seconds
    assert lines[1] == "evaluating: 11/20, 18 s left"  # 15 seconds later
    assert len(lines) == 3


def test_a_terminal_gets_a_bar() -> None:
    text = tracked(2.0, 20, is_terminal=True)
    assert "━" in text
    assert "evaluating: 20/20, 0 s left" in text


class Announced(io.StringIO):
    """An output that says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_work_whose_first_item_takes_long_is_not_silent(*, is_terminal: bool) -> None:
    output = Announced()
    console = Console(file=output, force_terminal=is_terminal, width=80)
    track = make_tracker(console, silent_seconds=0.01)
    assert track_call(track, "loading", lambda: output.written.wait(60))
    assert "loading: 0 s so far" in output.getvalue()


def test_the_innermost_work_is_shown() -> None:
    output, clock = io.StringIO(), ticking(2.0)
    track = make_tracker(Console(file=output), clock=lambda: next(clock), line_seconds=0)

    for _ in track(range(3), total=3, label="outer"):
        assert list(track(range(1), total=2, label="inner")) == [0]
    names = [line.partition(":")[0] for line in output.getvalue().splitlines()]
    assert names == ["outer", "inner", "outer", "inner", "outer"]


def test_work_during_training_is_shown_below_the_bar_of_the_run() -> None:
    output, clock = io.StringIO(), ticking(2.0)
    console = Console(file=output, force_terminal=True, width=80)
    track = make_tracker(console, clock=lambda: next(clock))
    with Progress(4, console=console):
        assert list(track(range(20), total=20, label="evaluating")) == [*range(20)]
        console.print("done")
    assert "evaluating" not in output.getvalue().rpartition("done")[2]


def test_an_error_ends_the_bar() -> None:
    output, clock = io.StringIO(), ticking(2.0)
    console = Console(file=output, force_terminal=True, width=80)
    track = make_tracker(console, clock=lambda: next(clock))

    def fail() -> None:
        for number in track(range(20), total=20, label="evaluating"):
            assert 1 / (10 - number)

    with pytest.raises(ZeroDivisionError):
        fail()
    assert output.getvalue().rpartition("\x1b[?25")[2].startswith("h")  # the cursor is back
