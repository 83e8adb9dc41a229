import gzip
import json
from pathlib import Path

import pytest

from upbring.data.read.rows import Row, parse_object, read_rows
from upbring.errors import InputError


def _rows(tmp_path: Path, name: str, content: str | bytes) -> list[Row]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path))


def _problems(tmp_path: Path, name: str, content: str | bytes) -> list[tuple[int, str]]:
    found = _rows(tmp_path, name, content)
    return [(row.line, str(row.problem)) for row in found if row.problem]


def test_each_json_line_gives_a_row_and_blank_lines_none(tmp_path: Path) -> None:
    found = _rows(tmp_path, "a.jsonl", '{"a": 1}\r\n\n  \n{"a": "\u2028"}')
    assert [(row.line, row.fields) for row in found] == [(1, {"a": 1}), (4, {"a": "\u2028"})]


def test_a_list_gives_the_line_on_which_each_row_begins(tmp_path: Path) -> None:
    text = json.dumps([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], indent=2)
    assert [row.line for row in _rows(tmp_path, "a.json", text)] == [2, 6]


def test_json_lines_may_be_called_json_and_a_list_jsonl(tmp_path: Path) -> None:
    assert len(_rows(tmp_path, "a.json", '{"a": 1}\n{"a": 2}\n')) == 2
    assert len(_rows(tmp_path, "a.jsonl", '\n [{"a": 1}, {"a": 2}]')) == 2


def test_csv_rows_begin_where_their_first_cell_does(tmp_path: Path) -> None:
    text = '\ufeffprompt,response\n"two\nlines",x\n\nq,"say ""hi"", please"\n'
    found = _rows(tmp_path, "a.csv", text)
    assert found[0].line == 2
    assert [dict(row.fields) for row in found] == [
        {"prompt": "two\nlines", "response": "x"},
        {"prompt": "q", "response": 'say "hi", please'},
    ]
    assert found[1].raw.endswith('q,"say ""hi"", please"\n')


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_cells_may_be_separated_by_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    found = _rows(tmp_path, "a.csv", f'prompt{mark}response\r\n"a{mark}b"{mark}c\r\n')
    assert found[0].fields == {"prompt": f"a{mark}b", "response": "c"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', "is not JSON (Expecting ',' delimiter at column 8)"),
        ("{'a': 1}", "is not JSON"),
        ('{"a": NaN}', "contains NaN, which is not valid JSON"),
        ('{"a": -Infinity}', "contains -Infinity"),
        ('{"a": 1, "a": 2}', "a: is given twice in one object"),
        ('{"m": [{"b": 1, "b": 2}]}', "b: is given twice"),
        ("17", "is 17, not an object"),
        ("null", "is None, not an object"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "contains a number that cannot be read"),
        ('{"a": "\x01"}', "is not JSON (Invalid control character"),
        ('{"a": "\x00"}', "is not JSON (Invalid control character"),
    ],
)
def test_what_is_wrong_with_a_line_is_reported_and_the_next_is_read(
    tmp_path: Path, line: str, message: str
) -> None:
    found = _rows(tmp_path, "a.jsonl", f'{line}\n{{"a": 1}}\n')
    assert message in str(found[0].problem)
    assert (found[1].line, found[1].fields) == (2, {"a": 1})


def test_bytes_that_are_not_utf8_are_reported_with_line_and_position(tmp_path: Path) -> None:
    problems = _problems(tmp_path, "a.jsonl", b'{"a": "x"}\n{"a": "caf\xe9"}\n')
    assert problems[0][0] == 2
    assert "byte 11 (0xe9) is not UTF-8; convert the file" in problems[0][1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,c\n", "has 3 cells, the header has 2; put quotes"),
        ("a\n", "has 1 cell, the header has 2"),
        ('"a"x,b\n', "is not CSV"),
        (b"caf\xe9,b\n", "byte 4 (0xe9) is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_csv_row_is_reported_and_the_next_is_read(
    tmp_path: Path, row: str | bytes, message: str
) -> None:
    raw = row.encode() if isinstance(row, str) else row
    found = _rows(tmp_path, "a.csv", b"prompt,response\n" + raw + b"c,d\n")
    assert message in str(found[0].problem)
    assert found[0].raw.encode("utf-8", "surrogateescape") == raw
    assert (found[1].line, found[1].fields["prompt"]) == (3, "c")


def test_a_quote_that_never_closes_is_reported_where_it_opens(tmp_path: Path) -> None:
    problems = _problems(tmp_path, "a.csv", 'a,b\n1,2\n3,"4\n5,6\n')
    assert problems == [(3, problems[0][1])]
    assert "is not CSV (unexpected end of data)" in problems[0][1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv:1: header: names the column 'a' twice"),
        ("a.csv", "a,b\n", "contains no rows"),
        ("a.jsonl", " \n\n", "contains no rows"),
        ("a.json", "[]", "contains no rows"),
        ("a.json", '[{"a": 1}', "a.json:1: file: ends without the closing ]"),
        ("a.json", '{\n "a": 1\n}', "a.json:1: file: contains an object that spans several lines"),
        ("a.jsonl.gz", "hello", "file: is not gzip data"),
        ("a.jsonl", b"\xff\xfe{\x00}", "that its byte-order mark declares"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        _rows(tmp_path, name, content)
    assert message in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_gzip_is_reported_with_the_line_reached(tmp_path: Path, damage: str) -> None:
    content = gzip.compress(b"".join(b'{"a": %d}\n' % k for k in range(5000)))
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content = content[:-8] + b"\0\0\0\0" + content[-4:]
    with pytest.raises(InputError) as caught:
        _rows(tmp_path, "a.jsonl.gz", content)
    assert "after the row on line" in str(caught.value) or "cannot be read further" in str(
        caught.value
    )
    assert "download" in str(caught.value)


def test_a_field_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    big = "é" * 5_000_000
    assert _rows(tmp_path, "a.json", json.dumps([{"a": big}], ensure_ascii=False))[0].fields == {
        "a": big
    }
    assert len(str(_rows(tmp_path, "a.csv", f"a\n{big}\n")[0].fields["a"])) == len(big)


def test_a_row_longer_than_the_limit_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upbring.data.read.files.ROW_LIMIT", 1000)
    with pytest.raises(InputError, match=r"a\.jsonl:2: row: is longer than 1000 characters"):
        _rows(tmp_path, "a.jsonl", '{"a": 1}\n{"a": "' + "x" * 2000 + '"}\n')


def test_parse_returns_the_object() -> None:
    assert parse_object('{"a": {"b": [1.5, true, null]}}') == {"a": {"b": [1.5, True, None]}}


def test_a_tsv_file_is_separated_by_tabs_only(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('question, or query\tanswer\n1, 2\t"a\tb"\n', encoding="utf-8")
    assert [row.fields for row in read_rows(path)] == [
        {"question, or query": "1, 2", "answer": "a\tb"}
    ]


def test_the_time_to_read_a_header_is_linear_in_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    header = ",".join(f"column{k}" for k in range(100_000))  # quadratic: minutes
    path.write_text(f"{header}\n", encoding="utf-8")
    with pytest.raises(InputError, match="contains no rows"):
        list(read_rows(path))
