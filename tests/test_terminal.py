"""What a terminal would obey in a user's text is shown as an escape."""

import io

import pytest
from rich.table import Table

from upbring.errors import escape_control
from upbring.terminal import Console

HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\u202ed\u2066e\x9bf\rg"
SHOWN = r"a\x1b]0;title\x07b\x1b[2Jc\u202ed\u2066e\x9bf\rg"


def printed(value: object, *, is_terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=200, color_system="truecolor")
    console.print(value, markup=False, highlight=False, soft_wrap=True)
    return file.getvalue()


def test_control_characters_are_escaped_and_text_is_not() -> None:
    assert escape_control(HOSTILE) == SHOWN
    for text in ("Grüße, 試 👩\u200d🔬\n\tend", r"C:\\x1b"):
        assert escape_control(text) == text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_console_escapes_them_in_lines_and_tables(*, is_terminal: bool) -> None:
    table = Table("name")
    table.add_row(HOSTILE.replace("\r", "").replace("\x07", ""))
    plain = HOSTILE.replace("\r", "").replace("\x07", "")  # rich deletes these
    assert SHOWN.replace(r"\r", "").replace(r"\x07", "") in printed(plain, is_terminal=is_terminal)
    cells = printed(table, is_terminal=is_terminal)
    assert r"a\x1b]0;title" in cells
    assert "\x1b]" not in cells
    assert "\u202e" not in cells


def test_styles_of_our_own_still_work() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor")
    console.print("x", style="bold")
    assert file.getvalue() == "\x1b[1mx\x1b[0m\n"


def test_a_closed_pipe_is_an_error_of_its_own() -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Console(file=Closed()).print("x")
