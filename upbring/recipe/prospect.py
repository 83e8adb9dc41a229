"""What a road would take from where it stands: which stages are kept, and what the others need.

A stage is kept or done again by the very rule of `Road.take`. What was done tells what it took. The
others are planned as their verbs are: from the road's base, where the model to begin with does not
exist yet, for it is of the same shape; and not at all where rows or a reward are still to be made.
Nothing is written, and no weight is read.

Left out: the time of stages that do not train, and of the evaluation.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.model.estimate import Shape
from upbring.recipe.crafts import CRAFTS
from upbring.recipe.plan import expected, plan
from upbring.recipe.rehearsal import bytes_of, rehearsed
from upbring.recipe.road import Road, Standing
from upbring.recipe.script import Step, references
from upbring.runs.folder import Run
from upbring.runs.locate import read_object
from upbring.settings.resolve import Resolved

TRIED = 0.5  # seconds of trying, for a stage whose like was not planned before
_NUMBER, _MOMENTS = 4, 2  # bytes of a number that learns; AdamW's numbers for each


@dataclass(frozen=True)
class Prospect:
    """A stage: what is to be done of it, and what that takes; what is not known is None."""

    name: str
    verb: str
    standing: Standing
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None
    note: str = ""


def prospects(road: Road) -> list[Prospect]:
    """Return each stage of a road as it stands."""
    before = durable.memory_bytes() or 0
    return [
        _taken(road, step)
        if standing == "kept"
        else _wanted(road, step, resolved, standing, before=before)
        for step, resolved, standing in road.standings()
    ]


def free(folder: Path) -> int:
    """Return the free bytes where `folder` is or will be."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def _taken(road: Road, step: Step) -> Prospect:
    """Return what a finished stage took."""
    place = road.place(step.name)
    disk = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    if step.verb not in CRAFTS:
        return Prospect(step.name, step.verb, "kept", disk=disk)
    run = Run.open(place)
    facts, costs = run.facts(), read_object(run.environment_file)
    began, finished = (facts.get(name) for name in ("began", "finished"))
    is_timed = isinstance(began, str) and isinstance(finished, str)
    return Prospect(
        step.name,
        step.verb,
        "kept",
        seconds=_between(str(began), str(finished)) if is_timed else None,
        memory=peak if isinstance(peak := costs.get("peak_memory_bytes"), int) else None,
        disk=disk,
    )


def _between(began: str, finished: str) -> float:
    first, last = (datetime.fromisoformat(each) for each in (began, finished))
    return (last - first).total_seconds()


def _wanted(
    road: Road, step: Step, resolved: Resolved[Any], standing: Standing, *, before: int
) -> Prospect:
    """Return what a stage is going to take, as far as that can be known now."""
    if step.verb not in CRAFTS:
        return Prospect(step.name, step.verb, standing, note="does not train")
    begun = resolved.settings
    absent = dict(_absent(road, resolved))
    if "model" in absent:
        begun = begun.model_copy(update={"model": road.script.model})
    unknown = sorted({made for name, made in absent.items() if name != "model"})
    if unknown:
        note = f"known when {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} there"
        return Prospect(step.name, step.verb, standing, note=note)
    cast = rehearsed(step.verb, Resolved(begun, resolved.origins), notice=lambda _: None)
    made = plan(cast, before=before, file=bytes_of(cast.loaded.base))
    fits = made.memory.total <= made.available
    return Prospect(
        step.name,
        step.verb,
        standing,
        seconds=expected(cast, made, within=TRIED).total,
        memory=made.memory.total,
        disk=written(made.shape, keep=begun.keep),
        note="" if fits else f"too large: `upbring plan {step.verb} …` says what to change",
    )


def _absent(road: Road, resolved: Resolved[Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that name what a stage has still to make, and that stage."""
    stages = road.folder / "stages"
    for name, value in references(resolved.settings):
        path = Path(value)
        if stages in path.parents and not _is_there(path, is_stage=path.parent == stages):
            yield name, path.relative_to(stages).parts[0]


def _is_there(path: Path, *, is_stage: bool) -> bool:
    """Whether a file is there, or the model of a stage."""
    return (path / "model").is_dir() if is_stage else path.exists()


def written(shape: Shape, *, keep: int) -> int:
    """Return the most bytes that a stage's folder comes to hold: its model and its checkpoints.

    A checkpoint has the numbers that learn and AdamW's two for each; the newest are kept, the best
    beside them, and the one of the beginning, which has no moments yet.
    """
    numbers = shape.learned * _NUMBER
    return numbers + (keep + 1) * numbers * (1 + _MOMENTS) + numbers
