"""A function of a response and its row that gives a number: a reward or a metric of the user.

The function takes what it names: `prompt` (the text of the last turn), `response`, `row` (all
columns of the input row) and `messages` (the dialogue). It gets copies, and each result is checked.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat

from upbring.data.read.prompt_rows import PromptRow
from upbring.errors import FunctionError, format_value
from upbring.rules.by_name import NamedRule
from upbring.runs.user_call import Log, call_user_code


@dataclass(frozen=True, eq=False)
class RowFunction:
    """A user's function or a rule, called with one response at a time."""

    name: str  # rewards.py:correct, or the name of a rule
    function: Callable[..., object]
    parameters: tuple[str, ...]  # of prompt, response, row and messages
    sha256: str | None = None  # of its source
    rule: NamedRule | None = None

    def __call__(self, row: PromptRow, response: str, *, log: Log) -> float:
        """Return the number for a response; raises FunctionError where the function is wrong."""
        arguments: dict[str, Any] = {
            "prompt": row.prompt,
            "response": response,
            "row": row.columns,
            "messages": [{"role": m.role, "content": m.content} for m in row.messages],
        }
        given = {name: arguments[name] for name in self.parameters}
        before = _encode(given)
        value = call_user_code(
            self.function,
            given,
            name=self.name,
            where=f"for {row.key}",
            log=log,
            explain=lambda error: _explain(error, row),
        )
        if self.rule is None and _encode(given) != before:
            changed = next(n for n in given if _encode(given[n]) != _encode(json.loads(before)[n]))
            raise FunctionError(
                f"{self.name}: changed its argument {changed} ({row.key}); work on a copy, such as "
                f"copy.deepcopy({changed})"
            )
        return self._number(value, row)

    def check_row(self, row: PromptRow) -> None:
        """Raise if a rule cannot read the row."""
        problem = self.rule and self.rule.problem(row.columns)
        if problem:
            raise FunctionError(f"{row.key}: {problem}, which {self.name} reads; correct the row")

    def _number(self, value: object, row: PromptRow) -> float:
        number = _to_number(value)
        if number is not None and math.isfinite(number):
            return number
        found = "a coroutine" if hasattr(value, "__await__") else format_value(value)
        if hasattr(value, "close") and hasattr(value, "__await__"):
            value.close()
        raise FunctionError(
            f"{self.name}: returned {found} for {row.key}; return one finite number per response"
        )


def _to_number(value: object) -> float | None:
    """Return a number, also of numpy or torch; None for text, lists and everything else."""
    is_number = isinstance(value, SupportsFloat) and not getattr(value, "ndim", 0)
    try:
        return float(value) if is_number and isinstance(value, SupportsFloat) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _encode(value: object) -> str:
    """Return arguments as JSON; those that were changed to something else differ too."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return "not JSON"


def _explain(error: BaseException, row: PromptRow) -> str:
    """Return the columns of the row, if one that it does not have was read."""
    is_missing = isinstance(error, KeyError) and error.args and error.args[0] not in row.columns
    return f", whose columns are {', '.join(row.columns)}" if is_missing else ""
