"""A run's folder, which explains itself.

    runs/sft-1/
      run.json            method, when it began and where, steps planned, when it was finished
      settings.yaml       resolved, with the origin of each value
      environment.json    machine and versions
      data.json           files, hashes, rows
      contract.json       what travels with the weights
      metrics.jsonl       numbers         samples.jsonl   answers to fixed prompts
      left_out.jsonl      rows of steps that were not taken
      checkpoints/step-N/                 model/          the result
      README.md           model card

What a checkpoint holds is known to `train`, what a figure shows to `report`.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError, ResumeError, format_value, nearest
from upbring.runs.contract import Contract, read_contract, write_contract
from upbring.runs.environment import collect_environment, redact_home
from upbring.runs.metrics import last_record

FORMAT = 2  # of run.json; a folder of another format is rejected
METADATA_KEYS = ("method", "started_at", "steps", "finished_at", "directory")

Status = Literal["finished", "running", "interrupted"]

RUN_NAME_PATTERN = re.compile(
    r"[^/\\:*?\"<>|\x00-\x1f]{1,100}"
)  # what Windows forbids is forbidden everywhere


@dataclass(frozen=True)
class DataFile:
    """A file that a run learned from or was evaluated on."""

    file: str
    sha256: str
    rows: int
    format: str
    purpose: Literal["train", "held_out"] = "train"


@dataclass(frozen=True)
class Run:
    """A run's folder and the places in it."""

    path: Path

    @classmethod
    def create(
        cls, runs: Path, method: str, *, name: str | None = None, settings: str = ""
    ) -> Self:
        """Make the folder of a new run: of this name, or of the method and the next free number.

        Its settings are there before it counts as a run, so that it can always be resumed.
        """
        with durable.explain_os_errors(runs):
            runs.mkdir(parents=True, exist_ok=True)
        run = cls(
            _make_named_folder(runs, name)
            if name is not None
            else _make_numbered_folder(runs, method)
        )
        if settings:
            run.write_settings(settings)
        metadata: dict[str, JSON] = {
            "format": FORMAT,
            "method": method,
            "started_at": _now(),
            "directory": portable_path(Path.cwd(), run_folder=run.path),
            "steps": None,
            "finished_at": None,
        }
        durable.write_json(run.metadata_file, metadata)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`, or say what is there instead."""
        run = cls(path)
        if run.metadata_file.exists():
            return run
        suggestion = nearest(path.name, [each.path.name for each in all_runs(path.parent)])
        hint = f"did you mean {path.parent / suggestion}?" if suggestion else "see `upbring runs`"
        problem = "holds no run" if path.exists() else "does not exist"
        raise InputError(f"{path}: {problem}; {hint}")

    @classmethod
    def newest_interrupted(cls, runs: Path) -> Self:
        """Return the interrupted run that began last."""
        existing_runs = all_runs(runs)
        for run in reversed(existing_runs):
            if run.status() == "interrupted":
                return cls(run.path)
        problem = (
            f"all {len(existing_runs)} runs are finished or running" if existing_runs else "no runs"
        )
        raise ResumeError(f"{runs}: {problem}, so there is nothing to resume; see `upbring runs`")

    @property
    def metadata_file(self) -> Path:
        """What the run is."""
        return self.path / "run.json"

    @property
    def settings_file(self) -> Path:
        """What was asked for."""
        return self.path / "settings.yaml"

    @property
    def environment_file(self) -> Path:
        """What it was made with."""
        return self.path / "environment.json"

    @property
    def data_file(self) -> Path:
        """What it learned from."""
        return self.path / "data.json"

    @property
    def contract_file(self) -> Path:
        """What travels with the weights."""
        return self.path / "contract.json"

    @property
    def metrics_file(self) -> Path:
        """Numbers, a step a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples_file(self) -> Path:
        """Answers to fixed prompts."""
        return self.path / "samples.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The result."""
        return self.path / "model"

    @property
    def card_file(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone, cleared of what a dead one left half done."""
        with durable.lock(self.path):
            for folder in (self.path, self.checkpoints):
                durable.remove_leftovers(folder, is_locked=True)
            yield

    def status(self) -> Status:
        """Whether the run came to its end, is at work, or was stopped on the way."""
        if self.read_metadata()["finished_at"] is not None:
            return "finished"
        return "running" if durable.is_locked(self.path) else "interrupted"

    def read_metadata(self) -> dict[str, JSON]:
        """Return what `run.json` holds."""
        try:
            with durable.explain_os_errors(self.metadata_file):
                value = json.loads(self.metadata_file.read_bytes())
            if value["format"] == FORMAT:
                return {key: value[key] for key in METADATA_KEYS}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self.metadata_file}: is not what upbring wrote; restore it, or start a new run"
            ) from error
        found_format = format_value(value["format"])
        raise InputError(
            f"{self.path}: run folder of format {found_format}, and this version reads format {FORMAT}; "
            "use the version of upbring that made it, or train again"
        )

    def start_directory(self) -> Path | None:
        """Return where the run was begun, and its relative paths start, if that is known."""
        text = self.read_metadata()["directory"]
        if text is None:
            return None
        path = Path(str(text))
        path = path.expanduser() if path.parts[:1] == ("~",) else self.path / path
        return Path(os.path.normpath(path.absolute()))

    def set_num_steps(self, steps: int) -> None:
        """Write down how many steps the run is to take."""
        self._update_metadata({"steps": steps})

    def mark_finished(self) -> None:
        """Write down that the run came to its end."""
        self._update_metadata({"finished_at": _now()})

    def write_settings(self, text: str) -> None:
        """Save the resolved settings."""
        durable.write_text(self.settings_file, text)

    def write_environment(self, *, extra: Mapping[str, JSON] | None = None) -> None:
        """Save what the run is made with."""
        durable.write_json(self.environment_file, collect_environment(extra=extra))

    def write_data(self, files: list[DataFile]) -> None:
        """Save what the run learns from."""
        rows: list[JSON] = [{**vars(file), "file": redact_home(file.file)} for file in files]
        durable.write_json(self.data_file, {"files": rows})

    def write_contract(self, contract: Contract) -> None:
        """Save what travels with the weights."""
        write_contract(self.contract_file, contract)

    def read_contract(self) -> Contract:
        """Return what travels with the weights."""
        return read_contract(self.contract_file)

    def write_card(self, text: str) -> None:
        """Save the model card."""
        durable.write_text(self.card_file, text)

    def _update_metadata(self, changes: Mapping[str, JSON]) -> None:
        durable.write_json(
            self.metadata_file, {"format": FORMAT, **self.read_metadata(), **changes}
        )


@dataclass(frozen=True)
class RunSummary:
    """A run in a line."""

    name: str
    method: str
    status: Status
    step: int
    steps: int | None
    loss: float | None
    started_at: datetime


def summarize_runs(runs: Path) -> list[RunSummary]:
    """Return a summary of each run of a folder, in the order in which they began."""
    return [_summarize(run) for run in all_runs(runs)]


def all_runs(runs: Path) -> list[Run]:
    """Return the runs of a folder in the order in which they began."""
    if not runs.is_dir():
        return []
    existing_runs = [Run(path) for path in runs.iterdir() if Run(path).metadata_file.is_file()]
    return sorted(
        existing_runs, key=lambda run: (str(run.read_metadata()["started_at"]), run.path.name)
    )


def _summarize(run: Run) -> RunSummary:
    metadata, last_metrics = run.read_metadata(), last_record(run.metrics_file)
    steps = metadata["steps"]
    return RunSummary(
        name=run.path.name,
        method=str(metadata["method"]),
        status=run.status(),
        step=last_metrics.step if last_metrics else 0,
        steps=steps if isinstance(steps, int) else None,
        loss=last_metrics.values.get("loss") if last_metrics else None,
        started_at=datetime.fromisoformat(str(metadata["started_at"])),
    )


def portable_path(directory: Path, *, run_folder: Path) -> str:
    """Return how a directory is written down in a run that lies at `run_folder`.

    Where the run lies within it, as the way up, which holds when both are moved together; else
    absolute, and the home folder as `~`.
    """
    absolute_run_folder = run_folder.absolute()
    if absolute_run_folder.is_relative_to(directory):
        return "/".join([".."] * len(absolute_run_folder.relative_to(directory).parts)) or "."
    with contextlib.suppress(RuntimeError):  # there may be no home
        home = Path.home()
        if home != home.parent and directory.is_relative_to(home):
            return (Path("~") / directory.relative_to(home)).as_posix()
    return str(directory)


def _make_named_folder(runs: Path, name: str) -> Path:
    if not RUN_NAME_PATTERN.fullmatch(name) or name.startswith(".") or name.endswith((".", " ")):
        raise InputError(
            f"--name: {name!r} cannot be a folder's name; use letters, digits, - and _"
        )
    path = runs / name
    with durable.explain_os_errors(path):
        try:
            path.mkdir()
        except FileExistsError as error:
            raise InputError(
                f"{path}: exists already; choose another --name, or go on with "
                f"`upbring resume {path}`"
            ) from error
    return path


def _make_numbered_folder(runs: Path, method: str) -> Path:
    pattern = re.compile(rf"{re.escape(method)}-(\d+)")
    used_numbers = [
        int(match[1]) for each in runs.iterdir() if (match := pattern.fullmatch(each.name))
    ]
    number = max(used_numbers, default=0)
    while True:
        number += 1  # another process may have been faster
        path = runs / f"{method}-{number}"
        with durable.explain_os_errors(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
