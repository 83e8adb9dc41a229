"""The live view with a manual clock, rendered as text and on a terminal that is a string."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from upbring.pipeline.live_view import EVALUATION, LiveView
from upbring.pipeline.recipe import read_recipe

RECIPE = """
model: m
stages:
  sft: {data: d.jsonl}
  reward: {model: sft, data: d.jsonl}
  dpo: {model: sft, data: d.jsonl}
evaluate: {models: [base, sft], data: d.jsonl}
gates: {facts: ">= 0.5"}
"""
LONG = "model: m\nstages:\n" + "".join(
    f"  s{i}: {{method: sft, data: d.jsonl}}\n" for i in range(14)
)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("d.jsonl").touch()
    return tmp_path


def live_view(
    text: str = RECIPE, *, clock: Clock | None = None, width: int = 90, height: int = 40
) -> LiveView:
    Path("r.yaml").write_text(text)
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    return LiveView(
        read_recipe(Path("r.yaml")), Path("out"), console=console, clock=clock or Clock()
    )


def drawn(view: LiveView) -> list[str]:
    """Return the lines of a frame."""
    console = Console(file=io.StringIO(), width=view.console.width, height=view.console.height)
    with console.capture() as found:
        console.print(view)
    return [line.rstrip() for line in found.get().splitlines()]


@pytest.mark.usefixtures("home")
def test_every_stage_is_shown_in_its_state() -> None:
    clock = Clock()
    found = live_view(clock=clock)
    found.set_state("sft", "running")
    found.advance(1, 50, "step 1/50", {"loss": 2.5})
    clock.now = 80.0
    found.advance(50, 50, "step 50/50", {"loss": 0.75})
    found.set_state("sft", "finished")
    found.set_state("reward", "kept")
    found.set_state("dpo", "running")
    found.advance(10, 20, "step 10/20  loss 0.6", {"loss": 0.6})
    found.warn("kl is 0.3")
    found.warn("kl is 0.5; healthy is at most 0.2")
    assert drawn(found) == [
        "r.yaml → out",
        "├── base: m",
        "│   └── ✓ sft: sft  loss 2.5 → 0.75  1 min 20 s",
        "│       ├── ✓ reward: reward  finished before",
        "│       └── ▶ dpo: dpo ━━━━━━━━━━           step 10/20  loss 0.6",
        "│           └── ! kl is 0.5; healthy is at most 0.2 (and 1 earlier)",
        "├── · evaluate: base, sft",
        "└── gates: facts >= 0.5",
    ]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("failed", "└── ✗ sft: sft  failed  loss 2 → 1"),
        ("interrupted", "└── ‖ sft: sft  interrupted  loss 2 → 1"),
        ("waiting", "└── … sft: sft  waiting for people  loss 2 → 1"),
        ("running", "└── ▶ sft: sft"),
    ],
)
@pytest.mark.usefixtures("home")
def test_the_line_of_a_stage_shows_how_it_ended(state: str, line: str) -> None:
    found = live_view()
    if state != "running":
        found.set_state("sft", "running")
        found.advance(1, 2, "", {"loss": 2.0})
        found.advance(2, 2, "", {"loss": 1.0})
    found.set_state("sft", state)
    assert drawn(found)[2] == f"│   {line}"


@pytest.mark.usefixtures("home")
def test_the_evaluation_is_shown_if_there_is_one() -> None:
    found = live_view()
    found.set_state(EVALUATION, "running")
    assert "├── ▶ evaluate: base, sft" in drawn(found)
    assert EVALUATION not in live_view(LONG).stages


@pytest.mark.usefixtures("home")
def test_no_line_is_wider_than_the_terminal() -> None:
    found = live_view(width=50)
    found.set_state("dpo", "running")
    summary = "step 10/20  loss 0.6  " + "much more " * 9
    found.advance(10, 20, summary[: found.text_width], {"loss": 0.6})
    found.warn("kl is 0.5; healthy is at most 0.2. " * 3)
    lines = drawn(found)
    assert max(map(len, lines)) <= 50
    assert len(lines) == 8
    assert "step 10/20" in "".join(lines)


@pytest.mark.usefixtures("home")
def test_if_the_terminal_is_too_small_the_part_around_the_running_stage_is_shown() -> None:
    found = live_view(LONG, height=8)
    with found:
        found.set_state("s9", "running")
        lines = drawn(found)
    assert len(lines) == 6
    assert "▶ s9: sft" in "".join(lines)
    assert len(drawn(found)) == 16  # the last frame is complete


@pytest.mark.usefixtures("home")
def test_the_terminal_is_restored_and_log_lines_are_above() -> None:
    found = live_view()
    assert isinstance(found.console.file, io.StringIO)
    with found:
        found.set_state("sft", "running")
        found.console.print("saved")
        with found.suspended():
            assert found.console.file.getvalue().endswith("\x1b[?25h")  # the cursor is shown
    with pytest.raises(RuntimeError), found:
        raise RuntimeError
    text = found.console.file.getvalue()
    assert text.endswith("\x1b[?25h")
    assert "saved" in text


@pytest.mark.usefixtures("home")
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    found = live_view()
    with found:
        found.set_state("sft", "failed")
    assert isinstance(found.console.file, io.StringIO)
    assert "\x1b[3" not in found.console.file.getvalue()  # codes 30 to 38 are colors


@pytest.mark.usefixtures("home")
def test_an_ascii_terminal_gets_ascii_marks() -> None:
    found = live_view()
    found.set_state("sft", "failed")

    class Ascii(io.StringIO):
        encoding = "ascii"  # the attribute of a text file

    console = Console(file=Ascii(), width=80)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    assert "x sft: sft  failed" in console.file.getvalue()
    assert console.file.getvalue().isascii()
