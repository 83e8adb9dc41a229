"""Detect the format of a data file from the fields of its first rows and the wanted record type.

Rows are not validated here: `format_table` defines the formats, `formats` reads the records.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from upbring.data.read import dialogue, files
from upbring.data.read.field_use import FieldUse, TrackedFields, UnreadField
from upbring.data.read.format_readers import ParsedExample
from upbring.data.read.format_table import (
    COLUMN_NAMES,
    FORMAT_NAMES,
    FORMATS,
    PREFERENCE_FORMATS,
    RecordType,
    RowFormat,
    RowReader,
)
from upbring.data.read.guess_columns import (
    PROMPT_WORDS,
    respelled_columns,
    response_like_columns,
    same_meaning_columns,
    similar_names,
    suggest_columns,
)
from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Message, Prompt
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields, read_rows
from upbring.errors import InputError, format_value, nearest

_NUM_SNIFFED_ROWS = 50
_MAX_LISTED = 12
_MAX_NAME_LENGTH = 40
_COLUMNS_PREFIX = "columns:"
_PLURALS: dict[RecordType, str] = {
    Document: "documents",
    Prompt: "prompts",
    Demonstration: "prompt-response pairs",
    Comparison: "preference pairs",
    Label: "labeled responses",
}
_COMMANDS: dict[RecordType, str] = {
    Document: "`upbring pretrain`",
    Prompt: "`upbring ppo`",
    Demonstration: "`upbring sft`",
    Comparison: "`upbring reward` or `upbring dpo`",
    Label: "`upbring kto`",
}


@dataclass(frozen=True)
class DetectedFormat:
    """A detected format: its displayed name, row reader, columns to rename, and ignored fields.

    `unread_fields` are those of the first rows; `RecordReader.field_use` has those of all rows.
    """

    name: str
    read_row: RowReader | None  # None for plain text, which has no fields
    columns: dict[str, str] = field(default_factory=dict)
    unread_fields: tuple[str, ...] = ()
    response_like_fields: tuple[str, ...] = ()  # unread ones that may be responses
    is_prompt: bool = False  # whether rows are read as prompts, whose functions read all columns
    is_guessed: bool = False  # whether the columns were guessed from their names

    def rename_fields(self, row: Fields) -> Fields:
        """Return the row with its columns renamed to the field names of the format."""
        return _rename_columns(row, self.columns) if self.columns else row

    def __str__(self) -> str:
        use = "for reward functions" if self.is_prompt else "ignored"
        unread_note = f"; {use}: {join_names(self.unread_fields)}" if self.unread_fields else ""
        return f"format {self.name}{unread_note}"


def detect_format(path: Path, want: RecordType, *, format: str = "auto") -> DetectedFormat:  # noqa: A002 -- the setting's name
    """Return the format with which the file is read as records of type `want`.

    Raises InputError if no format, or only a format for other record types, matches the rows.
    """
    suffix = files.extension(path)
    requested = format.strip()
    if suffix == ".txt":
        files.check_path(path)
        return _detect_plain_text(path, want, requested)
    columns = _parse_columns(requested) if requested.startswith(_COLUMNS_PREFIX) else {}
    if not columns and requested not in {"auto", *FORMAT_NAMES}:
        suggestion = nearest(requested, FORMAT_NAMES)
        hint = f"did you mean {suggestion}? " if suggestion else ""
        raise InputError(
            f"--format {requested}: unknown format; {hint}use auto, columns:prompt=NAME,… "
            f"or one of {', '.join(FORMAT_NAMES)}"
        )
    sniffed_rows = _first_rows(path)
    is_guessed = False
    if columns:
        _check_columns(path, columns, sniffed_rows)
    elif requested == "auto":
        columns = _guess_columns(path, want, sniffed_rows)
        is_guessed = bool(columns)
    renamed_rows = [_rename_columns(row, columns) for row in sniffed_rows]
    row_format = (
        _choose_format(path, want, renamed_rows)
        if columns or requested == "auto"
        else _format_by_name(requested, renamed_rows)
    )
    if want not in row_format.record_types + row_format.forced_types:
        raise InputError(_wrong_format_message(path, want, row_format))
    column_text = ", ".join(f"{new}={old}" for new, old in columns.items())
    name = f"{row_format.name} ({column_text})" if columns else row_format.name
    detected = DetectedFormat(name, row_format.reader_for(want), columns, is_guessed=is_guessed)
    unread = tuple(_find_unread(detected, want, sniffed_rows))
    response_like = tuple(response_like_columns(unread, sniffed_rows))
    return replace(
        detected,
        unread_fields=unread,
        response_like_fields=response_like,
        is_prompt=want is Prompt,
    )


def read_tracked(
    detected: DetectedFormat, want: RecordType, row: Fields, *, field_use: FieldUse
) -> list[ParsedExample]:
    """Return the examples of a row, and record which of its fields were read."""
    tracked = TrackedFields(detected.rename_fields(row))
    try:
        if want is Document or detected.read_row is None:
            text = dialogue.require_text(tracked.get("text"), "text")
            return [ParsedExample((Message("user", text),))]
        return detected.read_row(tracked)
    finally:
        columns = detected.columns
        field_use.add(row, {columns.get(name, name) for name in tracked.names_read})


def _find_unread(
    detected: DetectedFormat, want: RecordType, sniffed_rows: list[Fields]
) -> dict[str, UnreadField]:
    """Return the fields of the first rows that the format does not read."""
    field_use = FieldUse()
    for row in sniffed_rows:
        with suppress(RowError, UnusedError):
            read_tracked(detected, want, row, field_use=field_use)
    return field_use.unread


def join_names(names: Iterable[str]) -> str:
    """Return the names joined for a message, at most twelve of them.

    >>> join_names(["a", "b c"])
    'a, b c'
    """
    all_names = list(names)
    more = f" and {len(all_names) - _MAX_LISTED} more" if len(all_names) > _MAX_LISTED else ""
    shown_names = [
        n if n.isprintable() and len(n) < _MAX_NAME_LENGTH else format_value(n)
        for n in all_names[:_MAX_LISTED]
    ]
    return ", ".join(shown_names) + more


def _detect_plain_text(path: Path, want: RecordType, requested: str) -> DetectedFormat:
    if want not in {Document, Prompt}:
        raise InputError(
            f"{path}: contains plain text, but {_PLURALS[want]} are needed; "
            f"use {_COMMANDS[Document]}, "
            'or write rows such as {"prompt": "…", "response": "…"} into a .jsonl file'
        )
    if requested not in {"auto", "text"}:
        raise InputError(f"--format {requested}: {path} is plain text; use auto or text")
    return DetectedFormat("text" if want is Document else "text (one prompt per line)", None)


def _first_rows(path: Path) -> list[Fields]:
    """Return the first well-formed rows, skipping any number of malformed ones."""
    malformed = Malformed(path, None)
    well_formed: list[Fields] = []
    total = 0
    for row in read_rows(path):
        total += 1
        if row.problem is not None:
            malformed.add(row, row.problem)
        else:
            well_formed.append(row.fields)
            if len(well_formed) == _NUM_SNIFFED_ROWS:
                break
    if not well_formed:
        raise malformed.make_error(total)
    return well_formed


def _choose_format(path: Path, want: RecordType, sniffed_rows: list[Fields]) -> RowFormat:
    """Return the format that matches most rows; ties go to the first in the table."""

    def best(formats: list[RowFormat]) -> RowFormat | None:
        num_matches = {one.name: sum(map(one.matches, sniffed_rows)) for one in formats}
        row_format = max(formats, key=lambda one: num_matches[one.name])
        return row_format if num_matches[row_format.name] else None

    # Rows with a good-or-bad label look like demonstrations, but bad ones must not be trained on.
    label_formats = [s for s in FORMATS if s.name == "labels"] if want is Demonstration else []
    row_format = best(label_formats + [s for s in FORMATS if want in s.record_types])
    if row_format is not None and want in row_format.record_types:
        return row_format
    other_format = best(list(FORMATS))
    if other_format is None or (other_format.name == "prompts" and want is not Prompt):
        raise InputError(_unknown_format_message(path, want, sniffed_rows))
    raise InputError(_wrong_format_message(path, want, other_format))


def _format_by_name(name: str, sniffed_rows: list[Fields]) -> RowFormat:
    if name == "preference":
        matching = [s for s in PREFERENCE_FORMATS if any(s.matches(row) for row in sniffed_rows)]
        if matching:
            return max(matching, key=lambda s: sum(map(s.matches, sniffed_rows)))
    return next(row_format for row_format in FORMATS if row_format.name == name)


def _parse_columns(format_: str) -> dict[str, str]:
    columns = {}
    for pair in format_.removeprefix(_COLUMNS_PREFIX).split(","):
        new, _, old = (part.strip() for part in pair.partition("="))
        if new not in COLUMN_NAMES or not old:
            suggestion = nearest(new, COLUMN_NAMES)
            hint = f"did you mean {suggestion}? " if suggestion and suggestion != new else ""
            raise InputError(
                f"--format {format_}: {pair!r} is not FIELD=COLUMN; {hint}"
                f"FIELD is one of {', '.join(COLUMN_NAMES)}"
            )
        columns[new] = old
    return columns


def _check_columns(path: Path, columns: dict[str, str], sniffed_rows: list[Fields]) -> None:
    column_names = {name: None for row in sniffed_rows for name in row}
    for old in columns.values():
        if old not in column_names:
            suggestion = nearest(old, column_names)
            hint = f"did you mean {suggestion}? " if suggestion else ""
            raise InputError(
                f"{path}: has no column {old!r}; {hint}its columns are {join_names(column_names)}"
            )


def _rename_columns(row: Fields, columns: dict[str, str]) -> Fields:
    if not columns:
        return row
    return {new: row[old] for new, old in columns.items() if old in row}


def _guess_columns(path: Path, want: RecordType, sniffed_rows: list[Fields]) -> dict[str, str]:
    """Return the columns to rename, if the names fit no format but only one reading of them does.

    A single column that looks like a prompt is enough only if prompts are wanted.
    """
    if any(one.matches(row) for one in FORMATS if want in one.record_types for row in sniffed_rows):
        return {}
    names = list({name: None for row in sniffed_rows for name in row})
    for columns in (respelled_columns(names), same_meaning_columns(names, want)):
        renamed_rows = [_rename_columns(row, columns) for row in sniffed_rows] if columns else []
        for one in FORMATS:
            if want in one.record_types and any(map(one.matches, renamed_rows)):
                return columns
    if want is not Prompt:
        return {}
    prompts = similar_names(sniffed_rows[0], PROMPT_WORDS)
    if len(prompts) > 1:
        raise InputError(_unknown_format_message(path, want, sniffed_rows))
    return {"prompt": prompts[0]} if prompts else {}


def _unknown_format_message(path: Path, want: RecordType, sniffed_rows: list[Fields]) -> str:
    names = {name: None for row in sniffed_rows for name in row}
    known_formats = "; ".join(
        f"{s.name} ({s.fields_text})" for s in FORMATS if want in s.record_types
    )
    todo = f"name the columns: --format columns:{suggest_columns(list(names), want)}"
    if len(sniffed_rows) == 1 and (
        inside := next((n for n, v in sniffed_rows[0].items() if _is_row_list(v)), None)
    ):
        todo = f"its rows are inside {format_value(inside)}: save only that list as the file"
    return (
        f"{path}: its fields {join_names(names)} match no format for {_PLURALS[want]}: "
        f"{known_formats}; {todo}"
    )


def _is_row_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _wrong_format_message(path: Path, want: RecordType, row_format: RowFormat) -> str:
    *first, last = (_PLURALS[kind] for kind in row_format.record_types)
    plurals = " or ".join([", ".join(first), last]) if first else last
    command = _COMMANDS[row_format.record_types[0]]
    purpose = "to train on the chosen responses" if want is Demonstration else "to read it anyway"
    force_hint = (
        f", or {purpose} give --format {row_format.name}" if want in row_format.forced_types else ""
    )
    return (
        f"{path}: is in the format {row_format.name} ({row_format.fields_text}), "
        f"which gives {plurals}, not {_PLURALS[want]}; use {command}{force_hint}"
    )
