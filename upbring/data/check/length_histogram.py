"""Quantiles and a power-of-two histogram of lengths; stores 8 bytes per row."""

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(slots=True)
class Lengths:
    """The length of one part of each row, such as the prompt, in the order of the rows."""

    values: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, value: int) -> None:
        """Add one length."""
        self.values.append(value)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def total(self) -> int:
        """The sum of all lengths."""
        return int(np.sum(self._array))

    @property
    def quantiles(self) -> tuple[int, ...]:
        """The minimum, median, 90 %, 99 % and maximum; each is a length that occurs."""
        quantiles = np.quantile(self._array, QUANTILES, method="inverted_cdf")
        return tuple(int(value) for value in quantiles)

    @property
    def bins(self) -> list[tuple[int, int, int]]:
        """(First length, last length, count) of each power of two between minimum and maximum.

        >>> lengths = Lengths(array("q", [1, 3, 4, 4, 9]))
        >>> lengths.bins
        [(1, 1, 1), (2, 3, 1), (4, 7, 2), (8, 15, 1)]
        """
        if not len(self):
            return []
        _, powers = np.frexp(self._array)  # n = m · 2^power, ½ ≤ m < 1: 4 … 7 have power 3
        lowest = int(powers.min())
        counts = np.bincount(powers - lowest).tolist()
        return [
            ((1 << power) >> 1, max((1 << power) - 1, 0), count)
            for power, count in enumerate(counts, lowest)
        ]

    @property
    def _array(self) -> npt.NDArray[np.int64]:
        return np.array(self.values, dtype=np.int64)
