"""Findings of a data check: level, message, advice and examples; without reading or printing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from upbring.plurals import format_count

FindingLevel = Literal["fine", "note", "warning", "failure"]
MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """The result of one check; only the level "failure" prevents training."""

    level: FindingLevel
    title: str
    message: str
    todo: str = ""
    examples: tuple[str, ...] = ()
    num_hidden: int = 0  # number of examples that are not listed

    def __str__(self) -> str:
        return f"{self.title}: {self.message}" + (f"; {self.todo}" if self.todo else "")


@dataclass(slots=True)
class ExampleTally:
    """A count and its first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more, and keep the example if it is among the first."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)

    def make_finding(
        self, level: FindingLevel, title: str, *, message: str, todo: str = ""
    ) -> CheckFinding:
        """Return a finding with the examples of this tally."""
        examples = tuple(self.examples)
        return CheckFinding(level, title, message, todo, examples, self.count - len(examples))


def merge_tallies(tallies: Iterable[ExampleTally]) -> ExampleTally:
    """Return the sum of the tallies of several files."""
    merged = ExampleTally()
    for tally in tallies:
        merged.count += tally.count
        merged.examples += tally.examples
    del merged.examples[MAX_EXAMPLES:]
    return merged


def format_failures(findings: Iterable[CheckFinding]) -> str:
    """Return the failures as one error message, or '' if there are none."""
    checks = [finding for finding in findings if finding.level != "note"]
    failures = [finding for finding in checks if finding.level == "failure"]
    if not failures:
        return ""
    count_text = format_count(len(failures), "check", total=len(checks))
    lines = [f"check: {count_text} failed; fix them, then check again"]
    for finding in failures:
        lines += [str(finding), *(f"  {example}" for example in finding.examples)]
        if finding.num_hidden:
            lines.append(f"  and {finding.num_hidden:,} more")
    return "\n".join(lines)


def format_percent(share: float, digits: int = 0) -> str:
    """Return a share as a percentage.

    >>> format_percent(0.405), format_percent(0.405, 1)
    ('40 %', '40.5 %')
    """
    return f"{100 * share:.{digits}f} %"
