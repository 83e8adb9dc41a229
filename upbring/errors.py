"""Errors that a user can cause. Each message states where, what was found, and what to do.

    UpbringError
    ├── InputError      2   a file, a flag or a value is wrong
    │   └── FunctionError   a function or callback of the user failed
    ├── ResourceError   3   out of disk space or memory
    ├── ResumeError     4   no valid checkpoint to resume from
    ├── DivergedError   5   training diverged and was stopped
    ├── GateError       6   a gate failed
    └── Interrupted   130   stopped by a signal, work saved (143 for SIGTERM, 129 for SIGHUP)

The number is the exit code. The command line prints only the message, without a traceback. A bug of
upbring itself fails an `assert` and shows its traceback.
"""

import difflib
import re
import shlex
from collections.abc import Iterable

# All but line feed and tab. A changed writing direction can make a text read as another one.
_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]"
)
MIN_SIMILARITY = 0.75  # of a name that is suggested (difflib's ratio)
MIN_SUGGESTED_LENGTH = 3  # letters of a name that differs more than that, but by one edit


class UpbringError(Exception):
    """An error message for the user, with an exit code."""

    exit_code = 1


class InputError(UpbringError):
    """A file, a flag or a value from the user is wrong."""

    exit_code = 2


class FunctionError(InputError):
    """A reward, metric or callback of the user failed; the run is saved and can be resumed."""


class ResourceError(UpbringError):
    """The process is out of disk space or memory."""

    exit_code = 3


class ResumeError(UpbringError):
    """There is no valid checkpoint to resume from."""

    exit_code = 4


class DivergedError(UpbringError):
    """Training diverged and was stopped."""

    exit_code = 5


class GateError(UpbringError):
    """A gate of a recipe failed."""

    exit_code = 6


class Interrupted(UpbringError, SystemExit):  # noqa: N818 -- a normal stop
    """A signal stopped the run after its state was saved.

    In a script that does not catch it, it ends the program without a traceback.
    """

    exit_code = 130
    is_reported = False  # whether the message was printed

    def __init__(self, message: str, *, signal_number: int = 2) -> None:
        super().__init__(message)
        self.code = self.exit_code = 128 + signal_number


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name closest to `name`, or None if none is close.

    >>> nearest("learning_rat", ["learning_rate", "steps"])
    'learning_rate'
    >>> nearest("zebra", ["learning_rate", "steps"]) is None
    True
    """
    typed, names = name.casefold(), list(allowed)
    if matches := difflib.get_close_matches(typed, names, n=1, cutoff=MIN_SIMILARITY):
        return matches[0]
    return next((each for each in names if _is_one_edit_away(typed, each)), None)


def _is_one_edit_away(one: str, other: str) -> bool:
    """Return whether one insertion, deletion, substitution or swap makes the words equal.

    Words of fewer than 3 letters never match.

    >>> [_is_one_edit_away(*pair.split()) for pair in ("stf sft", "ruf run", "do to")]
    [True, True, False]
    """
    if min(len(one), len(other)) < MIN_SUGGESTED_LENGTH:
        return False
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return abs(len(one) - len(other)) == 1
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    rests = (
        (one[at + 1 :], other[at + 1 :]),
        (one[at + 1 :], other[at:]),
        (one[at:], other[at + 1 :]),
    )
    return swapped or any(a == b for a, b in rests)


def format_command(*words: object) -> str:
    """Return a command line of upbring that a shell reads as these words.

    >>> format_command("resume", "runs/my run")
    "`upbring resume 'runs/my run'`"
    """
    return f"`upbring {shlex.join(map(str, words))}`"


def escape_control(text: str) -> str:
    r"""Return text whose control and bidirectional characters a terminal would obey as escapes.

    >>> escape_control("a\x1b[2Jb\u202ec\n")
    'a\\x1b[2Jb\\u202ec\n'
    """
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def format_value(value: object, *, limit: int = 60) -> str:
    """Return the repr of `value` for an error message, cut to `limit` characters.

    >>> format_value("bot")
    "'bot'"
    >>> format_value("x" * 100, limit=10)
    "'xxxxxx…'"
    """
    text = repr(value)
    if len(text) <= limit:
        return text
    return text[: limit - 3] + "…" + (text[-1] if text[-1] in "'\"])}" else "")
