"""A run's folder, which explains itself.

    runs/sft-1/
      run.json            verb, when it began and where, steps planned, when it was finished
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
from upbring.errors import InputError, ResumeError, nearest
from upbring.runs.contract import Contract, read_contract, write_contract
from upbring.runs.environment import environment, redacted
from upbring.runs.metrics import last_record

Status = Literal["finished", "running", "interrupted"]

NAME = re.compile(r"[^/\\:*?\"<>|\x00-\x1f]{1,100}")  # what Windows forbids is forbidden everywhere


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
    def create(cls, runs: Path, verb: str, *, name: str | None = None, settings: str = "") -> Self:
        """Make the folder of a new run: of this name, or of the verb and the next free number.

        Its settings are there before it counts as a run, so that it can always be resumed.
        """
        with durable.explained(runs):
            runs.mkdir(parents=True, exist_ok=True)
        run = cls(_make_named(runs, name) if name is not None else _make_numbered(runs, verb))
        if settings:
            run.write_settings(settings)
        facts: dict[str, JSON] = {
            "format": 1,
            "verb": verb,
            "began": _now(),
            "directory": written(Path.cwd(), seen_from=run.path),
            "steps": None,
            "finished": None,
        }
        durable.write_json(run.facts_file, facts)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`, or say what is there instead."""
        run = cls(path)
        if run.facts_file.exists():
            return run
        meant = nearest(path.name, [each.path.name for each in all_runs(path.parent)])
        hint = f"did you mean {path.parent / meant}?" if meant else "see `upbring runs`"
        found = "holds no run" if path.exists() else "does not exist"
        raise InputError(f"{path}: {found}; {hint}")

    @classmethod
    def newest_unfinished(cls, runs: Path) -> Self:
        """Return the interrupted run that began last."""
        everything = all_runs(runs)
        for run in reversed(everything):
            if run.status() == "interrupted":
                return cls(run.path)
        found = f"all {len(everything)} runs are finished or running" if everything else "no runs"
        raise ResumeError(f"{runs}: {found}, so there is nothing to resume; see `upbring runs`")

    @property
    def facts_file(self) -> Path:
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
            for place in (self.path, self.checkpoints):
                durable.sweep(place, is_locked=True)
            yield

    def status(self) -> Status:
        """Whether the run came to its end, is at work, or was stopped on the way."""
        if self.facts()["finished"] is not None:
            return "finished"
        return "running" if durable.is_locked(self.path) else "interrupted"

    def facts(self) -> dict[str, JSON]:
        """Return what `run.json` holds."""
        try:
            with durable.explained(self.facts_file):
                value = json.loads(self.facts_file.read_bytes())
            found = {key: value[key] for key in ("verb", "began", "steps", "finished")}
            return {**found, "directory": value.get("directory")}  # older runs did not say
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self.facts_file}: is not what upbring wrote; restore it, or begin a new run"
            ) from error

    def directory(self) -> Path | None:
        """Return where the run was begun, and its relative paths start, if that is known."""
        text = self.facts()["directory"]
        if text is None:
            return None
        place = Path(str(text))
        place = place.expanduser() if place.parts[:1] == ("~",) else self.path / place
        return Path(os.path.normpath(place.absolute()))

    def plan(self, steps: int) -> None:
        """Write down how many steps the run is to take."""
        self._update({"steps": steps})

    def finish(self) -> None:
        """Write down that the run came to its end."""
        self._update({"finished": _now()})

    def write_settings(self, text: str) -> None:
        """Save the resolved settings."""
        durable.write_text(self.settings_file, text)

    def write_environment(self, *, more: Mapping[str, JSON] | None = None) -> None:
        """Save what the run is made with."""
        durable.write_json(self.environment_file, environment(more=more))

    def write_data(self, files: list[DataFile]) -> None:
        """Save what the run learns from."""
        rows: list[JSON] = [{**vars(file), "file": redacted(file.file)} for file in files]
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

    def _update(self, change: Mapping[str, JSON]) -> None:
        durable.write_json(self.facts_file, {"format": 1, **self.facts(), **change})


@dataclass(frozen=True)
class Summary:
    """A run in a line."""

    name: str
    verb: str
    status: Status
    step: int
    steps: int | None
    loss: float | None
    began: datetime


def list_runs(runs: Path) -> list[Summary]:
    """Return a summary of each run of a folder, in the order in which they began."""
    return [_summary(run) for run in all_runs(runs)]


def all_runs(runs: Path) -> list[Run]:
    """Return the runs of a folder in the order in which they began."""
    if not runs.is_dir():
        return []
    found = [Run(path) for path in runs.iterdir() if Run(path).facts_file.is_file()]
    return sorted(found, key=lambda run: (str(run.facts()["began"]), run.path.name))


def _summary(run: Run) -> Summary:
    facts, last = run.facts(), last_record(run.metrics_file)
    steps = facts["steps"]
    return Summary(
        name=run.path.name,
        verb=str(facts["verb"]),
        status=run.status(),
        step=last.step if last else 0,
        steps=steps if isinstance(steps, int) else None,
        loss=last.values.get("loss") if last else None,
        began=datetime.fromisoformat(str(facts["began"])),
    )


def written(directory: Path, *, seen_from: Path) -> str:
    """Return how a directory is written down in a run that lies at `seen_from`.

    Where the run lies within it, as the way up, which holds when both are moved together; else
    absolute, and the home folder as `~`.
    """
    run = seen_from.absolute()
    if run.is_relative_to(directory):
        return "/".join([".."] * len(run.relative_to(directory).parts)) or "."
    with contextlib.suppress(RuntimeError):  # there may be no home
        home = Path.home()
        if home != home.parent and directory.is_relative_to(home):
            return (Path("~") / directory.relative_to(home)).as_posix()
    return str(directory)


def _make_named(runs: Path, name: str) -> Path:
    if not NAME.fullmatch(name) or name.startswith(".") or name.endswith((".", " ")):
        raise InputError(
            f"--name: {name!r} cannot be a folder's name; use letters, digits, - and _"
        )
    path = runs / name
    with durable.explained(path):
        try:
            path.mkdir()
        except FileExistsError as error:
            raise InputError(
                f"{path}: exists already; choose another --name, or go on with "
                f"`upbring resume {path}`"
            ) from error
    return path


def _make_numbered(runs: Path, verb: str) -> Path:
    pattern = re.compile(rf"{re.escape(verb)}-(\d+)")
    taken = [int(match[1]) for each in runs.iterdir() if (match := pattern.fullmatch(each.name))]
    number = max(taken, default=0)
    while True:
        number += 1  # another process may have been faster
        path = runs / f"{verb}-{number}"
        with durable.explained(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
