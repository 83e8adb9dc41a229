"""Exceptions for single rows: malformed rows, and well-formed rows that cannot be used.

`formats` catches, counts and reports both.
"""


class RowError(Exception):
    """A row is malformed: the field, what was found, what to do; `line` if there is no Row.

    >>> str(RowError("messages[1].role", "'bot' is unknown", "use user or assistant"))
    "messages[1].role: 'bot' is unknown; use user or assistant"
    """

    def __init__(self, field: str, found: str, todo: str, *, line: int = 0) -> None:
        super().__init__(f"{field}: {found}; {todo}")
        self.line = line


class UnusedError(Exception):
    """A row is well-formed but cannot be trained on; the reason is counted and reported."""
