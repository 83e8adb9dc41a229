"""What a training run writes and prints: metrics, samples, checkpoints and progress.

With several processes, rank 0 has a `DiskRunLog` and the others a `NullRunLog`, which does nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from upbring.durable import JSON
from upbring.errors import UpbringError
from upbring.runs.metrics import JsonLinesFile, MetricsFile
from upbring.runs.run_folder import Run
from upbring.train import checkpoint
from upbring.train.algorithm import Evaluation
from upbring.train.callbacks import Callbacks
from upbring.train.progress import Progress

SAMPLE_WIDTH, MIN_SAMPLE_WIDTH = 60, 20  # characters of a prompt or a response
RECORDS = "records"  # the fact of a checkpoint that holds the fingerprints of the files
SKIPPED_STEPS_FILE = "left_out.jsonl"  # skipped steps and their rows; exists only if there are any


class RunLog(Protocol):
    """The interface through which the loop reports what happened."""

    def log_step(
        self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float
    ) -> None:
        """Record the metrics of a step."""

    def log_evaluation(
        self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
    ) -> None:
        """Record and print an evaluation."""

    def log_skipped_step(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Record and print that a step was not taken, why, and on which rows."""

    def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Save a checkpoint, after flushing all other files to disk."""

    def end_step(self) -> None:
        """Call the callbacks, now that the step and its evaluation are done."""

    def checkpoint_path(self, step: int) -> str:
        """Return the path of a step's checkpoint."""

    def truncate(self, step: int) -> None:
        """Delete all records after a step."""

    def check_records(self, facts: Mapping[str, JSON]) -> None:
        """Warn if a file differs from what it was when the checkpoint with `facts` was saved."""

    def print_line(self, text: str) -> None:
        """Print a line for the user."""


@dataclass(frozen=True, slots=True)
class NullRunLog:
    """The run log of a process that does not write."""

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

    def end_step(self) -> None:
        """Do nothing."""

    def checkpoint_path(self, step: int) -> str:
        """Return nothing, because rank 0 knows the path."""
        del step
        return ""

    def truncate(self, step: int) -> None:
        """Do nothing."""

    def check_records(self, facts: Mapping[str, JSON]) -> None:
        """Do nothing."""

    def print_line(self, text: str) -> None:
        """Do nothing."""


