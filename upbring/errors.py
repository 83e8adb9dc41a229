"""What a user can cause: each error says where, what was found, what to do, and has an exit code.

    UpbringError
    ├── InputError      2   a file, a flag or a value is wrong
    ├── ResourceError   3   disk or memory does not suffice
    ├── ResumeError     4   nothing valid to resume
    ├── DivergedError   5   training diverged and was stopped
    ├── GateError       6   a gate failed
    └── Interrupted   130   stopped by a signal, work saved (143 for SIGTERM)

The door prints the message alone. What only we can cause is an `assert`, and shows its traceback.
"""

import difflib
from collections.abc import Iterable


class UpbringError(Exception):
    """A message for the user and the exit code that goes with it."""

    exit_code = 1


class InputError(UpbringError):
    """A file, a flag or a value of the user's is wrong."""

    exit_code = 2


class ResourceError(UpbringError):
    """The disk or the memory does not suffice."""

    exit_code = 3


class ResumeError(UpbringError):
    """There is nothing valid to resume."""

    exit_code = 4


class DivergedError(UpbringError):
    """Training diverged and was stopped."""

    exit_code = 5


class GateError(UpbringError):
    """A gate of a recipe failed."""

    exit_code = 6


class Interrupted(UpbringError):  # noqa: N818 -- an interruption is no error, it only travels as one
    """A signal stopped the work, and what was done is saved."""

    exit_code = 130

    def __init__(self, message: str, *, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that `name` was probably meant to be.

    >>> nearest("learning_rat", ["learning_rate", "steps"])
    'learning_rate'
    >>> nearest("zebra", ["learning_rate", "steps"]) is None
    True
    """
    matches = difflib.get_close_matches(name.casefold(), list(allowed), n=1, cutoff=0.6)
    return matches[0] if matches else None


def format_value(value: object, *, limit: int = 60) -> str:
    """Return `value` as an error may show it: on one line, cut to `limit` characters.

    >>> format_value("bot")
    "'bot'"
    >>> format_value("x" * 100, limit=10)
    "'xxxxxx…'"
    """
    text = repr(value)
    if len(text) <= limit:
        return text
    return text[: limit - 3] + "…" + (text[-1] if text[-1] in "'\"])}" else "")
