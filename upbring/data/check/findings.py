"""What a check found: a level, a count, places and advice. Knows no data and no screen."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["fine", "note", "warning", "failure"]
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: a failure forbids training, a warning does not."""

    level: Level
    title: str
    found: str
    todo: str = ""
    examples: tuple[str, ...] = ()
    num_more: int = 0  # examples that are not shown

    def __str__(self) -> str:
        return f"{self.title}: {self.found}" + (f"; {self.todo}" if self.todo else "")


@dataclass(slots=True)
class Tally:
    """A count of something and the first places where it was seen."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    def finding(self, level: Level, title: str, *, found: str, todo: str = "") -> Finding:
        """Return the finding of this count."""
        examples = tuple(self.examples)
        return Finding(level, title, found, todo, examples, self.count - len(examples))


def told(findings: Iterable[Finding]) -> str:
    """Return the failures as the one error of a check, '' if there are none."""
    known = [finding for finding in findings if finding.level != "note"]
    failures = [finding for finding in known if finding.level == "failure"]
    if not failures:
        return ""
    lines = [
        f"check: {len(failures)} of {len(known)} checks failed; correct this, then check again"
    ]
    for finding in failures:
        lines += [str(finding), *(f"  {example}" for example in finding.examples)]
        if finding.num_more:
            lines.append(f"  and {finding.num_more:,} more")
    return "\n".join(lines)


def percent(share: float, digits: int = 0) -> str:
    """Return a share as it is told.

    >>> percent(0.405), percent(0.405, 1)
    ('40 %', '40.5 %')
    """
    return f"{100 * share:.{digits}f} %"


def of(count: int, total: int, what: str) -> str:
    """Return a count as a sentence begins with it.

    >>> of(3, 1100, "rows"), of(1, 1, "rows")
    ('3 of 1,100 rows', '1 of 1 rows')
    """
    return f"{count:,} of {total:,} {what}"
