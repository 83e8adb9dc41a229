"""Calls of a function or method of the user: an error names it, and a slow call is reported."""

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upbring.errors import FunctionError, UpbringError

SLOW_SECONDS = 60.0
Log = Callable[[str], None]


def call_user_code(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    *,
    name: str,
    where: str,
    log: Log,
    explain: Callable[[BaseException], str] = lambda _: "",
) -> Any:  # noqa: ANN401 -- whatever the user returns
    """Return the result of a call; raise FunctionError if it raises.

    `name` and `where` are for messages; `explain` may add to them. A slow call is not stopped.
    """
    with _warn_if_slow(f"{name}: has been running for {SLOW_SECONDS:g} seconds {where}", log):
        try:
            return function(**arguments)
        except UpbringError:
            raise
        except (Exception, SystemExit) as error:
            frames = traceback.extract_tb(error.__traceback__)[1:]  # without the frame above
            line = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
            raise FunctionError(
                f"{name}: raised {type(error).__name__}: {error}{line}, {where}{explain(error)}; "
                "correct it"
            ) from error


@contextmanager
def _warn_if_slow(text: str, log: Log) -> Iterator[None]:
    timer = threading.Timer(
        SLOW_SECONDS, log, [f"{text}; still waiting (Ctrl-C twice stops the run)"]
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
