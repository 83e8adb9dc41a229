import sys
from types import ModuleType, SimpleNamespace

import pytest

from upbring.api import notebook
from upbring.api.notebook import Content, NotebookProgress, make_console, make_display


class Cell:
    """The output of a cell: the contents that were shown in it, one after another."""

    def __init__(self) -> None:
        self.shown: list[Content] = []

    def display(self, content: Content, *, raw: bool, display_id: bool) -> "Cell":
        assert raw
        assert display_id
        assert not self.shown
        return self.update(content, raw=raw)

    def update(self, content: Content, *, raw: bool) -> "Cell":
        assert raw
        self.shown.append(content)
        return self


def test_one_bar_is_updated_in_place_a_few_times_a_second() -> None:
    cell, times = Cell(), iter([0.0, 0.1, 0.3, 0.31])
    progress = NotebookProgress(cell.display, clock=lambda: next(times))
    for step in (1, 2, 3, 4):
        progress.advance(step, 4, f"step {step}/4  loss < 2", {"loss": 2.0})
    assert [each["text/plain"] for each in cell.shown] == [
        "step 1/4  loss < 2",
        "step 3/4  loss < 2",
        "step 4/4  loss < 2",
    ]
    assert cell.shown[-1]["text/html"] == (
        '<progress value="4" max="4"></progress> <code>step 4/4  loss &lt; 2</code>'
    )


def kernel(monkeypatch: pytest.MonkeyPatch, shell: object, cell: Cell) -> None:
    """Let this process look like one of IPython with this shell."""
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    monkeypatch.setattr(ipython, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setattr(display, "display", cell.display, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)


def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert make_display() is None
    assert make_console().file is sys.stderr
    kernel(monkeypatch, SimpleNamespace(), Cell())  # IPython in a terminal
    assert make_display() is None
    kernel(monkeypatch, SimpleNamespace(kernel=object()), Cell())
    assert isinstance(make_display(), NotebookProgress)
    assert make_console().file is sys.stdout


def test_messages_are_plain_lines_in_the_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel(monkeypatch, SimpleNamespace(kernel=object()), Cell())
    notebook.make_log()("[bold] stays text")
    assert capsys.readouterr().out == "[bold] stays text\n"
