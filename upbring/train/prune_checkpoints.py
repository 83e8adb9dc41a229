"""Which checkpoints of a run can be deleted: those that no resumed run would read.

A finished run with an intact model needs none. An interrupted one needs its two newest that verify
(the newest may be damaged later), the best one, and the one to go back to after bad steps. A
running one is not touched, nor is a checkpoint that another run names as an input.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.errors import InputError, UpbringError
from upbring.runs.run_folder import Run, Status
from upbring.train.checkpoint import MIN_CHECKPOINTS, STATE, saved_steps

# facts of a checkpoint that are steps of other checkpoints
STEP_FACTS = frozenset({"best_step", "anchor"})


@dataclass(frozen=True)
class PruneDecision:
    """What to delete of one run's checkpoints, and why the rest is kept."""

    run: Run
    status: Status
    deleted: tuple[Path, ...]
    kept: tuple[Path, ...]
    reason: str
    num_bytes: int  # of what is deleted


def decide(run: Run, *, used: Collection[Path] = ()) -> PruneDecision:
    """Return which checkpoints can be deleted; `used` are paths that other runs name."""
    status = run.status()
    folders = [run.checkpoints / f"step-{step}" for step in saved_steps(run.checkpoints)]
    needed, reason = _find_needed(run, status, folders)
    named = {each for each in folders for path in used if path.is_relative_to(each.resolve())}
    if run.checkpoints.resolve() in {path.resolve() for path in used}:
        named = {*folders}
    if named - needed:
        reason = "; ".join(filter(None, (reason, "another run names them")))
    kept = tuple(each for each in folders if each in needed | named)
    deleted = tuple(each for each in folders if each not in kept)
    return PruneDecision(run, status, deleted, kept, reason, sum(map(_size, deleted)))


def delete(decision: PruneDecision) -> None:
    """Delete what was decided; raise if the run changed since. The run is locked meanwhile."""
    run = decision.run
    with run.lock():
        is_finished = run.read_metadata()["finished_at"] is not None
        decided = {each.name for each in (*decision.deleted, *decision.kept)}
        present = {f"step-{step}" for step in saved_steps(run.checkpoints)}
        if is_finished != (decision.status == "finished") or present != decided:
            raise InputError(f"{run.path}: was trained meanwhile; run the command again")
        for folder in decision.deleted:
            durable.remove(folder)


def _find_needed(run: Run, status: Status, folders: list[Path]) -> tuple[set[Path], str]:
    """Return the checkpoints that a run needs itself, and why."""
    if status == "running":
        return {*folders}, "it is running"
    if status == "finished":
        return (set(), "") if _is_intact(run.model) else ({*folders}, "its model is damaged")
    return set(_needed_to_resume(run, folders)), "needed to resume"


def _needed_to_resume(run: Run, folders: list[Path]) -> Iterator[Path]:
    num_valid = 0
    for folder in reversed(folders):
        if num_valid == MIN_CHECKPOINTS:
            return
        yield folder
        if _is_intact(folder):
            num_valid += 1
            facts = json.loads((folder / STATE).read_bytes())["facts"]
            yield from (run.checkpoints / f"step-{step}" for step in _named_steps(facts))


def _named_steps(facts: object) -> Iterator[int]:
    """Yield the steps of other checkpoints that a checkpoint's facts name.

    >>> [*_named_steps({"best_step": 4, "guard": {"anchor": 2}, "step": 6})]
    [4, 2]
    """
    for name, value in facts.items() if isinstance(facts, Mapping) else ():
        if name in STEP_FACTS and isinstance(value, int):
            yield value
        yield from _named_steps(value)


def _is_intact(folder: Path) -> bool:
    try:
        durable.verify(folder)
    except (UpbringError, OSError):
        return False
    return True


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
