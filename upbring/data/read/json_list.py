"""A JSON list → the text of its elements one by one, however long the list; parses nothing.

Only brackets and strings are looked at, so an element that is not JSON spoils nothing after it.
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


def elements(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Yield (line on which it begins, text) of each element of the list that `stream` holds."""
    window = _Window(stream)
    if window.peek() != "[":
        raise RowError("file", "is no list of rows", "begin it with [", line=window.line)
    window.skip(1)
    is_first = True
    while (mark := window.peek()) != "]":
        if not is_first:
            _check_comma(window, mark)
            mark = window.peek()
        if mark in {"", "]", ","}:
            raise _unfinished(window, mark)
        line, end = window.line, window.end_of_element()
        if end is None:
            todo = "close its bracket or quote, or copy the file again"
            raise RowError("row", "never ends", todo, line=line)
        yield line, window.skip(end)
        is_first = False
    window.skip(1)
    if window.peek():
        todo = "delete it; one file holds one list"
        raise RowError("file", "text follows the closing ]", todo, line=window.line)


def _check_comma(window: "_Window", mark: str) -> None:
    if mark == ",":
        window.skip(1)
    elif mark:
        todo = "put a comma between the rows"
        raise RowError("file", f"{mark!r} follows a row", todo, line=window.line)


def _unfinished(window: "_Window", mark: str) -> RowError:
    if mark:
        return RowError(
            "file", f"',' is followed by {mark!r}", "delete the comma", line=window.line
        )
    todo = "add it, or copy the file again: it looks cut off"
    return RowError("file", "ends without the closing ]", todo, line=window.line)


class _Window:
    """The part of the stream that is in memory, the place in it, and that place's line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.place = 0
        self.line = 1

    def peek(self) -> str:
        """Return the next character that is no space, or '' at the end; moves to it."""
        while True:
            match = _SPACE.match(self.text, self.place)
            assert match is not None, "a pattern that matches the empty string always matches"
            self.skip(match.end() - self.place)
            if self.place < len(self.text):
                return self.text[self.place]
            if not self._grow():
                return ""

    def skip(self, length: int) -> str:
        """Return the next `length` characters and move behind them."""
        start, self.place = self.place, self.place + length
        self.line += self.text.count("\n", start, self.place)
        return self.text[start : self.place]

    def end_of_element(self) -> int | None:
        """Return the length of the element that begins here, None if the file ends before it."""
        while (end := self._closing()) is None:
            if len(self.text) - self.place > ROW_LIMIT:
                todo = "check that its brackets and quotes close"
                raise RowError(
                    "row", f"is longer than {ROW_LIMIT} characters", todo, line=self.line
                )
            if not self._grow():
                return None
        return end - self.place

    def _closing(self) -> int | None:
        if self.text[self.place] not in "[{":
            scalar = _SCALAR.match(self.text, self.place)
            is_whole = scalar is not None and scalar.end() < len(self.text)
            return scalar.end() if scalar is not None and is_whole else None
        depth = 0
        for token in _TOKEN.finditer(self.text, self.place):
            mark = token.group()
            if mark in "[{":
                depth += 1
            elif mark in "]}":
                depth -= 1
                if depth == 0:
                    return token.end()
            elif mark == '"':
                return None
        return None

    def _grow(self) -> bool:
        """Read as much again as is kept, so that a long row is scanned a few times only."""
        kept = self.text[self.place :]
        more = self.stream.read(max(_CHUNK, len(kept)))
        self.text, self.place = kept + more, 0
        return bool(more)
