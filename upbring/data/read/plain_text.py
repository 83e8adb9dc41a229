"""Read a .txt file as documents or as lines; line ends become LF, nothing else is changed.

The file is one document, or several separated by lines that contain only <|endoftext|> or a form
feed. A document longer than PIECE_CHARACTERS is split into pieces, between two paragraphs if
possible.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from upbring.data.read import files
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row, with_read_errors

PIECE_CHARACTERS = 1 << 20
_DIVIDERS = {"<|endoftext|>", "\f"}


def read_documents(path: Path) -> Iterator[Row]:
    """Yield the documents as rows with the field `text`; long documents give several rows."""
    return with_read_errors(path, _document_rows(path))


def read_lines(path: Path) -> Iterator[Row]:
    """Yield each non-blank line as a row with the field `text`, without its line end."""
    return with_read_errors(path, _line_rows(path))


def _line_rows(path: Path) -> Iterator[Row]:
    files.check_path(path)
    with files.open_text(path) as stream:
        for number, text in enumerate(iter(lambda: stream.readline(PIECE_CHARACTERS), ""), 1):
            if not text.isspace():
                line = text.removesuffix("\n")
                yield Row(number, text, {"text": line}, files.find_bad_bytes(line))


@dataclass
class _Piece:
    """The part of a document that was read since the last split."""

    begin: int
    chunks: list[str] = field(default_factory=list)
    size: int = 0
    problem: RowError | None = None

    def add(self, text: str, line: int) -> None:
        self.chunks.append(text)
        self.size += len(text)
        found = files.find_bad_bytes(text)
        if self.problem is None and found is not None:
            self.problem = found
            self.begin = line  # the error names the line of the bad byte

    def is_full(self, last: str) -> bool:
        """Return whether to split here: after a paragraph if one ends soon, else after a line."""
        return (
            (self.size >= PIECE_CHARACTERS and last.isspace())
            or (self.size >= 2 * PIECE_CHARACTERS and last.endswith("\n"))
            or self.size >= 3 * PIECE_CHARACTERS
        )

    def row(self) -> Row:
        text = "".join(self.chunks)
        return Row(self.begin, text, {"text": text}, self.problem)


def _document_rows(path: Path) -> Iterator[Row]:
    files.check_path(path)
    with files.open_text(path) as stream:
        line, piece = 1, _Piece(1)
        while text := stream.readline(PIECE_CHARACTERS):
            ends_line = text.endswith("\n")
            is_divider = text.removesuffix("\n") in _DIVIDERS
            if not is_divider:
                piece.add(text, line)
            line += ends_line
            if is_divider or piece.is_full(text):
                yield from _nonblank_row(piece)
                piece = _Piece(line)
        yield from _nonblank_row(piece)


def _nonblank_row(piece: _Piece) -> Iterator[Row]:
    """Yield the piece unless it is blank, as between two dividers."""
    row = piece.row()
    if row.raw and not row.raw.isspace():
        yield row
