"""Texts that are kept to be compared: which stand twice, and which held-out ones are trained on.

Of every text eight bytes are kept, which tell exact copies. The texts themselves are kept up to a
bound, and near copies are sought among those alone; `num_compared` says among how many.
"""

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from upbring.data.check.duplicates import Pair, near_duplicates, normalise, overlap
from upbring.data.read.records import Origin

MOST_TEXTS = 50_000
MOST_CHARACTERS = 50_000_000
LONGEST = 20_000  # characters of a text that are compared for near copies


@dataclass(slots=True)
class Texts:
    """Texts in their order, and where each was read."""

    keeps: bool = True  # whether near copies are to be sought
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    kept: list[str] = field(default_factory=list)
    _files: list[tuple[int, str]] = field(default_factory=list)  # from which place on, which file
    _num_characters: int = 0

    def add(self, text: str, origin: Origin) -> None:
        """Keep one more text."""
        if not self._files or self._files[-1][1] != origin.file:
            self._files.append((len(self), origin.file))
        plain = normalise(text).encode("utf-8", "surrogatepass")
        self.digests.append(int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest()))
        self.lines.append(origin.line)
        has_room = len(self.kept) < MOST_TEXTS and self._num_characters < MOST_CHARACTERS
        if self.keeps and has_room and len(self.kept) == len(self) - 1:
            self.kept.append(text[:LONGEST])
            self._num_characters += len(self.kept[-1])

    def __len__(self) -> int:
        return len(self.digests)

    def num_distinct(self, start: int, stop: int) -> int:
        """Return the number of different texts from place `start` to `stop`."""
        return len(np.unique(self.numbers[start:stop]))

    def where(self, place: int) -> str:
        """Return the file and line of the text at a place."""
        return f"{self._file(place)}:{self.lines[place]}"

    def where_too(self, place: int, other: str) -> str:
        """Return the same, the file left out if it is that of `other`, a place named before."""
        file = self._file(place)
        is_same = other.rpartition(":")[0] == file
        return f"line {self.lines[place]}" if is_same else f"{file}:{self.lines[place]}"

    def _file(self, place: int) -> str:
        return next(name for first, name in reversed(self._files) if first <= place)

    def copies(self) -> list[Pair]:
        """Return every text that stood before, paired with the first that is equal."""
        _, first, inverse = np.unique(self.numbers, return_index=True, return_inverse=True)
        earlier = first[inverse]
        again = np.flatnonzero(earlier != np.arange(len(self)))
        return [Pair(int(earlier[k]), int(k), 1.0) for k in again]

    def near_copies(self) -> list[Pair]:
        """Return the kept texts that are nearly but not exactly equal to an earlier one."""
        return near_duplicates(self.kept)

    def copied_from(self, train: "Texts") -> list[Pair]:
        """Return every text that stands in `train` too, paired with its first place there."""
        values, first = np.unique(train.numbers, return_index=True)
        if not len(values):
            return []
        place = np.minimum(np.searchsorted(values, self.numbers), len(values) - 1)
        both = np.flatnonzero(values[place] == self.numbers)
        return [Pair(int(k), int(first[place[k]]), 1.0) for k in both]

    def nearly_copied_from(self, train: "Texts") -> list[Pair]:
        """Return the kept texts that are nearly but not exactly equal to one of `train`'s."""
        return list(overlap(self.kept, train.kept).near)

    @property
    def numbers(self) -> npt.NDArray[np.uint64]:
        """The digests as an array: uint64 [texts]."""
        return np.array(self.digests, dtype=np.uint64)
