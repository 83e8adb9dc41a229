"""What a check found: a level, a count, places and advice. Knows no data and no screen."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

FindingLevel = Literal["fine", "note", "warning", "failure"]
MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing that was looked at: a failure forbids training, a warning does not."""

    level: FindingLevel
    title: str
    message: str
    todo: str = ""
    examples: tuple[str, ...] = ()
    num_hidden: int = 0  # examples that are not shown

    def __str__(self) -> str:
        return f"{self.title}: {self.message}" + (f"; {self.todo}" if self.todo else "")


@dataclass(slots=True)
class ExampleTally:
    """A count of something and the first places where it was seen."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)

    def make_finding(
        self, level: FindingLevel, title: str, *, message: str, todo: str = ""
    ) -> CheckFinding:
        """Return the finding of this count."""
        examples = tuple(self.examples)
        return CheckFinding(level, title, message, todo, examples, self.count - len(examples))


def format_failures(findings: Iterable[CheckFinding]) -> str:
    """Return the failures as the one error of a check, '' if there are none."""
    checks = [finding for finding in findings if finding.level != "note"]
    failures = [finding for finding in checks if finding.level == "failure"]
    if not failures:
        return ""
    lines = [
        f"check: {len(failures)} of {len(checks)} checks failed; correct this, then check again"
    ]
    for finding in failures:
        lines += [str(finding), *(f"  {example}" for example in finding.examples)]
        if finding.num_hidden:
            lines.append(f"  and {finding.num_hidden:,} more")
    return "\n".join(lines)


def format_percent(share: float, digits: int = 0) -> str:
    """Return a share as it is told.

    >>> format_percent(0.405), format_percent(0.405, 1)
    ('40 %', '40.5 %')
    """
    return f"{100 * share:.{digits}f} %"


def format_count(count: int, total: int, noun: str) -> str:
    """Return a count as a sentence begins with it.

    >>> format_count(3, 1100, "rows"), format_count(1, 1, "rows")
    ('3 of 1,100 rows', '1 of 1 rows')
    """
    return f"{count:,} of {total:,} {noun}"
