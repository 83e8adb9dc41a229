"""The clock is turned by hand; frames are drawn as text, and on a terminal that is a string."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from upbring.pipeline.live_view import EVALUATION, LiveView
from upbring.pipeline.spec import read_recipe

ROAD = """
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
    """Stands still until it is turned."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("d.jsonl").touch()
    return tmp_path


def board(
    text: str = ROAD, *, clock: Clock | None = None, width: int = 90, height: int = 40
) -> LiveView:
    Path("r.yaml").write_text(text)
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    return LiveView(
        read_recipe(Path("r.yaml")), Path("out"), console=console, clock=clock or Clock()
    )


def drawn(board: LiveView) -> list[str]:
    """Return the lines of a frame."""
    console = Console(file=io.StringIO(), width=board.console.width, height=board.console.height)
    with console.capture() as found:
        console.print(board)
    return [line.rstrip() for line in found.get().splitlines()]


@pytest.mark.usefixtures("home")
def test_every_stage_is_shown_in_its_state() -> None:
    clock = Clock()
    found = board(clock=clock)
    found.set_state("sft", "running")
    found.advance(1, 50, "step 1/50", {"loss": 2.5})
    clock.now = 80.0
    found.advance(50, 50, "step 50/50", {"loss": 0.75})
    found.set_state("sft", "finished")
    found.set_state("reward", "kept")
    found.set_state("dpo", "running")
    found.advance(10, 20, "step 10/20  loss 0.6", {"loss": 0.6})
    found.warn("kl is 0.3")
    found.warn("kl is 0.5, and healthy is at most 0.2")
    assert drawn(found) == [
        "r.yaml → out",
        "├── base: m",
        "│   └── ✓ sft: sft  loss 2.5 → 0.75  1 min 20 s",
        "│       ├── ✓ reward: reward  finished before",
        "│       └── ▶ dpo: dpo ━━━━━━━━━━           step 10/20  loss 0.6",
        "│           └── ! kl is 0.5, and healthy is at most 0.2 (and 1 before)",
        "├── · evaluate: base, sft",
        "└── gates: facts >= 0.5",
    ]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("failed", "└── ✗ sft: sft  failed  loss 2 → 1"),
        ("interrupted", "└── ‖ sft: sft  interrupted  loss 2 → 1"),
        ("waiting", "└── … sft: sft  waits for people  loss 2 → 1"),
        ("running", "└── ▶ sft: sft"),
    ],
)
@pytest.mark.usefixtures("home")
def test_how_a_stage_ended_stands_beside_it(state: str, line: str) -> None:
    found = board()
    if state != "running":
        found.set_state("sft", "running")
        found.advance(1, 2, "", {"loss": 2.0})
        found.advance(2, 2, "", {"loss": 1.0})
    found.set_state("sft", state)
    assert drawn(found)[2] == f"│   {line}"


@pytest.mark.usefixtures("home")
def test_the_evaluation_has_its_place_where_there_is_one() -> None:
    found = board()
    found.set_state(EVALUATION, "running")
    assert "├── ▶ evaluate: base, sft" in drawn(found)
    assert EVALUATION not in board(LONG).stages


@pytest.mark.usefixtures("home")
def test_no_line_is_wider_than_the_terminal() -> None:
    found = board(width=50)
    found.set_state("dpo", "running")
    told = "step 10/20  loss 0.6  " + "much more " * 9
    found.advance(10, 20, told[: found.text_width], {"loss": 0.6})
    found.warn("kl is 0.5, and healthy is at most 0.2. " * 3)
    lines = drawn(found)
    assert max(map(len, lines)) <= 50
    assert len(lines) == 8
    assert "step 10/20" in "".join(lines)


@pytest.mark.usefixtures("home")
def test_of_a_road_higher_than_the_terminal_what_is_around_the_present_is_shown() -> None:
    found = board(LONG, height=8)
    with found:
        found.set_state("s9", "running")
        lines = drawn(found)
    assert len(lines) == 6
    assert "▶ s9: sft" in "".join(lines)
    assert len(drawn(found)) == 16  # at the end all of it


@pytest.mark.usefixtures("home")
def test_the_terminal_is_given_back_and_what_is_said_stands_above() -> None:
    found = board()
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
def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    found = board()
    with found:
        found.set_state("sft", "failed")
    assert isinstance(found.console.file, io.StringIO)
    assert "\x1b[3" not in found.console.file.getvalue()  # codes 30 to 38 are colours


@pytest.mark.usefixtures("home")
def test_a_terminal_that_knows_ascii_alone_gets_plain_marks() -> None:
    found = board()
    found.set_state("sft", "failed")

    class Ascii(io.StringIO):
        encoding = "ascii"  # as a file has it

    console = Console(file=Ascii(), width=80)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    assert "x sft: sft  failed" in console.file.getvalue()
    assert console.file.getvalue().isascii()
