"""The result of a check of data, which prints as a page."""

import io
from dataclasses import dataclass

from upbring.data.check.check import CheckResult
from upbring.data.check.check_page import print_check
from upbring.data.check.findings import CheckFinding
from upbring.terminal import Console

WIDTH = 100  # characters of a line


@dataclass(frozen=True, repr=False)
class DataCheck:
    """What is in the data, and what would go wrong with it in training."""

    result: CheckResult

    @property
    def findings(self) -> tuple[CheckFinding, ...]:
        """The findings: each has a level, a title, a message, advice and examples."""
        return self.result.findings

    @property
    def failures(self) -> tuple[CheckFinding, ...]:
        """The findings that prevent training."""
        return tuple(each for each in self.findings if each.level == "failure")

    def __str__(self) -> str:
        buffer = io.StringIO()
        console = Console(
            file=buffer, width=WIDTH, color_system=None, highlight=False, force_jupyter=False
        )
        print_check(console, self.result)
        return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())

    def __repr__(self) -> str:
        return str(self)
