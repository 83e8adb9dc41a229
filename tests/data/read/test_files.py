import gzip
from pathlib import Path

import pytest

from upbring.data.read import files
from upbring.data.read.row_errors import RowError
from upbring.errors import InputError


def _text(path: Path) -> str:
    with files.open_text(path) as stream:
        return stream.read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_in_every_encoding_that_can_be_detected(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    path.write_bytes(mark + "naïve 猫\n".encode(encoding))
    assert _text(path) == "naïve 猫\n"


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt"])
def test_gzip_is_detected_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"hello"))
    assert _text(tmp_path / name) == "hello"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "zip archive"),
        (b"PAR1rest", "parquet"),
        (b"BZh91AY", "bunzip2"),
        (b"\x28\xb5\x2f\xfdxx", "zstd -d"),
        (b"\xff\xfe\x00\x00a\x00\x00\x00", "iconv -f UTF-32"),
        ("hello there".encode("utf-16-le"), "without a byte-order mark; convert it with: iconv"),
    ],
)
def test_an_unsupported_file_type_is_named_with_what_to_do(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(RowError) as caught:
        _text(path)
    assert message in str(caught.value)


def test_a_gz_file_must_be_gzip_data(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_text("{}")
    with pytest.raises(RowError, match=r"remove \.gz from its name"):
        _text(tmp_path / "a.jsonl.gz")


def test_a_missing_file_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(
        InputError, match=r"trian\.jsonl: does not exist; did you mean train\.jsonl"
    ):
        files.check_path(tmp_path / "trian.jsonl")
    with pytest.raises(InputError, match="nor does the folder"):
        files.check_path(tmp_path / "no" / "train.jsonl")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder; name a file in it, such as a.csv"),
        ("a.xlsx", "'.xlsx' is not supported; use"),
    ],
)
def test_a_path_that_is_no_data_file_is_reported(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a.csv").write_text("text\nhello\n")
    (tmp_path / "a.xlsx").write_text("text\n")
    with pytest.raises(InputError) as caught:
        files.check_path(tmp_path / name)
    assert message in str(caught.value)


def test_an_empty_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(InputError, match="is empty; write rows into it"):
        files.check_path(tmp_path / "a.jsonl")


def test_a_byte_of_another_encoding_is_reported_with_its_position() -> None:
    raw = b'{"text": "\xc3\xa9t\xe9"}'.decode("utf-8", "surrogateescape")
    problem = files.find_bad_bytes(raw)  # 10 bytes {"text": ", then C3 A9 t, then E9
    assert str(problem).startswith("row: byte 14 (0xe9) is not UTF-8; convert the file")
    assert files.find_bad_bytes("été") is None


def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        files.open_bytes(tmp_path / "nothing")


def test_a_url_and_a_name_of_the_hub_are_answered_with_what_to_write() -> None:
    for name, reason in (
        ("https://example.com/a.jsonl", "is a URL, which is never fetched"),
        ("no-such-owner/data", "write hub:no-such-owner/data for a data set of the hub"),
    ):
        with pytest.raises(InputError, match=reason):
            files.check_path(Path(name))
