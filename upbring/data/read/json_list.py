"""Split a JSON list of any length into the texts of its elements, without parsing them.

Only brackets and strings are tracked, so an element that is not valid JSON does not affect the
elements after it.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from upbring.data.read.files import ROW_LIMIT
from upbring.data.read.row_errors import RowError

_CHUNK = 1 << 18
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|["\[{\]}]', re.DOTALL)  # a lone quote never closes
_SCALAR = re.compile(r'"(?:[^"\\]++|\\.)*+"|[^,\]\s"]+', re.DOTALL)
_SPACE = re.compile(r"\s*")


def list_elements(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each element of the JSON list in `stream`."""
    window = _StreamWindow(stream)
    if window.peek() != "[":
        raise RowError("file", "is not a list of rows", "begin it with [", line=window.line)
    window.take(1)
    is_first = True
    while (character := window.peek()) != "]":
        if not is_first:
            _check_comma(window, character)
            character = window.peek()
        if character in {"", "]", ","}:
            raise _unfinished_error(window, character)
        line, end = window.line, window.element_length()
        if end is None:
            todo = "close its bracket or quote, or copy the file again"
            raise RowError("row", "is not closed", todo, line=line)
        yield line, window.take(end)
        is_first = False
    window.take(1)
    if window.peek():
        todo = "delete it; one file holds one list"
        raise RowError("file", "text follows the closing ]", todo, line=window.line)


def _check_comma(window: "_StreamWindow", character: str) -> None:
    if character == ",":
        window.take(1)
    elif character:
        todo = "put a comma between the rows"
        raise RowError("file", f"{character!r} follows a row", todo, line=window.line)


def _unfinished_error(window: "_StreamWindow", character: str) -> RowError:
    if character:
        return RowError(
            "file", f"',' is followed by {character!r}", "delete the comma", line=window.line
        )
    todo = "add it, or copy the file again: it looks truncated"
    return RowError("file", "ends without the closing ]", todo, line=window.line)


class _StreamWindow:
    """The part of the stream that is in memory, the position in it, and the line number there."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.position = 0
        self.line = 1

    def peek(self) -> str:
        """Move to the next character that is not white space and return it, or '' at the end."""
        while True:
            match = _SPACE.match(self.text, self.position)
            assert match is not None, "a pattern that matches the empty string always matches"
            self.take(match.end() - self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if not self._read_more():
                return ""

    def take(self, length: int) -> str:
        """Return the next `length` characters and move past them."""
        start, self.position = self.position, self.position + length
        self.line += self.text.count("\n", start, self.position)
        return self.text[start : self.position]

    def element_length(self) -> int | None:
        """Return the length of the element that begins here, or None if the file ends inside it."""
        while (end := self._element_end()) is None:
            if len(self.text) - self.position > ROW_LIMIT:
                todo = "check that its brackets and quotes close"
                raise RowError(
                    "row", f"is longer than {ROW_LIMIT} characters", todo, line=self.line
                )
            if not self._read_more():
                return None
        return end - self.position

    def _element_end(self) -> int | None:
        if self.text[self.position] not in "[{":
            scalar = _SCALAR.match(self.text, self.position)
            is_whole = scalar is not None and scalar.end() < len(self.text)
            return scalar.end() if scalar is not None and is_whole else None
        depth = 0
        for token in _TOKEN.finditer(self.text, self.position):
            character = token.group()
            if character in "[{":
                depth += 1
            elif character in "]}":
                depth -= 1
                if depth == 0:
                    return token.end()
            elif character == '"':
                return None
        return None

    def _read_more(self) -> bool:
        """Double the text in memory, so that a long row is rescanned only a few times."""
        remaining = self.text[self.position :]
        more = self.stream.read(max(_CHUNK, len(remaining)))
        self.text, self.position = remaining + more, 0
        return bool(more)
