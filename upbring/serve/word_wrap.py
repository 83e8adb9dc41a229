"""Wraps streamed text between words, as wide as the terminal is at the moment.

A word is written when its end is known. Wide characters (Chinese, Japanese, Korean) need no spaces,
and each counts as a word; a word that is wider than the terminal is broken there.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len

WIDE = 2  # cells


def terminal_width() -> int:
    """Return the number of columns of the terminal."""
    return shutil.get_terminal_size().columns


@dataclass(slots=True)
class WordWrap:
    """A function that writes pieces of text; `write` receives them with line ends."""

    write: Callable[[str], None]
    width: Callable[[], int] = terminal_width
    _column: int = 0
    _spaces: str = ""  # before the word
    _word: str = ""

    def __call__(self, text: str) -> None:
        """Write a piece of text, except its last word."""
        width = self.width()
        out: list[str] = []
        for character in text:
            if character == "\n":
                out.append(self._take_word(width) + "\n")
                self._column, self._spaces = 0, ""
            elif character.isspace():
                out.append(self._take_word(width))
                self._spaces += character
            else:
                size = cell_len(character)
                if size == WIDE or cell_len(self._word) + size > width:
                    out.append(self._take_word(width))
                self._word += character
                if size == WIDE:
                    out.append(self._take_word(width))
        if written := "".join(out):
            self.write(written)

    def _take_word(self, width: int) -> str:
        """Return the held word with what separates it from the text before."""
        if not self._word:
            return ""
        word, spaces, self._word, self._spaces = self._word, self._spaces, "", ""
        size = cell_len(spaces) + cell_len(word)
        if self._column and self._column + size > width:
            self._column = cell_len(word)
            return f"\n{word}"
        self._column += size
        return spaces + word
