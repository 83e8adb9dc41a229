"""How long things are: quantiles and a histogram in powers of two, of whole numbers kept apart.

Eight bytes are kept of each row, not the row.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(slots=True)
class Lengths:
    """Lengths of one side of the rows, in the order of the rows."""

    values: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, value: int) -> None:
        """Keep one more."""
        self.values.append(value)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def total(self) -> int:
        """The sum of all."""
        return int(np.sum(self._array))

    @property
    def quantiles(self) -> tuple[int, ...]:
        """The shortest, median, 90 %, 99 % and longest: each a length that occurs."""
        found = np.quantile(self._array, QUANTILES, method="inverted_cdf")
        return tuple(int(value) for value in found)

    @property
    def bins(self) -> list[tuple[int, int, int]]:
        """First length, last length and count of each power of two between shortest and longest.

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
