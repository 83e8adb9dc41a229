import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tests.checking import checked, dialogue, encoding, write_rows
from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.check.check import CheckResult
from upbring.data.check.check_page import _format_counts, print_check


def page(result: CheckResult, *, width: int = 80, color: str | None = None, **kind: object) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=str(kind.get("encoding", "utf-8")))
    system = "standard" if color else None
    console = Console(
        file=file, width=width, highlight=False, force_terminal=bool(color), color_system=system
    )  # type: ignore[arg-type]  # a literal
    print_check(console, result)
    file.seek(0)
    return file.read()


def of(folder: Path, *rows: dict[str, object], using: RecordEncoder | None = None) -> CheckResult:
    return checked(write_rows(folder / "a.jsonl", rows), using)


def test_a_file_is_summarized(tmp_path: Path) -> None:
    rows = [{**dialogue("a b", "c"), "id": 1}, dialogue("a b", "d", "e f", "g", system="h")]
    lines = [line.split() for line in page(of(tmp_path, *rows)).splitlines()]
    assert lines[1:6] == [
        ["format", "messages", "→", "demonstrations"],
        ["fields", "not", "read:", "id"],
        ["rows", "2"],
        ["turns", "2", "in", "1", "dialogue,", "5", "in", "1"],
        ["roles", "user", "3,", "assistant", "3,", "system", "1"],
    ]
    assert ["words", "shortest", "median", "90", "%", "99", "%", "longest", "total"] in lines
    assert ["prompt", "2", "2", "6", "6", "6", "8"] in lines
    assert ["words", "together", "rows"] in lines
    assert ["4–7", "█" * 28, "1", "50.0", "%"] in lines


def test_token_counts_are_summarized(tmp_path: Path) -> None:
    text = page(of(tmp_path, dialogue("hi", "ho"), using=encoding()))
    assert "3 of 24 tokens (12 %)" in text
    assert "the file's; a turn ends with <|im_end|>" in text


def test_comparisons_and_labels_and_documents_are_summarized(tmp_path: Path) -> None:
    ranked = {"prompt": "a", "responses": ["b", "c", "d"], "ranks": [1, 2, 2]}
    text = page(of(tmp_path, ranked))
    assert "3 each" in text
    assert "2, 1 comparison with ties" in text
    assert "«between these» is compared" in text
    soft = {"prompt": "a", "chosen": "b", "rejected": "c", "probability": 0.8, "weight": 2}
    assert "soft labels  1 comparison, mean 0.8" in page(of(tmp_path, soft))
    labelled = {"prompt": "a", "response": "b", "label": True}
    text = page(of(tmp_path, labelled))
    assert "labels → labeled responses" in text
    assert "good 1, bad 0" in text
    assert "«between these» is trained on, labeled good" in text
    text = page(of(tmp_path, {"text": "abcdef"}, using=encoding(max_length=4)))
    assert "3 of at most 4 tokens" in text
    assert "template" not in text


def test_trained_tokens_are_marked_with_and_without_color(tmp_path: Path) -> None:
    result = of(tmp_path, dialogue("hi", "ho", "hu", "hm"), using=encoding())
    plain = page(result)
    assert "«ho<|im_end|>»" in plain
    assert "«hm<|im_end|>»" in plain
    assert "\x1b" not in plain
    colored = page(result, color="standard")
    assert "«" not in colored
    assert "\x1b[32mho\x1b[0m" in colored  # green
    assert "\x1b[32mgreen\x1b[0m" in colored


def test_nothing_is_wider_than_80_columns(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    rows = [dialogue("Mail ada@example.org " * 30, "w" * 300)] * 3
    text = page(of(folder, *rows, using=encoding(max_length=2000)))
    assert max(map(len, text.splitlines())) <= 80


def test_the_page_is_readable_in_ascii(tmp_path: Path) -> None:
    result = of(tmp_path, dialogue("hi", "ho"), dialogue("yes", "no"))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    print_check(Console(file=file, width=80, highlight=False), result)
    file.seek(0)
    text = file.read()
    assert "#" * 28 in text
    assert "ok rows" in text


def test_places_of_warnings_are_few_and_short(tmp_path: Path) -> None:
    text = page(of(tmp_path, *[dialogue("a", "b")] * 9))
    assert "a.jsonl:2 same as line 1" in text
    assert f"{tmp_path}/a.jsonl:2" not in text
    assert "and 5 more" in text


def test_text_of_the_data_is_neither_control_code_nor_markup(tmp_path: Path) -> None:
    row = dialogue("[bold]hi[/bold] \x1b[2J", "ho")
    text = page(of(tmp_path, {**row, "\x1b[2Jx": 1}), color="standard")
    assert "[bold]hi[/bold] <U+001B>[2J" in text
    assert "\x1b[2J" not in text


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({2: 5}, "2 each"),
        ({2: 1000, 4: 1}, "2 in 1,000 rows, 4 in 1"),
        (dict.fromkeys(range(2, 10), 1), "2 to 9, 5.5 on average"),
    ],
)
def test_numbers_are_listed_while_they_are_few(counts: dict[int, int], expected: str) -> None:
    assert _format_counts(Counter(counts), "row") == expected
