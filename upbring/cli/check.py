"""`upbring check`: check data before training.

The findings go to standard output. Findings that prevent training are repeated, with their
locations, in the error that ends the command.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from upbring.data.check.check_page import print_check
from upbring.data.check.findings import format_failures
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings
from upbring.settings.resolve import Resolved
from upbring.stages.planning.check_files import check_files
from upbring.terminal import Console

Log = Callable[[str], None]


def run(resolved: Resolved[CheckSettings]) -> None:
    """Check the files, print the findings, and fail if a finding prevents training."""
    settings = resolved.settings
    with _status_log() as log:
        result = check_files(settings, log=log)
    console = Console(highlight=False)
    print_check(console, result)
    console.file.flush()  # before the error that may follow
    failures = format_failures(result.findings)
    if failures:
        raise InputError(failures)


@contextmanager
def _status_log() -> Iterator[Log]:
    """Show the progress of the check, if standard error is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(text.replace("[", r"\["))
