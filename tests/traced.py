"""Which files this process opens, and whether it reads a pickle."""

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Never

import pytest
import torch


@dataclass(eq=False)
class Trace:
    """The files that were opened and the pickles that were read."""

    opened: list[Path] = field(default_factory=list)
    pickles: list[str] = field(default_factory=list)
    is_active: bool = False


@contextmanager
def tracing() -> Iterator[Trace]:
    """Record opened files and pickles; reading a pickle also fails."""
    trace = _installed()
    trace.opened.clear()
    trace.pickles.clear()

    def refuse(*_: object, **__: object) -> Never:
        trace.pickles.append("a loader was called")
        raise AssertionError("a pickle was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", refuse)
        for name in ("load", "loads", "Unpickler"):
            patch.setattr(pickle, name, refuse)
        trace.is_active = True
        try:
            yield trace
        finally:
            trace.is_active = False


@cache
def _installed() -> Trace:
    """Return the trace of the process; an audit hook cannot be removed, so there is one."""
    trace = Trace()

    def audit(event: str, values: tuple[Any, ...]) -> None:
        if not trace.is_active:
            return
        if event == "open" and isinstance(values[0], str | bytes | os.PathLike):
            trace.opened.append(Path(os.path.realpath(os.fsdecode(values[0]))))
        if event == "pickle.find_class":
            trace.pickles.append(f"{values[0]}.{values[1]}")

    sys.addaudithook(audit)
    return trace
