"""Reads the votes in a file of another tool; the format is detected from the first row.

Nothing is imported from a file with a malformed row: the error names its line.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from upbring.data.read import files
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row, parse_object, read_rows
from upbring.errors import InputError
from upbring.votes.importing import (
    annotated_pairs,
    argilla,
    chatbot_arena,
    label_studio,
    potato,
)
from upbring.votes.importing.imported_vote import ImportedVotes

VoteFormat = Literal["argilla", "label-studio", "potato", "chatbot-arena", "annotated-pairs"]
VOTE_FORMATS: tuple[VoteFormat, ...] = get_args(VoteFormat)
ROW_FORMATS: Mapping[
    VoteFormat, tuple[Callable[[Fields], bool], Callable[[Row, ImportedVotes], None]]
] = {
    "argilla": (argilla.is_argilla, argilla.read_argilla),
    "label-studio": (label_studio.is_label_studio, label_studio.read_label_studio),
    "chatbot-arena": (chatbot_arena.is_chatbot_arena, chatbot_arena.read_chatbot_arena),
}


def read_export(path: Path, *, items: Path | None = None) -> tuple[VoteFormat, ImportedVotes]:
    """Return the format and the votes of a file; `items` is the data file of a Potato study."""
    found = ImportedVotes()
    text, fields = _read_object(path)
    if annotated_pairs.is_annotated_pairs(fields):
        with _located(path):
            lines = _element_lines(text, "comparisons")
            annotated_pairs.read_annotated_pairs(fields, found, lines=lines)
        return "annotated-pairs", found
    if potato.is_potato(fields):
        with _located(path):
            lines_by_id = _key_lines(text, fields[potato.STATES])
            potato.read_potato(fields, found, items=_read_items(items, path), lines=lines_by_id)
        return "potato", found
    return _read_row_format(path, found), found


def _read_row_format(path: Path, found: ImportedVotes) -> VoteFormat:
    name: VoteFormat | None = None
    for row in read_rows(path):
        with _located(path, line=row.line):
            if row.problem is not None:
                raise row.problem
            name = name or _detect(row.fields)
            matches, read_row = ROW_FORMATS[name]
            if not matches(row.fields):
                raise RowError("row", f"is none of {name}, as the first one is", "split the file")
            read_row(row, found)
    assert name is not None, "a file without rows is an error"
    return name


def _detect(fields: Fields) -> VoteFormat:
    for name, (matches, _) in ROW_FORMATS.items():
        if matches(fields):
            return name
    todo = _other_export(fields)
    if todo:
        raise RowError(
            "row", f"has the fields {', '.join(fields)}, which lack what is needed", todo
        )
    raise RowError(
        "row",
        f"has the fields {', '.join(fields)}, which is no export that is known",
        f"use a file of {', '.join(VOTE_FORMATS)}; comparisons train without an import",
    )


def _other_export(fields: Fields) -> str:
    """Return what to do about a known tool's export that does not have all of a vote."""
    if {"annotator", "annotation_id"} <= fields.keys():
        return "export Label Studio's annotations as JSON, not as JSON-MIN or CSV"
    if any(name.endswith(".responses.users") for name in fields):
        return f"flattened records of Argilla have no ranks; {argilla.EXPORT_ADVICE}"
    if {"instance_id", "user_id", "labels"} <= fields.keys():
        return "import Potato's user_state.json of each annotator, not its exports"
    return ""


def _read_object(path: Path) -> tuple[str, Fields]:
    """Return a file's text and the object that it is; no fields if it has rows."""
    files.check_path(path)
    if files.extension(path) != ".json":
        return "", {}
    with files.open_text(path) as stream:
        text = stream.read()
    try:
        return text, parse_object(text) if text.lstrip().startswith("{") else {}
    except RowError as error:
        raise InputError(f"{path}: {error}") from error


def _read_items(items: Path | None, path: Path) -> Mapping[str, Fields]:
    """Return the rows of the items by id."""
    if items is None:
        raise InputError(
            f"{path}: Potato keeps the texts elsewhere; name the study's data file with --items"
        )
    found: dict[str, Fields] = {}
    for row in read_rows(items):
        with _located(items, line=row.line):
            if row.problem is not None:
                raise row.problem
            item_id = next((row.fields[n] for n in potato.ID_NAMES if n in row.fields), None)
            if item_id is None:
                raise RowError("id", "is missing", "name the file of items that the study shows")
            found[str(item_id)] = row.fields
    return found


def _element_lines(text: str, key: str) -> dict[int, int]:
    """Return the line of each element of the list `key` of an object."""
    decoder = json.JSONDecoder()
    lines: dict[int, int] = {}
    start = text.find(f'"{key}"', text.find('"annotators"') + 1)
    position = text.find("[", start) + 1
    while position < len(text):
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if text[position : position + 1] in {"]", ""}:
            break
        lines[len(lines)] = text.count("\n", 0, position) + 1
        try:
            _, position = decoder.raw_decode(text, position)
        except ValueError:
            break
    return _LinesOrFirst(lines)


class _LinesOrFirst(dict[int, int]):
    """Lines by index; 1 where a key of that name in a text misled the search."""

    def __missing__(self, key: int) -> int:
        return 1


def _key_lines(text: str, answers: object) -> dict[str, int]:
    """Return the line of each key of the object of answers; Potato escapes what is not ASCII."""
    start = max(0, text.find(f'"{potato.STATES}"'))
    keys = answers if isinstance(answers, dict) else {}
    places = {
        key: max(text.find(f"{json.dumps(key, ensure_ascii=e)}:", start) for e in (True, False))
        for key in keys
    }
    return {key: text.count("\n", 0, max(0, place)) + 1 for key, place in places.items()}


@contextmanager
def _located(path: Path, *, line: int = 0) -> Iterator[None]:
    try:
        yield
    except RowError as error:
        where = f"{path}:{error.line or line}" if error.line or line else str(path)
        raise InputError(f"{where}: {error}") from error
