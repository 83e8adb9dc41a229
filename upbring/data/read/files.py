"""Open data files as decoded text: checks the path, decompresses .gz, detects the encoding.

UTF-8 is read with or without a byte-order mark, UTF-16 only with one. Bytes that are not UTF-8
become lone surrogates (`surrogateescape`), so that an error can name the row that contains them.
Rows are parsed in `rows`.
"""

import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from upbring import durable
from upbring.data.read.row_errors import RowError
from upbring.errors import InputError, nearest

EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
HUB_PREFIX = "hub:"
HUB_ID_PARTS = 2  # owner/name
ROW_LIMIT = 1 << 26  # characters; a longer row means that the file has no rows
_HEAD_BYTES = 4096
_UNSUPPORTED_MAGIC = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet); unpack it, or save the sheet as .csv",
    b"PAR1": "a parquet file; give it the extension .parquet",
    b"ARROW1": "an Arrow file; give it the extension .arrow",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it with: zstd -d FILE",
    b"BZh": "compressed with bzip2; decompress it with: bunzip2 FILE",
    b"\xfd7zXZ\x00": "compressed with xz; decompress it with: unxz FILE",
    b"\xff\xfe\x00\x00": "UTF-32; convert it with: iconv -f UTF-32 -t UTF-8 FILE",
    b"\x00\x00\xfe\xff": "UTF-32; convert it with: iconv -f UTF-32 -t UTF-8 FILE",
}


def is_hub(path: Path) -> bool:
    """Return whether a path names a Hub dataset.

    >>> is_hub(Path("hub:openai/gsm8k:train")), is_hub(Path("hub.jsonl"))
    (True, False)
    """
    return path.as_posix().startswith(HUB_PREFIX)


def extension(path: Path) -> str:
    """Return the lower-case extension of the file name, without .gz.

    >>> extension(Path("chat.JSONL.gz"))
    '.jsonl'
    """
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def check_path(path: Path) -> None:
    """Raise InputError if the path is not a data file, or differs from its folder's manifest.

    The error for a missing file suggests a similar name.
    """
    if path.is_dir():
        data_files = sorted(p.name for p in path.iterdir() if extension(p) in EXTENSIONS)
        todo = f"name a file in it, such as {data_files[0]}" if data_files else "name a data file"
        raise InputError(f"{path}: is a folder; {todo}")
    if not path.exists():
        raise InputError(f"{path}: {_missing_reason(path)}")
    if extension(path) not in EXTENSIONS:
        raise InputError(
            f"{path}: the extension {extension(path) or '(none)'!r} is not supported; "
            "use .jsonl, .json, .csv, .tsv or .txt (each also .gz), .parquet or .arrow"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; write rows into it, or name another file")
    durable.verify_file(path)


@contextmanager
def open_text(path: Path, *, newline: str | None = None) -> Iterator[TextIO]:
    """Yield a text stream of the file; `newline` is that of `open`."""
    with open_bytes(path) as raw:
        magic = raw.read(2)
        raw.seek(0)
        is_gzip = magic == b"\x1f\x8b"
        if path.name.lower().endswith(".gz") and not is_gzip:
            todo = "if it is decompressed already, remove .gz from its name"
            raise RowError("file", "is not gzip data", todo)
        decompressed = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        binary = io.BufferedReader(cast("io.RawIOBase", decompressed), 1 << 18)
        encoding, errors = _detect_encoding(binary.peek(_HEAD_BYTES)[:_HEAD_BYTES])
        with io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline=newline) as text:
            yield text


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to read bytes; raises InputError if that fails."""
    try:
        return path.open("rb")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be opened ({reason}); check its permissions") from error


def find_bad_bytes(raw: str) -> RowError | None:
    r"""Return the error of the first byte that is not UTF-8, or None.

    >>> str(find_bad_bytes(b"caf\xe9".decode("utf-8", "surrogateescape")))[:33]
    'row: byte 4 (0xe9) is not UTF-8; '
    """
    if raw.isascii():
        return None
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        code = ord(raw[error.start])
        position = len(raw[: error.start].encode("utf-8", "surrogateescape")) + 1
        if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 -- the range that surrogateescape uses
            todo = "convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8 FILE"
            return RowError("row", f"byte {position} (0x{code & 0xFF:02x}) is not UTF-8", todo)
        return RowError("row", f"contains a lone surrogate (U+{code:04X})", "delete it")
    return None


def _missing_reason(path: Path) -> str:
    if re.fullmatch(r"[A-Za-z][A-Za-z+.-]+:/.*", str(path)):
        return "is a URL, which is never fetched; save it as a file"
    if not path.suffix and not path.parent.is_dir() and len(path.parts) == HUB_ID_PARTS:
        return (
            f"does not exist, nor does the folder {path.parent}; check the path, or write "
            f"{HUB_PREFIX}{path.as_posix()} for a data set of the hub"
        )
    if not path.parent.is_dir():
        return f"does not exist, nor does the folder {path.parent}; check the path"
    names = [p.name for p in path.parent.iterdir()]
    suggestion = nearest(path.name, names)
    return (
        f"does not exist; did you mean {suggestion}?"
        if suggestion
        else "does not exist; check the path"
    )


def _detect_encoding(head: bytes) -> tuple[str, str]:
    for magic, description in _UNSUPPORTED_MAGIC.items():
        if head.startswith(magic):
            found, todo = f"is {description}".split("; ", 1)
            raise RowError("file", found, todo)
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig", "surrogateescape"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", "surrogatepass"
    half = len(head) // 2
    if half and max(head[::2].count(0), head[1::2].count(0)) > half * 0.6:
        todo = "convert it with: iconv -f UTF-16LE -t UTF-8 FILE"
        raise RowError("file", "looks like UTF-16 without a byte-order mark", todo)
    return "utf-8", "surrogateescape"
