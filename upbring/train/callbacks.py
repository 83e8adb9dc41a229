"""Calls the callbacks of a run between two steps, when its state can be saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from upbring.durable import JSON
from upbring.errors import FunctionError, Interrupted
from upbring.runs.callback import Callback, MetricsKind, RunEnd, RunStart
from upbring.runs.user_call import call_user_code


@dataclass(eq=False)
class Callbacks:
    """The callbacks of a run, and the events of the current step.

    Each callback gets its own copy of the values. An object that lacks a method is not called.
    """

    callbacks: Sequence[Callback]
    log: Callable[[str], None]
    events: list[tuple[str, str, Callable[[], dict[str, Any]]]] = field(default_factory=list)
    is_started: bool = False

    def start(self, run: RunStart) -> None:
        """Call on_start."""
        self.is_started = True
        self._add("on_start", f"at step {run.step}", lambda: {"run": run})
        self.call_pending()

    @contextmanager
    def reporting_end(self) -> Iterator[None]:
        """Call on_end after the block, if on_start was called in it."""
        try:
            yield
        except Interrupted:
            self._end("interrupted")
            raise
        except BaseException:
            with suppress(FunctionError):
                self._end("failed")
            raise
        self._end("finished")

    def add_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Add metrics for the next call of the callbacks."""
        self._add(
            "on_metrics",
            f"at step {step}",
            lambda: {"step": step, "metrics": dict(metrics), "kind": kind},
        )

    def add_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Add samples for the next call of the callbacks."""
        self._add(
            "on_samples",
            f"at step {step}",
            lambda: {"step": step, "samples": [dict(sample) for sample in samples]},
        )

    def call_pending(self) -> None:
        """Call all callbacks with the events since the last call; then raise the first error."""
        events, self.events = self.events, []
        errors = []
        for method_name, where, arguments in events:
            for callback in self.callbacks:
                method = getattr(callback, method_name, None)
                if method is None:
                    continue
                name = f"{type(callback).__name__}.{method_name}"
                try:
                    call_user_code(method, arguments(), name=name, where=where, log=self.log)
                except FunctionError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _add(self, method: str, where: str, arguments: Callable[[], dict[str, Any]]) -> None:
        if self.callbacks:
            self.events.append((method, where, arguments))

    def _end(self, status: RunEnd) -> None:
        if self.is_started:
            self._add("on_end", "at the end", lambda: {"status": status})
            self.call_pending()
