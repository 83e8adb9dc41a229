"""The console of all output: rich's, without what a terminal would obey in a user's text.

File names, stage names and texts of models may contain escape sequences. They are shown as escapes.
"""

from collections.abc import Iterable
from typing import NoReturn

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from upbring.errors import escape_control


class Console(rich.console.Console):
    """A console that escapes control characters and reports a closed pipe."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of what is printed, with control characters escaped."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_control(segment.text), segment.style)

    def on_broken_pipe(self) -> NoReturn:
        """Let the command line end with the exit code of a closed pipe; rich would exit with 1."""
        raise BrokenPipeError
