"""What a run writes and shows on its way: metrics, samples, checkpoints, the bar.

Of several processes one keeps the journal; the others hold a `NullRunLog` one, which does nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from upbring.durable import JSON
from upbring.runs.metrics import JsonLinesFile, MetricsFile
from upbring.runs.run_folder import Run
from upbring.train import checkpoint
from upbring.train.algorithm import Evaluation
from upbring.train.progress import Progress

SKIPPED_STEPS_FILE = (
    "left_out.jsonl"  # steps that were not taken, and their rows; there if there are any
)


class RunLog(Protocol):
    """Where the loop tells what happened."""

    def log_step(
        self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float
    ) -> None:
        """Write down a step that was taken."""

    def log_evaluation(
        self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
    ) -> None:
        """Write down and show an observation."""

    def log_skipped_step(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Write down and tell that a step was not taken, why, and on which rows."""

    def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Write a checkpoint, after forcing all that was written to the disk."""

    def checkpoint_path(self, step: int) -> str:
        """Return where the checkpoint of a step lies."""

    def truncate(self, step: int) -> None:
        """Forget what was written after a step."""

    def print_line(self, text: str) -> None:
        """Tell the user something."""


@dataclass(frozen=True, slots=True)
class NullRunLog:
    """The journal of a process that does not write."""

    def log_step(
        self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float
    ) -> None:
        """Do nothing."""

    def log_evaluation(
        self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
    ) -> None:
        """Do nothing."""

    def log_skipped_step(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Do nothing."""

    def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Do nothing."""

    def checkpoint_path(self, step: int) -> str:
        """Leave the word to the first process."""
        del step
        return ""

    def truncate(self, step: int) -> None:
        """Do nothing."""

    def print_line(self, text: str) -> None:
        """Do nothing."""


@dataclass(eq=False)
class DiskRunLog:
    """The journal of a run's folder; used as a `with` block, after which all is on the disk."""

    run: Run
    progress: Progress
    identity: Mapping[str, JSON]
    keep: int
    warn: Callable[[str], None]
    metrics: MetricsFile = field(init=False)
    samples: JsonLinesFile = field(init=False)

    def __enter__(self) -> Self:
        self.metrics = MetricsFile(self.run.metrics_file)
        self.samples = JsonLinesFile(self.run.samples_file)
        self.progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.__exit__(kind, error, traceback)
        with self.metrics, self.samples:
            self.metrics.sync()
            self.samples.sync()

    def log_step(
        self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float
    ) -> None:
        """Write down a step that was taken."""
        self.metrics.write(step, {**values, "tokens": tokens, "seconds": seconds})
        self.progress.update(step, values, tokens=tokens)

    def log_evaluation(
        self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
    ) -> None:
        """Write down and show an observation."""
        if evaluation.values:
            self.metrics.write(step, evaluation.values, kind="held_out")
        for sample in evaluation.samples:
            row = {"prompt": sample.prompt, "response": sample.response, **sample.metadata}
            self.samples.append(step, row)
        self.progress.print_line(
            _format_evaluation(step, evaluation, is_best=is_best, is_last=is_last)
        )

    def log_skipped_step(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Write down and tell that a step was not taken, why, and on which rows."""
        with JsonLinesFile(self._skipped_steps_file) as lines:
            lines.append(step, {"reason": reason, "rows": [*rows]})
            lines.sync()
        self.print_line(
            f"step {step}: {reason}; it is left out, its rows are named in {self._skipped_steps_file}"
        )

    def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Write a checkpoint, after forcing all that was written to the disk."""
        self.metrics.sync()
        self.samples.sync()
        checkpoint.save(
            self.run.checkpoints,
            state,
            identity=self.identity,
            keep=self.keep,
            protect=protect,
            warn=self.warn,
        )

    def checkpoint_path(self, step: int) -> str:
        """Return where the checkpoint of a step lies."""
        return str(self.run.checkpoints / f"step-{step}")

    def truncate(self, step: int) -> None:
        """Forget what was written after a step."""
        self.metrics.truncate_after(step)
        self.samples.truncate_after(step)
        if self._skipped_steps_file.exists():
            with JsonLinesFile(self._skipped_steps_file) as lines:
                lines.truncate_after(step)

    def print_line(self, text: str) -> None:
        """Tell the user something."""
        self.progress.print_line(text)

    @property
    def _skipped_steps_file(self) -> Path:
        return self.run.path / SKIPPED_STEPS_FILE


def _format_evaluation(step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool) -> str:
    """Return an observation as lines to print: one sample on the way, all of them at the end."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.values.items())
    head = f"step {step}: held out {numbers}" if numbers else f"step {step}"
    responses = [
        f"  {_shorten(sample.prompt, from_end=True)} → {_shorten(sample.response)}"
        for sample in evaluation.samples[: None if is_last else 1]
    ]
    return "\n".join([head + (" (best so far)" if is_best else ""), *responses])


def _shorten(text: str, *, from_end: bool = False, limit: int = 60) -> str:
    r"""Return text on one line, cut to `limit` characters.

    >>> _shorten("Hello,\n\nworld", limit=9)
    'Hello, w…'
    >>> _shorten("Hello,\n\nworld", from_end=True, limit=9)
    '…o, world'
    """
    words = " ".join(text.split())
    if len(words) <= limit:
        return words
    return "…" + words[1 - limit :] if from_end else words[: limit - 1] + "…"
