"""The folder of a run: its layout, creation, status and metadata.

    runs/sft-1/
      run.json            method and its data, start time and directory, steps, finish time
      settings.yaml       resolved settings, with the origin of each value
      environment.json    machine and library versions
      data.json           data files, hashes, row counts
      contract.json       tokenizer, template, special tokens and training history of the model
      metrics.jsonl       metrics of each step
      samples.jsonl       responses to fixed prompts
      left_out.jsonl      rows of skipped steps
      checkpoints/step-N/
      model/              the trained model
      README.md           model card

The format of a checkpoint is defined in `train`; plots are made in `report`.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError, ResumeError, format_command, format_value, nearest
from upbring.runs.contract import Contract, read_contract, write_contract
from upbring.runs.data_file import DataFile, data_file_to_json
from upbring.runs.environment import collect_environment
from upbring.runs.folder_name import RULE, is_folder_name

STAGES_FOLDER = "stages"  # of a pipeline: the folders of its runs
FORMAT = 2  # format of run.json; other formats are rejected
TAKEN_ERRNOS = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
REWARD_FUNCTION = "reward_function"  # an entry of run.json, only of runs that have one
STALE_AFTER_SECONDS = 3600  # older temporary folders belong to dead processes
METADATA_KEYS = (
    *("method", "learns_from", "makes", "panels"),
    *("started_at", "steps", "finished_at", "directory"),
)

Status = Literal["finished", "running", "interrupted"]


@dataclass(frozen=True)
class Run:
    """A run folder and the paths in it."""

    path: Path

    @classmethod
    def create(
        cls,
        runs: Path,
        method: str,
        *,
        name: str | None = None,
        settings: str = "",
        learns_from: str | None = None,
        makes: str | None = None,
        panels: Sequence[str] = (),
    ) -> Self:
        """Create the folder of a new run, called `name` or `METHOD-N` with the next free number.

        The folder has its name only when it has its files, so that every run can be resumed.
        """
        if name is not None and not is_folder_name(name):
            raise InputError(f"--name: {format_value(name)} is not a valid folder name; {RULE}")
        with durable.explain_os_errors(runs):
            runs.mkdir(parents=True, exist_ok=True)
        durable.remove_leftovers(runs, min_idle_seconds=STALE_AFTER_SECONDS)
        with durable.new_folder(runs, name or method) as draft:
            run = cls(draft)
            if settings:
                run.write_settings(settings)
            run._write_new_metadata(method, learns_from, makes, panels)
            return cls(
                _place_named(draft, runs / name)
                if name is not None
                else _place_numbered(draft, runs, method)
            )

    def _write_new_metadata(
        self, method: str, learns_from: str | None, makes: str | None, panels: Sequence[str]
    ) -> None:
        metadata: dict[str, JSON] = {
            "format": FORMAT,
            "method": method,
            "learns_from": learns_from,
            "makes": makes,
            "panels": list(panels),
            "started_at": _now(),
            "directory": portable_path(Path.cwd(), run_folder=self.path),
            "steps": None,
            "finished_at": None,
        }
        durable.write_json(self.metadata_file, metadata)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`, or raise an InputError if there is none."""
        run = cls(path)
        if run.metadata_file.exists():
            return run
        suggestion = nearest(path.name, [each.path.name for each in all_runs(path.parent)])
        hint = (
            f"did you mean {path.parent / suggestion}?"
            if suggestion
            else "list the runs with `upbring runs`"
        )
        problem = "is not a run folder" if path.exists() else "does not exist"
        raise InputError(f"{path}: {problem}; {hint}")

    @classmethod
    def newest_interrupted(cls, runs: Path) -> Self:
        """Return the most recently started run that was interrupted."""
        existing_runs = all_runs(runs)
        for run in reversed(existing_runs):
            if run.status() == "interrupted":
                return cls(run.path)
        problem = "all runs are finished or running" if existing_runs else "no runs"
        raise ResumeError(
            f"{runs}: {problem}, so there is nothing to resume; list the runs with `upbring runs`"
        )

    @property
    def metadata_file(self) -> Path:
        """Path of the metadata."""
        return self.path / "run.json"

    @property
    def settings_file(self) -> Path:
        """Path of the resolved settings."""
        return self.path / "settings.yaml"

    @property
    def environment_file(self) -> Path:
        """Path of the machine and library versions."""
        return self.path / "environment.json"

    @property
    def data_file(self) -> Path:
        """Path of the list of data files."""
        return self.path / "data.json"

    @property
    def contract_file(self) -> Path:
        """Path of the contract."""
        return self.path / "contract.json"

    @property
    def metrics_file(self) -> Path:
        """Path of the metrics."""
        return self.path / "metrics.jsonl"

    @property
    def samples_file(self) -> Path:
        """Path of the sampled responses."""
        return self.path / "samples.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Path of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Path of the trained model."""
        return self.path / "model"

    @property
    def card_file(self) -> Path:
        """Path of the model card."""
        return self.path / "README.md"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for this process, and delete the temporary files of dead processes."""
        if self.checkpoints.is_symlink():
            raise InputError(
                f"{self.checkpoints}: is a symbolic link, and checkpoints would be written and "
                "deleted where it points; replace it by the folder"
            )
        with durable.lock(self.path):
            for folder in (self.path, self.checkpoints):
                durable.remove_leftovers(folder, is_locked=True)
            yield

    def status(self) -> Status:
        """Return whether the run is finished, running or interrupted."""
        if self.read_metadata()["finished_at"] is not None:
            return "finished"
        return "running" if durable.is_locked(self.path) else "interrupted"

    def read_metadata(self) -> dict[str, JSON]:
        """Return the content of `run.json`."""
        try:
            with durable.explain_os_errors(self.metadata_file):
                value = json.loads(self.metadata_file.read_bytes())
            if value["format"] == FORMAT:
                known = {key: value[key] for key in METADATA_KEYS}
                return {**known, REWARD_FUNCTION: value.get(REWARD_FUNCTION)}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self.metadata_file}: is not a valid run.json; restore it, or start a new run"
            ) from error
        found_format = format_value(value["format"])
        raise InputError(
            f"{self.path}: run folder has format {found_format}, but this version reads format "
            f"{FORMAT}; use the version of upbring that created it, or train again"
        )

    def start_directory(self) -> Path | None:
        """Return the directory in which the run was started, or None if it is unknown.

        Relative paths in the settings start there.
        """
        text = self.read_metadata()["directory"]
        if text is None:
            return None
        path = Path(str(text))
        path = path.expanduser() if path.parts[:1] == ("~",) else self.path / path
        return Path(os.path.normpath(path.absolute()))

    def set_reward_function(self, name: str) -> None:
        """Record the name of the Python function that gives the reward."""
        self._update_metadata({REWARD_FUNCTION: name})

    def set_num_steps(self, steps: int) -> None:
        """Record the planned number of steps."""
        self._update_metadata({"steps": steps})

    def mark_finished(self) -> None:
        """Record the finish time."""
        self._update_metadata({"finished_at": _now()})

    def write_settings(self, text: str) -> None:
        """Save the resolved settings."""
        durable.write_text(self.settings_file, text)

    def write_environment(self, *, extra: Mapping[str, JSON] | None = None) -> None:
        """Save the machine and the library versions."""
        durable.write_json(self.environment_file, collect_environment(extra=extra))

    def write_data(self, files: list[DataFile]) -> None:
        """Save the list of data files."""
        rows: list[JSON] = [data_file_to_json(file) for file in files]
        durable.write_json(self.data_file, {"files": rows})

    def write_contract(self, contract: Contract) -> None:
        """Save the contract."""
        write_contract(self.contract_file, contract)

    def read_contract(self) -> Contract:
        """Return the contract."""
        return read_contract(self.contract_file)

    def write_card(self, text: str) -> None:
        """Save the model card."""
        durable.write_text(self.card_file, text)

    def _update_metadata(self, changes: Mapping[str, JSON]) -> None:
        durable.write_json(
            self.metadata_file, {"format": FORMAT, **self.read_metadata(), **changes}
        )


def all_runs(runs: Path) -> list[Run]:
    """Return the runs in a folder, oldest first."""
    if not runs.is_dir():
        return []
    existing_runs = [
        Run(path)
        for path in runs.iterdir()
        if not path.name.startswith(".") and Run(path).metadata_file.is_file()
    ]
    return sorted(
        existing_runs, key=lambda run: (str(run.read_metadata()["started_at"]), run.path.name)
    )


def portable_path(directory: Path, *, run_folder: Path) -> str:
    """Return `directory` as recorded in the metadata of the run at `run_folder`.

    If the run is inside the directory, this is a relative path (`../..`), which stays valid when
    both are moved together. Otherwise it is absolute, with the home folder as `~`.
    """
    absolute_run_folder = run_folder.absolute()
    if absolute_run_folder.is_relative_to(directory):
        return "/".join([".."] * len(absolute_run_folder.relative_to(directory).parts)) or "."
    with contextlib.suppress(RuntimeError):  # the user may have no home
        home = Path.home()
        if home != home.parent and directory.is_relative_to(home):
            return (Path("~") / directory.relative_to(home)).as_posix()
    return str(directory)


def reject_existing(path: Path) -> None:
    """Raise an InputError if there is something where a new run is to be written."""
    if path.exists():
        raise existing_folder_error(path)


def existing_folder_error(path: Path) -> InputError:
    """Return the error that says what is at `path` already, and what to do."""
    run = Run(path)
    status = run.status() if run.metadata_file.is_file() else None
    found = f"already exists, a run that is {status}" if status else "already exists"
    what_to_do = "choose another --name or --output-dir"
    if status == "interrupted":
        what_to_do += f", or resume the run with {format_command('resume', path)}"
    return InputError(f"{path}: {found}; {what_to_do}")


def _place_named(draft: Path, path: Path) -> Path:
    """Rename a complete folder to `path`, which must be free or empty."""
    if not _rename_to_free(draft, path):
        raise existing_folder_error(path)
    return path


def _place_numbered(draft: Path, runs: Path, method: str) -> Path:
    """Rename a complete folder to `METHOD-N` with the next free number."""
    pattern = re.compile(rf"{re.escape(method)}-(\d+)")
    matches = [pattern.fullmatch(each.name) for each in runs.iterdir()]
    used_numbers = [int(match[1]) for match in matches if match]
    number = 1 + max(used_numbers, default=0)
    while not _rename_to_free(draft, runs / f"{method}-{number}"):
        number += 1  # another process has created this folder at the same time
    return runs / f"{method}-{number}"


def _rename_to_free(draft: Path, path: Path) -> bool:
    """Rename a folder; return False if there is another one, which is not empty, or a file."""
    with durable.explain_os_errors(path):
        try:
            durable.DISK.rename(draft, path)
        except OSError as error:
            if error.errno not in TAKEN_ERRNOS:
                raise
            return False
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
