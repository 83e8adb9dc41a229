"""Keep texts to find duplicates among them, and held-out texts that are also trained on.

An 8-byte digest of every text is kept, by which exact duplicates are found. The texts themselves
are kept up to a limit; near duplicates are searched only among those.
"""

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from upbring.data.check.duplicates import DuplicatePair, near_duplicates, normalize, overlap
from upbring.data.read.records import Origin

MAX_TEXTS = 50_000
MAX_CHARACTERS = 50_000_000
MAX_TEXT_CHARACTERS = 20_000  # characters of a text that are compared for near duplicates


@dataclass(slots=True)
class TextIndex:
    """Texts in the order in which they were added, and where each was read."""

    keeps_texts: bool = True  # needed to find near duplicates
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    texts: list[str] = field(default_factory=list)
    _files: list[tuple[int, str]] = field(default_factory=list)  # (index of first text, file)
    _num_characters: int = 0

    def add(self, text: str, origin: Origin) -> None:
        """Add one text."""
        if not self._files or self._files[-1][1] != origin.file:
            self._files.append((len(self), origin.file))
        normalized = normalize(text).encode("utf-8", "surrogatepass")
        self.digests.append(int.from_bytes(hashlib.blake2b(normalized, digest_size=8).digest()))
        self.lines.append(origin.line)
        has_room = len(self.texts) < MAX_TEXTS and self._num_characters < MAX_CHARACTERS
        if self.keeps_texts and has_room and len(self.texts) == len(self) - 1:
            self.texts.append(text[:MAX_TEXT_CHARACTERS])
            self._num_characters += len(self.texts[-1])

    def __len__(self) -> int:
        return len(self.digests)

    def num_distinct(self, start: int, stop: int) -> int:
        """Return the number of distinct texts with an index from `start` up to `stop`."""
        return len(np.unique(self.digest_array[start:stop]))

    def location(self, index: int) -> str:
        """Return the file and line of the text with this index."""
        return f"{self._file_of(index)}:{self.lines[index]}"

    def short_location(self, index: int, other_location: str) -> str:
        """Return the location without the file name if `other_location` is in the same file."""
        file = self._file_of(index)
        is_same = other_location.rpartition(":")[0] == file
        return f"line {self.lines[index]}" if is_same else f"{file}:{self.lines[index]}"

    def _file_of(self, index: int) -> str:
        return next(name for first, name in reversed(self._files) if first <= index)

    def find_copies(self) -> list[DuplicatePair]:
        """Return every text that repeats an earlier one, paired with the first that is equal."""
        _, first, inverse = np.unique(self.digest_array, return_index=True, return_inverse=True)
        first_index = first[inverse]
        copy_indices = np.flatnonzero(first_index != np.arange(len(self)))
        return [DuplicatePair(int(first_index[k]), int(k), 1.0) for k in copy_indices]

    def find_near_copies(self) -> list[DuplicatePair]:
        """Return the kept texts that are nearly but not exactly equal to an earlier one."""
        return near_duplicates(self.texts)

    def find_copies_in(self, train: "TextIndex") -> list[DuplicatePair]:
        """Return every text that is also in `train`, paired with its first occurrence there."""
        values, first = np.unique(train.digest_array, return_index=True)
        if not len(values):
            return []
        train_position = np.minimum(np.searchsorted(values, self.digest_array), len(values) - 1)
        shared_indices = np.flatnonzero(values[train_position] == self.digest_array)
        return [DuplicatePair(int(k), int(first[train_position[k]]), 1.0) for k in shared_indices]

    def find_near_copies_in(self, train: "TextIndex") -> list[DuplicatePair]:
        """Return the kept texts that are nearly but not exactly equal to a text of `train`."""
        return list(overlap(self.texts, train.texts).near)

    @property
    def digest_array(self) -> npt.NDArray[np.uint64]:
        """The digests as an array: uint64 `[texts]`."""
        return np.array(self.digests, dtype=np.uint64)
