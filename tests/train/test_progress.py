"""All tests set the clock themselves, so that nothing waits."""

import io
import math
import re
from collections.abc import Mapping

import pytest
from rich.console import Console

from upbring.train.progress import Band, Progress, format_duration, make_log, process_memory

BANDS = {
    "kl": Band(None, 0.2, "Lower the learning rate."),
    "entropy": Band(0.5, None, "Raise the entropy bonus."),
    "clip_fraction": Band(0.05, 0.5, "Take fewer epochs."),
}


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> Console:
    return Console(file=io.StringIO(), width=40)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def fixed_memory() -> tuple[int | None, int | None]:
    return 1_200_000_000, 1_400_000_000


def test_a_plain_line_contains_everything_and_is_not_broken() -> None:
    console, clock = plain(), Clock()
    with Progress(300, console=console, clock=clock, memory=fixed_memory) as progress:
        progress.update(119, {"loss": 2.0, "learning_rate": 2e-4}, tokens=5120, seconds=10)
        clock.now += 10
        progress.update(120, {"loss": 1.23456, "learning_rate": 1.8e-4}, tokens=5120, seconds=10)
    first = (
        "step 119/300  loss 2  learning rate 2.00e-04  512 tokens/s  30 min 10 s left  "
        "memory 1.2 GB (peak 1.4 GB)"
    )
    second = (
        "step 120/300  loss 1.235  learning rate 1.80e-04  512 tokens/s  30 min 0 s left  "
        "memory 1.2 GB (peak 1.4 GB)"
    )
    # 5,120 tokens and one step in 10 seconds: 512 a second, and 180 × 10 s = 30 min left
    assert printed(console).splitlines() == [
        first,
        second,
    ]


def test_plain_lines_come_first_last_and_every_so_many_seconds() -> None:
    console, clock = plain(), Clock()
    with Progress(20, console=console, clock=clock, print_interval_seconds=5) as progress:
        for step in range(1, 21):
            clock.now += 1
            progress.update(step, {})
    steps = [line.split()[1] for line in printed(console).splitlines()]
    assert steps == ["1/20", "6/20", "11/20", "16/20", "20/20"]


def test_the_last_step_shows_no_time_left() -> None:
    console = plain()
    with Progress(3, console=console, clock=Clock(), memory=lambda: (None, None)) as progress:
        for step in (2, 3):
            progress.update(step, {"loss": 2.0}, tokens=100, seconds=10)
    first, last = printed(console).splitlines()
    assert first == "step 2/3  loss 2  10 tokens/s  10 s left"
    assert last == "step 3/3  loss 2  10 tokens/s"  # an evaluation may follow


def test_the_time_left_follows_a_change_of_speed() -> None:
    console, clock = plain(), Clock()
    with Progress(1000, console=console, clock=clock, print_interval_seconds=0) as progress:
        for step in range(1, 201):
            seconds = 100 if step <= 100 else 1
            clock.now += seconds + 50  # evaluations and checkpoints in between do not count
            progress.update(step, {}, tokens=7, seconds=seconds)
    # the last 50 steps took a second each, and 800 are left
    assert "7 tokens/s  13 min 20 s left" in printed(console).splitlines()[-1]


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    console = plain()
    with Progress(3, console=console, clock=Clock(), print_interval_seconds=0) as progress:
        progress.update(1, {"loss": 1.0}, tokens=5)
        progress.update(2, {"loss": 1.0}, tokens=5)
    assert "left" not in printed(console)


def test_metrics_of_a_method_are_shown_if_they_are_there() -> None:
    console = plain()
    with Progress(
        5,
        console=console,
        shown_metrics=("loss", "held_out_loss", "reward"),
        memory=lambda: (None, None),
    ) as progress:
        progress.update(1, {"loss": math.nan, "reward": -12345.678})
    assert printed(console) == "step 1/5  loss nan  reward -1.235e+04\n"


