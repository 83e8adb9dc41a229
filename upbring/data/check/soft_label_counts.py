"""Counts of the soft labels and weights of comparisons, for the page of `check`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from upbring.data.read.records import Comparison
from upbring.plurals import format_count


@dataclass(slots=True)
class NumberRange:
    """How many numbers there are, their sum, the lowest and the highest."""

    count: int = 0
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, number: float | None) -> None:
        """Count a number, if there is one."""
        if number is not None:
            self.count += 1
            self.total += number
            self.lowest, self.highest = min(self.lowest, number), max(self.highest, number)

    def __str__(self) -> str:
        """Return the mean and the range.

        >>> numbers = NumberRange()
        >>> numbers.add(0.5), numbers.add(1), str(numbers)
        (None, None, 'mean 0.75, from 0.5 to 1')
        """
        return f"mean {self.total / self.count:.3g}, from {self.lowest:.3g} to {self.highest:.3g}"


@dataclass(slots=True)
class SoftLabelCounts:
    """The probabilities and weights of the comparisons of a file."""

    probabilities: NumberRange = field(default_factory=NumberRange)
    weights: NumberRange = field(default_factory=NumberRange)
    num_undecided: int = 0  # with probability ½

    def add(self, record: Comparison) -> None:
        """Count one comparison."""
        self.probabilities.add(record.probability)
        self.weights.add(record.weight)
        self.num_undecided += record.probability == 0.5  # noqa: PLR2004 -- neither is better

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of what the comparisons have."""
        if self.probabilities.count:
            undecided = f"; {self.num_undecided:,} at ½" if self.num_undecided else ""
            comparisons = format_count(self.probabilities.count, "comparison")
            yield "soft labels", f"{comparisons}, {self.probabilities}{undecided}"
        if self.weights.count:
            yield "weights", f"{format_count(self.weights.count, 'comparison')}, {self.weights}"
