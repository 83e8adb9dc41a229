"""A training run in Python: its folder, metrics, samples, report and model."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from upbring.api.calls import reads_files, runs_models
from upbring.runs.compare import compare_runs
from upbring.runs.metrics import read_metrics
from upbring.runs.run_folder import Run as RunFolder
from upbring.runs.run_folder import Status

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DType = Literal["auto", "float32", "bfloat16"]


class Run:
    """A run: what a training function returns, or the folder of an earlier run.

    A run can be used wherever a model is expected: `upbring.dpo(run, data="pairs.jsonl")`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = _open(Path(path))

    @property
    def path(self) -> Path:
        """The absolute path of the run's folder."""
        return self._folder.path

    @property
    def name(self) -> str:
        """The name of the run, such as `sft-1`."""
        return self.path.name

    @property
    def method(self) -> str:
        """The method that trained it, such as `sft`."""
        return str(self._folder.read_metadata()["method"])

    @property
    def status(self) -> Status:
        """`finished`, `running` or `interrupted`."""
        return self._folder.status()

    @property
    def model_path(self) -> Path:
        """The folder of the trained model, which transformers, peft and vLLM load unchanged."""
        return self._folder.model

    def metrics(self) -> list[dict[str, object]]:
        """Return the metrics of each step and each evaluation, ready for `pandas.DataFrame`.

        Each dict has `step`, `kind` (`train` or `held_out`), `time` (seconds since 1970) and the
        metrics by name.
        """
        return [
            {"step": each.step, "kind": each.kind, "time": each.time, **each.values}
            for each in read_metrics(self._folder.metrics_file)
        ]

    def samples(self) -> list[dict[str, object]]:
        """Return the responses that were sampled at each evaluation."""
        file = self._folder.samples_file
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    @reads_files
    def diff(self, other: "Run | str | os.PathLike[str]") -> list[dict[str, str | None]]:
        """Return what differs from another run, ready for `pandas.DataFrame`.

        Each dict has `section` (settings, data, numbers, contract or environment), `name`, and both
        values as text, `left` and `right`; None where a run has no such value.
        """
        theirs = _open(Path(other))
        return [asdict(each) for each in compare_runs(self._folder, theirs)]

    @runs_models
    def load(
        self, *, dtype: DType = "float32"
    ) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """Return the model and its tokenizer as objects of transformers.

        An adapter is merged into its base. A reward model is a classifier with one class, whose
        logit is the score. To generate with upbring, use `upbring.load`.
        """
        from upbring.api.load_transformers import load_transformers  # noqa: PLC0415 -- torch

        return load_transformers(str(self), dtype=dtype)

    @reads_files
    def report(self, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Write the report and return the path of its page; `to` defaults to the run's folder."""
        from upbring.report.build import write_report  # noqa: PLC0415 -- matplotlib

        return write_report([self.path], self.path if to is None else Path(to)).html_path

    def __fspath__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Return the path of the folder, relative to the current directory if it is inside."""
        current = Path.cwd()
        inside = self.path.is_relative_to(current)
        return str(self.path.relative_to(current) if inside else self.path)

    def __repr__(self) -> str:
        return f"Run({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


@reads_files
def _open(path: Path) -> RunFolder:
    return RunFolder(RunFolder.open(path).path.absolute())
