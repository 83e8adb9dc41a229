"""Collects the errors of several checks, so that one message lists them all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec

from upbring.errors import InputError

P = ParamSpec("P")


@dataclass
class Problems:
    """The messages of checks that failed, each once."""

    messages: list[str] = field(default_factory=list)

    def check(self, check: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a check; note the message of its InputError."""
        try:
            check(*args, **kwargs)
        except InputError as error:
            if str(error) not in self.messages:
                self.messages.append(str(error))

    def raise_all(self) -> None:
        """Raise one InputError with all messages, if there are any."""
        if self.messages:
            raise InputError("\n".join(self.messages))
