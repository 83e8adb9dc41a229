import pytest

from upbring import errors
from upbring.errors import Interrupted, UpbringError, format_value, nearest


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UpbringError", 1),
        ("InputError", 2),
        ("ResourceError", 3),
        ("ResumeError", 4),
        ("DivergedError", 5),
        ("GateError", 6),
        ("Interrupted", 130),
    ],
)
def test_every_error_has_its_exit_code(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, UpbringError)
    error = kind("chat.jsonl:17: found; do")
    assert error.exit_code == code
    assert str(error) == "chat.jsonl:17: found; do"


def test_an_interruption_has_the_exit_code_of_its_signal() -> None:
    assert Interrupted("stopped", signal_number=15).exit_code == 143


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("RANK", ["alpha", "rank"]) == "rank"
    assert nearest("rnak", ["alpha", "rank"]) == "rank"
    assert nearest("rank", []) is None


def test_a_value_is_shown_on_one_line_and_no_longer_than_asked() -> None:
    assert format_value("a\nb") == r"'a\nb'"
    assert format_value("x" * 60, limit=62) == repr("x" * 60)
    for value in ("y" * 90, list(range(90)), dict.fromkeys(range(90), "z")):
        text = format_value(value)
        assert len(text) <= 60
        assert "…" in text
        assert text[-1] == repr(value)[-1]
