import io

import pytest
from rich.console import Console

from upbring.train.table_layouts import (
    make_table,
    natural_width,
    note_layouts,
    print_table,
    table_layouts,
)

HEADINGS = ("run", "status", "started")
ROWS = [("a-run-of-20-letters!", "interrupted", "2026-01-02 10:11"), ("[b]", "finished", "now")]


def printed(width: int, *, is_terminal: bool = True, optional: tuple[str, ...] = ()) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=is_terminal, color_system=None)
    print_table(console, [*table_layouts(HEADINGS, ROWS, optional=optional)])
    return output.getvalue()


def test_a_table_that_fits_has_all_columns() -> None:
    assert printed(60).splitlines()[1].split() == [*ROWS[0][:2], "2026-01-02", "10:11"]


def test_a_narrow_terminal_loses_optional_columns_first() -> None:
    text = printed(40, optional=("started",))
    assert "started" not in text
    assert "a-run-of-20-letters!" in text
    assert "interrupted" in text


@pytest.mark.parametrize("width", [30, 40])
def test_then_each_row_is_a_block_of_lines(width: int) -> None:
    lines = [line.split() for line in printed(width).splitlines()]
    assert ["a-run-of-20-letters!"] in lines
    assert ["started", "2026-01-02", "10:11"] in lines


def test_an_output_that_is_no_terminal_gets_whole_lines() -> None:
    assert len(printed(30, is_terminal=False).splitlines()) == len(ROWS) + 1


def test_cells_are_no_markup() -> None:
    assert "[b]" in printed(60)


def test_notes_move_below_a_table_that_is_too_wide() -> None:
    layouts = [*note_layouts(("stage", "time"), [("sft", "1 s")], {"sft": "long " * 20})]
    console = Console(width=30)
    widths = [natural_width(console, layout.table) for layout in layouts]
    assert widths[0] > 100
    assert (widths[1], layouts[1].notes) == (11, ("sft: " + "long " * 20,))


def test_the_natural_width_is_that_of_the_longest_line() -> None:
    assert natural_width(Console(width=10), make_table(["a"], [["b" * 50]])) == 50
