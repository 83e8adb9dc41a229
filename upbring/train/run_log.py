"""What a run writes and shows on its way: metrics, samples, checkpoints, the bar.

Of several processes one keeps the journal; the others hold a `Mute` one, which does nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from upbring.durable import JSON
from upbring.runs.metrics import Lines, Metrics
from upbring.runs.run_folder import Run
from upbring.train import checkpoint
from upbring.train.algorithm import Observations
from upbring.train.progress import Progress

LEFT_OUT = "left_out.jsonl"  # steps that were not taken, and their rows; there if there are any


class Journal(Protocol):
    """Where the loop tells what happened."""

    def step(self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float) -> None:
        """Write down a step that was taken."""

    def observed(self, step: int, seen: Observations, *, is_best: bool, is_last: bool) -> None:
        """Write down and show an observation."""

    def left_out(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Write down and tell that a step was not taken, why, and on which rows."""

    def save(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Write a checkpoint, after forcing all that was written to the disk."""

    def saved(self, step: int) -> str:
        """Return where the checkpoint of a step lies."""

    def cut(self, step: int) -> None:
        """Forget what was written after a step."""

    def say(self, text: str) -> None:
        """Tell the user something."""


@dataclass(frozen=True, slots=True)
class Mute:
    """The journal of a process that does not write."""

    def step(self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float) -> None:
        """Do nothing."""

    def observed(self, step: int, seen: Observations, *, is_best: bool, is_last: bool) -> None:
        """Do nothing."""

    def left_out(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Do nothing."""

    def save(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
        """Do nothing."""

    def saved(self, step: int) -> str:
        """Leave the word to the first process."""
        del step
        return ""

    def cut(self, step: int) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


@dataclass(eq=False)
class Kept:
    """The journal of a run's folder; used as a `with` block, after which all is on the disk."""

    run: Run
    progress: Progress
    identity: Mapping[str, JSON]
    keep: int
    warn: Callable[[str], None]
    metrics: Metrics = field(init=False)
    samples: Lines = field(init=False)

    def __enter__(self) -> Self:
        self.metrics = Metrics(self.run.metrics_file)
        self.samples = Lines(self.run.samples_file)
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

    def step(self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float) -> None:
        """Write down a step that was taken."""
        self.metrics.write(step, {**values, "tokens": tokens, "seconds": seconds})
        self.progress.update(step, values, tokens=tokens)

    def observed(self, step: int, seen: Observations, *, is_best: bool, is_last: bool) -> None:
        """Write down and show an observation."""
        if seen.values:
            self.metrics.write(step, seen.values, kind="held_out")
        for sample in seen.samples:
            row = {"prompt": sample.prompt, "response": sample.response, **sample.notes}
            self.samples.append(step, row)
        self.progress.say(_told(step, seen, is_best=is_best, is_last=is_last))

    def left_out(self, step: int, reason: str, *, rows: Sequence[str]) -> None:
        """Write down and tell that a step was not taken, why, and on which rows."""
        with Lines(self._left_out) as lines:
            lines.append(step, {"reason": reason, "rows": [*rows]})
            lines.sync()
        self.say(f"step {step}: {reason}; it is left out, its rows are named in {self._left_out}")

    def save(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
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

    def saved(self, step: int) -> str:
        """Return where the checkpoint of a step lies."""
        return str(self.run.checkpoints / f"step-{step}")

    def cut(self, step: int) -> None:
        """Forget what was written after a step."""
        self.metrics.cut(step)
        self.samples.cut(step)
        if self._left_out.exists():
            with Lines(self._left_out) as lines:
                lines.cut(step)

    def say(self, text: str) -> None:
        """Tell the user something."""
        self.progress.say(text)

    @property
    def _left_out(self) -> Path:
        return self.run.path / LEFT_OUT


def _told(step: int, seen: Observations, *, is_best: bool, is_last: bool) -> str:
    """Return an observation as lines to print: one sample on the way, all of them at the end."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in seen.values.items())
    head = f"step {step}: held out {numbers}" if numbers else f"step {step}"
    answers = [
        f"  {_line(sample.prompt, from_end=True)} → {_line(sample.response)}"
        for sample in seen.samples[: None if is_last else 1]
    ]
    return "\n".join([head + (" (best so far)" if is_best else ""), *answers])


def _line(text: str, *, from_end: bool = False, limit: int = 60) -> str:
    r"""Return text on one line, cut to `limit` characters.

    >>> _line("Hello,\n\nworld", limit=9)
    'Hello, w…'
    >>> _line("Hello,\n\nworld", from_end=True, limit=9)
    '…o, world'
    """
    words = " ".join(text.split())
    if len(words) <= limit:
        return words
    return "…" + words[1 - limit :] if from_end else words[: limit - 1] + "…"
