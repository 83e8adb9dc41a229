"""Progress of evaluations, scoring and other work that is not a training step."""

import io
from collections.abc import Iterator

from rich.console import Console

from upbring.train.work_progress import make_tracker, no_tracking


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


def test_a_tracker_that_shows_nothing_passes_everything_on() -> None:
    assert list(no_tracking("abc", total=3, label="x")) == ["a", "b", "c"]