@dataclass(eq=False)
class DiskRunLog:
    """The run log in a run's folder; used as a `with` block, after which all is on disk."""

    run: Run
    progress: Progress
    identity: Mapping[str, JSON]
    keep: int
    warn: Callable[[str], None]
    callbacks: Callbacks
    metrics: MetricsFile = field(init=False)
    samples: JsonLinesFile = field(init=False)

    def __enter__(self) -> Self:
        self.metrics = MetricsFile(self.run.metrics_file)
        try:
            self.samples = JsonLinesFile(self.run.samples_file)
        except UpbringError:
            self.metrics.close()
            raise
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
        """Record the metrics of a step."""
        metrics = {**values, "tokens": tokens, "seconds": seconds}
        self.metrics.write(step, metrics)
        self.callbacks.add_metrics(step, metrics, "train")
        self.progress.update(step, values, tokens=tokens, seconds=seconds)

    def log_evaluation(
        self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
    ) -> None:
        """Record and print an evaluation."""
        if evaluation.values:
            self.metrics.write(step, evaluation.values, kind="held_out")
            self.callbacks.add_metrics(step, evaluation.values, "held_out")
        rows: list[dict[str, JSON]] = [
            {"prompt": sample.prompt, "response": sample.response, **sample.metadata}
            for sample in evaluation.samples
        ]
        for row in rows:
            self.samples.append(step, row)
        if rows:
            self.callbacks.add_samples(step, rows)
        if self.progress.has_display:
            return
        for line in format_evaluation(
            step, evaluation, is_best=is_best, is_last=is_last, width=self.progress.line_width
        ):
            self.progress.print_line(line)

    def log_skipped_step(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Record and print that a step was not taken, why, and on which rows."""
        with JsonLinesFile(self._skipped_steps_file) as lines:
            lines.append(step, {"reason": reason, "rows": [*rows]})
            lines.sync()
        self.print_line(
            f"step {step}: {reason}; the step is skipped, its rows are listed in "
            f"{self._skipped_steps_file}"
        )

    def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Save a checkpoint, after flushing all other files to disk."""
        self.metrics.sync()
        self.samples.sync()
        checkpoint.save(
            self.run.checkpoints,
            replace(state, facts={**state.facts, RECORDS: self._fingerprints()}),
            identity=self.identity,
            keep=self.keep,
            protect=protect,
            warn=self.warn,
        )

    def end_step(self) -> None:
        """Call the callbacks, now that the step and its evaluation are done."""
        self.callbacks.call_pending()

    def checkpoint_path(self, step: int) -> str:
        """Return the path of a step's checkpoint."""
        return str(self.run.checkpoints / f"step-{step}")

    def truncate(self, step: int) -> None:
        """Delete all records after a step."""
        self.metrics.truncate_after(step)
        self.samples.truncate_after(step)
        if self._skipped_steps_file.exists():
            with JsonLinesFile(self._skipped_steps_file) as lines:
                lines.truncate_after(step)

    def check_records(self, facts: Mapping[str, JSON]) -> None:
        """Warn if a file differs from what it was when the checkpoint with `facts` was saved."""
        saved = facts.get(RECORDS)
        for name, found in self._fingerprints().items():
            expected = saved.get(name) if isinstance(saved, Mapping) else None
            if isinstance(expected, Mapping) and found != expected:
                assert isinstance(found, Mapping), "a fingerprint is a mapping"
                self.warn(
                    f"{self.run.path / name}: lines were changed or lost since the checkpoint was "
                    f"saved ({found['lines']} of {expected['lines']} are left); the weights are "
                    "not affected, but the report is incomplete"
                )

    def _fingerprints(self) -> dict[str, JSON]:
        return {file.path.name: file.fingerprint() for file in (self.metrics, self.samples)}

    def print_line(self, text: str) -> None:
        """Print a line for the user."""
        self.progress.print_line(text)

    @property
    def _skipped_steps_file(self) -> Path:
        return self.run.path / SKIPPED_STEPS_FILE


def format_evaluation(
    step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool, width: int | None
) -> Iterator[str]:
    """Yield an evaluation as a line, and the last one with its samples.

    With a `width`, a line loses what does not fit: its last metrics, the ends of its texts.
    """
    if evaluation.values:
        (name, value), *others = evaluation.values.items()
        line, end = f"step {step:,}: held-out {name} {value:.4g}", " (best)" if is_best else ""
        errors = {"error", *(f"{other}_error" for other in evaluation.values)}
        for other, number in others:
            if other in errors:  # shown behind its value, or only in metrics.jsonl
                continue
            error = evaluation.values.get(f"{other}_error")
            longer = f"{line}, {other} {number:.3g}{'' if error is None else f' ± {error:.2g}'}"
            if width is not None and len(longer + end) > width:
                break
            line = longer
        yield line + end
    limit = SAMPLE_WIDTH if width is None else max(MIN_SAMPLE_WIDTH, (width - len("   → ")) // 2)
    samples = evaluation.samples if is_last else ()
    prompts = without_opening([sample.prompt for sample in samples])
    for prompt, sample in zip(prompts, samples, strict=True):
        shown = _shorten(prompt, from_end=True, limit=limit)
        yield f"  {shown} → {_shorten(sample.response, limit=limit)}"


def without_opening(prompts: Sequence[str]) -> list[str]:
    r"""Return prompts without the last line if it is the same in all: it opens the response.

    >>> without_opening(["### User\nA?\n\n### Assistant\n", "### User\nB?\n\n### Assistant\n"])
    ['### User\nA?', '### User\nB?']
    >>> without_opening(["The sky is", "The sky is"])
    ['The sky is', 'The sky is']
    """
    parts = [prompt.rstrip().rpartition("\n") for prompt in prompts]
    if len({last for _, _, last in parts}) == 1 and all(before.strip() for before, _, _ in parts):
        return [before.rstrip() for before, _, _ in parts]
    return list(prompts)


def _shorten(text: str, *, limit: int, from_end: bool = False) -> str:
    r"""Return text on one line, cut to `limit` characters between words where possible.

    >>> _shorten("Hello,\n\nwide world", limit=13)
    'Hello, wide …'
    >>> _shorten("Hello,\n\nwide world", from_end=True, limit=13)
    '… wide world'
    >>> _shorten("Donaudampfschiff", limit=9)
    'Donaudam…'
    """
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    if from_end:
        rest = line[1 - limit :]
        _, _, whole = rest.partition(" ")
        return f"… {whole}" if len(whole) > limit // 2 else f"…{rest}"
    rest = line[: limit - 1]
    whole, _, _ = rest.rpartition(" ")
    return f"{whole} …" if len(whole) > limit // 2 else f"{rest}…"
