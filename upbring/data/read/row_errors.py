"""What can be wrong with one row, in the three parts that a user reads; or right but of no use.

Both travel as exceptions from the place that knows to `formats`, which counts and reports them.
"""


class RowError(Exception):
    """A row is malformed: which field, what was found, what to do; `line` where the row knows none.

    >>> str(RowError("messages[1].role", "'bot' is unknown", "use user or assistant"))
    "messages[1].role: 'bot' is unknown; use user or assistant"
    """

    def __init__(self, field: str, found: str, todo: str, *, line: int = 0) -> None:
        super().__init__(f"{field}: {found}; {todo}")
        self.line = line


class UnusedError(Exception):
    """A row is well formed but teaches nothing; its reason is counted and said."""
