"""Read the rows of a file: the fields of each row and its first line, or what is wrong with it.

JSON lines, JSON lists, CSV and TSV are read here; Parquet, Arrow and Hub datasets in `tables`.
Files are streamed. The meaning of the fields is not known here.
"""

import csv
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from upbring.data.read import files, tables
from upbring.data.read.json_list import list_elements
from upbring.data.read.row_errors import RowError
from upbring.errors import InputError, format_value
from upbring.plurals import format_count

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its first line, its original text, and its fields or its problem."""

    line: int
    raw: str
    fields: Fields
    problem: RowError | None = None


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file in order; raises InputError where it cannot be read further."""
    return with_read_errors(path, _iterate_rows(path))


def with_read_errors(path: Path, row_iterator: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows; raises InputError if reading fails or there are no rows."""
    line = 0
    try:
        for row in row_iterator:
            line = row.line
            yield row
    except RowError as error:
        location = f"{path}:{error.line}" if error.line else str(path)
        raise InputError(f"{location}: {error}") from error
    except (EOFError, zlib.error) as error:
        raise InputError(
            f"{path}:{line + 1}: file: its gzip data is truncated or corrupt "
            f"after the row on line {line} ({error}); copy or download the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{line + 1}: file: is not the {error.encoding} that its byte-order mark "
            f"declares ({error.reason}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}:{line + 1}: file: cannot be read further ({error}); "
            "copy or download the file again"
        ) from error
    if line == 0:
        raise InputError(f"{path}: contains no rows; write rows into it, or name another file")


def parse_object(text: str) -> Fields:
    """Return the object in a JSON text; raises RowError if it is not an object.

    >>> parse_object('{"text": "a", "text": "b"}')
    Traceback (most recent call last):
    upbring.data.read.row_errors.RowError: text: is given twice in one object; keep one of them
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise RowError(
            "row", f"is {format_value(value)}, not an object", 'write it as {"field": "value", …}'
        )
    return value


def parse_json(text: str) -> object:
    """Return the value of a JSON text; raises RowError if it is not valid JSON."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        location = f"column {error.colno}" if error.lineno == 1 else f"its line {error.lineno}"
        todo = "fix it there: check commas, and close strings and brackets"
        raise RowError("row", f"is not JSON ({error.msg} at {location})", todo) from error
    except RecursionError as error:
        raise RowError("row", "is nested too deeply", "flatten it") from error
    except ValueError as error:
        todo = "write the number as text in quotes"
        raise RowError("row", f"contains a number that cannot be read ({error})", todo) from error


def _iterate_rows(path: Path) -> Iterator[Row]:
    if files.is_hub(path):
        yield from _table_rows(tables.read_hub(path))
        return
    files.check_path(path)
    kind = files.extension(path)
    if kind in {".parquet", ".arrow"}:
        read_table = tables.read_parquet if kind == ".parquet" else tables.read_arrow
        yield from _table_rows(read_table(path))
        return
    assert kind != ".txt", "plain text has no rows; `plain_text` reads it"
    is_table = kind in {".csv", ".tsv"}
    with files.open_text(path, newline="" if is_table else None) as stream:
        if is_table:
            yield from _csv_rows(stream, delimiter="\t" if kind == ".tsv" else None)
        else:
            yield from _json_rows(stream)


def _table_rows(fields_iterator: Iterator[Fields]) -> Iterator[Row]:
    for number, fields in enumerate(fields_iterator, 1):
        yield Row(number, json.dumps(fields, default=repr), fields)


def _json_rows(stream: TextIO) -> Iterator[Row]:
    if _first_character(stream) == "[":
        for line, raw in list_elements(stream):
            yield _json_row(line, raw)
        return
    is_first = True
    for line, raw in _numbered_lines(stream):
        if raw.isspace():
            continue
        if is_first and raw.rstrip().endswith(("{", "[")):
            todo = 'write one object per line (jq -c), or a list of them: [{"…": …}, …]'
            raise RowError("file", "contains an object that spans several lines", todo, line=line)
        is_first = False
        yield _json_row(line, raw.removesuffix("\n"))


def _first_character(stream: TextIO) -> str:
    """Return the first character that is not white space, and rewind the stream."""
    character = stream.read(1)
    while character.isspace():
        character = stream.read(1)
    stream.seek(0)
    return character


def _json_row(line: int, raw: str) -> Row:
    problem = files.find_bad_bytes(raw)
    if problem is None:
        try:
            return Row(line, raw, parse_object(raw))
        except RowError as error:
            problem = error
    return Row(line, raw, {}, problem)


def _numbered_lines(stream: TextIO) -> Iterator[tuple[int, str]]:
    line = 0
    while text := stream.readline(files.ROW_LIMIT):
        line += 1
        if len(text) == files.ROW_LIMIT:
            todo = "check that it is text with one row per line"
            raise RowError("row", f"is longer than {len(text)} characters", todo, line=line)
        yield line, text


def _csv_rows(stream: TextIO, *, delimiter: str | None) -> Iterator[Row]:
    """Yield the rows of a table; without a delimiter, that of its header."""
    csv.field_size_limit(files.ROW_LIMIT)
    consumed: list[str] = []
    lines = _numbered_lines(stream)

    def record_lines() -> Iterator[str]:
        for _, text in lines:
            consumed.append(text)
            yield text

    text_lines = record_lines()
    first = next((text for text in text_lines if not text.isspace()), "")
    delimiter = delimiter or _delimiter(first)
    header, start = _parse_header(first, text_lines, delimiter=delimiter), len(consumed) + 1
    consumed.clear()
    reader = csv.reader(text_lines, strict=True, delimiter=delimiter)
    while True:
        problem, cells = None, None
        try:
            cells = next(reader, None)
        except csv.Error as error:
            todo = 'put quotes around the whole cell and double those inside it: "a ""b"" c"'
            problem = RowError("row", f"is not CSV ({error})", todo)
        if cells is None and problem is None:
            return
        line, raw = start, "".join(consumed)
        start += len(consumed)
        consumed.clear()
        if cells or problem:
            yield _csv_row(line, raw, header, cells=cells or [], problem=problem)


def _csv_row(
    line: int, raw: str, header: list[str], *, cells: list[str], problem: RowError | None
) -> Row:
    problem = problem or files.find_bad_bytes(raw)
    if problem is None and len(cells) != len(header):
        found = f"has {format_count(len(cells), 'cell')}, the header has {len(header)}"
        todo = "put quotes around a cell that contains commas, quotes or line breaks"
        problem = RowError("row", found, todo)
    if problem is not None:
        return Row(line, raw, {}, problem)
    return Row(line, raw, dict(zip(header, cells, strict=True)))


def _delimiter(header: str) -> str:
    """Return the delimiter: the most frequent of comma, semicolon and tab in the header."""
    return max(",;\t", key=header.count)


def _parse_header(first: str, text_lines: Iterator[str], *, delimiter: str) -> list[str]:
    def all_lines() -> Iterator[str]:
        yield first
        yield from text_lines

    if (problem := files.find_bad_bytes(first)) is not None:
        raise problem
    try:
        cells = next(csv.reader(all_lines(), strict=True, delimiter=delimiter), [])
    except csv.Error as error:
        todo = "name the columns in the first line, in quotes if a name contains commas"
        raise RowError("header", f"is not CSV ({error})", todo, line=1) from error
    header = [cell.strip() for cell in cells]
    counts = Counter(header)
    for name in header:
        if not name.isprintable():
            found = f"names the column {format_value(name)}"
            raise RowError("header", found, "delete its invisible characters", line=1)
        if name and counts[name] > 1:
            found = f"names the column {format_value(name)} twice"
            raise RowError("header", found, "rename or delete one of the two", line=1)
    return header


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name, count in counts.items() if count > 1)
        raise RowError(
            format_value(duplicate).strip("'\""), "is given twice in one object", "keep one of them"
        )
    return fields


def _reject_constant(text: str) -> NoReturn:
    raise RowError("row", f"contains {text}, which is not valid JSON", "write null or a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_fields, parse_constant=_reject_constant)
