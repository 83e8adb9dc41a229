"""Read records from data files of any supported format: the entry point of this package.

`format_table` lists the row formats, `rows` reads the file types. A file is streamed row by row.
Malformed rows are counted and reported after the last row; none is dropped silently.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar, cast

from upbring.data.read import files, plain_text
from upbring.data.read.detect_format import DetectedFormat, detect_format, read_tracked
from upbring.data.read.field_use import FieldUse
from upbring.data.read.format_readers import ParsedExample
from upbring.data.read.format_table import RecordType
from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Origin,
    Prompt,
    Record,
)
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Row, read_rows
from upbring.errors import InputError
from upbring.plurals import format_count

R = TypeVar("R", bound=Record)


def discard_message(_: str) -> None:
    """Ignore the message: the default for `log`."""


def read_records(
    path: Path,
    want: type[R],
    *,
    format: str = "auto",  # noqa: A002 -- the setting's name
    skip_bad: Path | None = None,
    log: Callable[[str], None] = discard_message,
) -> "RecordReader[R]":
    """Return a lazy reader of the records of a file; the format is detected here.

    `skip_bad` is the file to which malformed rows are written instead of raising an error.
    """
    if skip_bad is not None and skip_bad.resolve() == path.resolve():
        raise InputError(f"--skip-bad {skip_bad}: is the data file itself; name another file")
    detected = detect_format(path, cast("RecordType", want), format=format)
    log(f"{path}: {detected}")
    return RecordReader(path, want, detected_format=detected, skip_bad=skip_bad, log=log)


class RecordReader(Generic[R]):
    """The records of one file; each iteration reads it from the beginning and resets the counts.

    Raises InputError after the last row if rows are malformed and `skip_bad` is None, or if there
    is no record. `unused` counts well-formed rows that cannot be trained on, by reason.
    """

    def __init__(
        self,
        path: Path,
        want: type[R],
        *,
        detected_format: DetectedFormat,
        skip_bad: Path | None = None,
        log: Callable[[str], None] = discard_message,
    ) -> None:
        self.path = path
        self.want: type[R] = want
        self.recognised = detected_format
        self.skip_bad = skip_bad
        self.notice = log
        self.num_rows = 0
        self.num_malformed = 0
        self.num_not_shown = 0  # malformed rows that the error does not list
        self.num_records = 0
        self.unused: Counter[str] = Counter()
        self.field_use = FieldUse()

    @property
    def format(self) -> str:
        """The displayed name of the format."""
        return self.recognised.name

    def __iter__(self) -> Iterator[R]:
        self.num_rows = self.num_malformed = self.num_records = 0
        self.unused.clear()
        self.field_use = FieldUse()
        malformed = Malformed(self.path, self.skip_bad)
        try:
            yield from self._records(malformed)
        except InputError as error:
            if self.skip_bad is None:
                raise malformed.make_error(self.num_rows, last_line=str(error)) from error
            raise
        finally:
            self.num_not_shown = malformed.num_not_shown
            malformed.flush()
        self._report_problems(malformed)

    def _records(self, malformed: Malformed) -> Iterator[R]:
        for row in self._rows():
            self.num_rows += 1
            try:
                parsed = self.parse_row(row)
            except RowError as problem:
                self.num_malformed += 1
                malformed.add(row, problem)
                continue
            except UnusedError as reason:
                self.unused[str(reason)] += 1
                continue
            self.num_records += len(parsed)
            yield from parsed

    def _rows(self) -> Iterator[Row]:
        if files.extension(self.path) != ".txt":
            return read_rows(self.path)
        is_whole = self.want is Document
        return (
            plain_text.read_documents(self.path) if is_whole else plain_text.read_lines(self.path)
        )

    def parse_row(self, row: Row) -> list[R]:
        """Return the records of one row; trees, instances and pairs may give several."""
        if row.problem is not None:
            raise row.problem
        origin = Origin(str(self.path), row.line)
        want = cast("RecordType", self.want)
        examples = read_tracked(self.recognised, want, row.fields, field_use=self.field_use)
        make = _RECORD_MAKERS[want]
        return cast("list[R]", [record for each in examples for record in make(each, origin)])

    def _report_problems(self, malformed: Malformed) -> None:
        for reason, count in self.unused.items():
            self.notice(
                f"{self.path}: "
                f"{format_count(count, 'row', total=self.num_rows, verb='is')} not used: {reason}"
            )
        if malformed.count and self.skip_bad is None:
            raise malformed.make_error(self.num_rows)
        if malformed.count:
            self.notice(
                f"{self.path}: {malformed.summary(self.num_rows)} and saved in {self.skip_bad}"
                f"{malformed.main_problem(self.num_rows)}"
            )
        if not self.num_records:
            raise InputError(
                f"{self.path}: none of its {format_count(self.num_rows, 'row')} can be used; "
                "fix them, or name another file"
            )


def _make_document(example: ParsedExample, origin: Origin) -> list[Record]:
    return [Document(example.prompt[0].content, origin)]


def _make_prompt(example: ParsedExample, origin: Origin) -> list[Record]:
    return [Prompt(example.prompt, origin)]


def _make_demonstration(example: ParsedExample, origin: Origin) -> list[Record]:
    """Return the dialogue with its best response."""
    if example.is_good is False:
        raise UnusedError("its response is labeled bad")
    best = example.ranks.index(min(example.ranks)) if example.ranks else 0
    answer = Message("assistant", example.responses[best])
    return [Demonstration((*example.prompt, answer), origin)]


def _make_comparison(example: ParsedExample, origin: Origin) -> list[Record]:
    return [
        Comparison(
            example.prompt,
            example.responses,
            example.ranks,
            origin,
            example.margin,
            example.annotator,
            example.probability,
            example.weight,
        )
    ]


def _make_labels(example: ParsedExample, origin: Origin) -> list[Record]:
    """Return the labeled response, or a good and a bad one from a pair."""
    if example.is_good is not None:
        return [Label(example.prompt, example.responses[0], example.is_good, origin)]
    if example.ranks[0] == example.ranks[1]:
        raise UnusedError("neither response is preferred")
    good, bad = (text for _, text in sorted(zip(example.ranks, example.responses, strict=True)))
    return [Label(example.prompt, good, True, origin), Label(example.prompt, bad, False, origin)]  # noqa: FBT003 -- a record's field


_RECORD_MAKERS: dict[RecordType, Callable[[ParsedExample, Origin], list[Record]]] = {
    Document: _make_document,
    Prompt: _make_prompt,
    Demonstration: _make_demonstration,
    Comparison: _make_comparison,
    Label: _make_labels,
}