def test_a_terminal_gets_a_bar_and_lines_above_it() -> None:
    console = terminal()
    with Progress(4, console=console, memory=fixed_memory) as progress:
        progress.update(1, {"loss": 1.5})
        progress.print_line("saved [step] 1")
        progress.update(4, {"loss": 1.25})
    text = printed(console)
    assert "━" in text
    assert "saved [step] 1" in text
    assert "loss 1.25" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is visible again


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (99, "step 2/4  loss 1.5  learning rate 0.25  7 tokens/s  2 s left  memory 1.0 GB"),
        (90, "step 2/4  loss 1.5  learning rate 0.25  7 tokens/s  2 s left"),
        (80, "step 2/4  loss 1.5  learning rate 0.25  2 s left"),
        (55, "step 2/4  loss 1.5  2 s left"),
        (20, "step 2/4"),
    ],
)
def test_next_to_the_bar_the_least_important_parts_are_dropped(width: int, expected: str) -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with Progress(
        4, console=console, clock=clock, memory=lambda: (1_000_000_000, None)
    ) as progress:
        for step in (1, 2):
            clock.now += 1
            progress.update(step, {"loss": 1.5, "learning_rate": 0.25}, tokens=7, seconds=1)
    drawn = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", printed(console)).replace("\r", "\n")
    last = [line for line in drawn.splitlines() if line.strip()][-1]
    assert last.strip("━╸╺ ") == expected
    assert len(last.rstrip()) <= width
    assert width == 20 or "━━━" in last


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()
    with Progress(4, console=console) as progress:
        progress.update(1, {"loss": 1.5})
    assert printed(console).startswith("step 1/4  loss 1.5")


def test_no_color_is_honored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()
    with Progress(4, console=console) as progress:
        progress.update(1, {"loss": 1.5})
    assert "\x1b[3" not in printed(console)  # codes 30 to 38 are colors


def test_the_bar_is_removed_when_training_fails() -> None:
    console = terminal()
    with pytest.raises(RuntimeError), Progress(4, console=console):
        raise RuntimeError
    assert printed(console).rstrip().endswith("\x1b[?25h")


def test_a_metric_outside_its_band_is_reported_once() -> None:
    console = plain()
    with Progress(
        9, console=console, bands=BANDS, clock=Clock(), memory=lambda: (None, None)
    ) as progress:
        progress.update(1, {"kl": 0.2, "entropy": 0.5, "clip_fraction": 0.3})
        progress.update(2, {"kl": 0.31, "entropy": 0.25, "clip_fraction": math.nan})
        progress.update(3, {"kl": 5.0, "entropy": 0.0})
    assert printed(console).splitlines()[1:] == [
        "step 2: kl is 0.31; healthy is at most 0.2. Lower the learning rate.",
        "step 2: entropy is 0.25; healthy is at least 0.5. Raise the entropy bonus.",
        "step 2: clip fraction is nan; healthy is 0.05 to 0.5. Take fewer epochs.",
    ]


def test_durations_have_their_two_largest_units() -> None:
    # 90,000 s = 86,400 + 3,600
    durations = [format_duration(seconds) for seconds in (0.4, 59.6, 3599, 90_000)]
    assert durations == ["0 s", "1 min 0 s", "59 min 59 s", "1 d 1 h"]


def test_memory_is_that_of_this_process() -> None:
    now, peak = process_memory()
    assert (now is None) or (peak is not None and 0 < now <= peak)


class Shown:
    """A display that records its calls."""

    text_width = 30

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, str, dict[str, float]]] = []
        self.warnings: list[str] = []

    def advance(
        self, step: int, total: int, summary: str, key_metrics: Mapping[str, float]
    ) -> None:
        self.steps.append((step, total, summary, dict(key_metrics)))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_display_gets_the_progress_and_the_most_important_metric() -> None:
    console, display = terminal(), Shown()
    with Progress(4, console=console, bands=BANDS, display=display, clock=Clock()) as progress:
        progress.update(1, {"loss": 1.5, "learning_rate": 0.25, "kl": 0.5})
        progress.print_line("saved")
    assert display.steps == [(1, 4, "step 1/4  loss 1.5", {"loss": 1.5})]  # as much as fits
    assert display.warnings == [
        "step 1: kl is 0.5; healthy is at most 0.2. Lower the learning rate."
    ]
    assert printed(console).splitlines() == [*display.warnings, "saved"]


def test_a_message_is_broken_between_words_on_a_terminal_and_keeps_its_indent() -> None:
    console = Console(file=io.StringIO(), width=20, force_terminal=True, color_system=None)
    make_log(console)("runs/one:\n  the model is written [here]")
    lines = [line.rstrip() for line in printed(console).splitlines()]
    assert lines == ["runs/one:", "  the model is", "  written [here]"]


def test_a_message_in_a_file_is_not_broken() -> None:
    console = Console(file=io.StringIO(), width=20)
    make_log(console)("  the model is written [here]")
    assert printed(console) == "  the model is written [here]\n"
