"""Calls a function in a thread that ends with it, so that its compute threads end too.

OpenMP keeps compute threads for each thread that ever computed. Once all of them are more than the
processors, GNU's OpenMP lets a compute thread sleep between two operations instead of spinning, and
waking it costs as much as a small operation: a token of a model of 135 million weights takes 1.6
times as long on two cores. So the thread that loads the models must not be one that lives on next
to the engine's.
"""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

ResultT = TypeVar("ResultT")


def call_in_own_thread(function: Callable[[], ResultT]) -> ResultT:
    """Return what `function` returns, or raise what it raises; Ctrl-C does not wait for it."""
    future: Future[ResultT] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 -- belongs to the caller
            future.set_exception(error)

    context = contextvars.copy_context()
    name = "upbring-loading"
    thread = threading.Thread(target=context.run, args=(run,), name=name, daemon=True)
    thread.start()
    result = future.result()
    thread.join()  # its compute threads end with it
    return result
