from pathlib import Path

import pytest

from upbring.data.read import plain_text
from upbring.errors import InputError


def _documents(tmp_path: Path, content: bytes) -> list[tuple[int, object]]:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    return [(row.line, row.fields["text"]) for row in plain_text.read_documents(path)]


def test_a_file_is_one_document_with_its_white_space(tmp_path: Path) -> None:
    assert _documents(tmp_path, b"  one\r\n\r\n two \n") == [(1, "  one\n\n two \n")]


def test_dividers_separate_documents(tmp_path: Path) -> None:
    text = b"a\nb\n<|endoftext|>\nc\n\f\n\n\f\nd says <|endoftext|> here"
    assert _documents(tmp_path, text) == [
        (1, "a\nb\n"),
        (4, "c\n"),
        (8, "d says <|endoftext|> here"),
    ]


def test_long_documents_are_split_without_losing_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_text, "PIECE_CHARACTERS", 100)
    text = "".join(f"{'x' * 30} {k}\n" + ("\n" if k % 3 == 0 else "") for k in range(60))
    found = _documents(tmp_path, text.encode())
    assert "".join(str(piece) for _, piece in found) == text
    assert len(found) > 5
    assert all(str(piece).endswith("\n\n") for _, piece in found[:-1])
    assert [line for line, _ in found][1] == text[: len(str(found[0][1]))].count("\n") + 1


def test_a_document_without_line_ends_is_split_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_text, "PIECE_CHARACTERS", 100)
    found = _documents(tmp_path, b"x" * 1050)
    assert "".join(str(piece) for _, piece in found) == "x" * 1050
    assert {line for line, _ in found} == {1}


def test_a_byte_that_is_not_utf8_is_reported_on_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nfine\ncaf\xe9\n")
    (row,) = plain_text.read_documents(path)
    assert (row.line, str(row.problem)[:28]) == (3, "row: byte 4 (0xe9) is not UT")


def test_lines_are_prompts_without_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b" Who?\r\n\nWhat? \n")
    found = [(row.line, row.fields["text"]) for row in plain_text.read_lines(path)]
    assert found == [(1, " Who?"), (3, "What? ")]


def test_a_blank_file_has_no_documents(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no rows"):
        _documents(tmp_path, b"\n \n")
