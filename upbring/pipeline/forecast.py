"""What a road would take from where it stands: which stages are kept, and what the others need.

A stage is kept or done again by the very rule of `Road.take`. What was done tells what it took. The
others are planned as their verbs are. A model that a stage has still to make is planned as the one
which that stage begins from, for it is of the same shape; rows that are still to be made are waited
for. Nothing is written but the cache, and no weight is read.

Left out: the time of stages that do not train, and of the evaluation.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.pipeline.runner import Road, Standing
from upbring.pipeline.spec import Step
from upbring.runs.find_model import read_object
from upbring.runs.run_folder import Run
from upbring.settings.references import references, unweighed
from upbring.settings.resolve import Resolved
from upbring.stages.context import Cast
from upbring.stages.planning.dry_model import bytes_of, rehearsed
from upbring.stages.planning.estimate import FLOAT, MOMENTS
from upbring.stages.planning.plan import Plan, expected, plan
from upbring.stages.registry import CRAFTS
from upbring.train import checkpoint

TRIED = 0.5  # seconds of trying, for a stage whose like was not planned before
COMPANIONS = ("*.json", "*.jinja", "*.txt", "*.model")  # tokenizer and template, beside weights
MODELS = frozenset({"model", "reward", "judge"})  # settings that name a model, never rows


@dataclass(frozen=True)
class Prospect:
    """A stage: what is to be done of it, and what that takes; what is not known is None."""

    name: str
    verb: str
    standing: Standing
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None  # the most that its folder comes to hold
    there: int = 0  # of that, what it holds already
    note: str = ""


def prospects(road: Road) -> list[Prospect]:
    """Return each stage of a road as it stands."""
    outlook = _Outlook(road, durable.memory_bytes() or 0)
    return [outlook.of(*found) for found in road.standings()]


def free(folder: Path) -> int:
    """Return the free bytes where `folder` is or will be."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True)
class _Outlook:
    """What is known of the stages that were looked at; those that are kept are in no mapping."""

    road: Road
    before: int  # bytes that this process holds without a model
    begins: dict[str, str] = field(default_factory=dict)  # with which model that is there
    writes: dict[str, int] = field(default_factory=dict)  # bytes of an adapter, where known
    full: set[str] = field(default_factory=set)  # those that make whole models
    ahead: set[str] = field(default_factory=set)

    def of(self, step: Step, resolved: Resolved[Any], standing: Standing) -> Prospect:
        """Return a stage as it stands."""
        if standing == "kept":
            return _taken(self.road, step)
        self.ahead.add(step.name)
        if step.verb not in CRAFTS:
            return Prospect(step.name, step.verb, standing, note="does not train")
        change, unknown = self._stood_in(resolved)
        begun = resolved.settings.model_copy(update=change)
        self.begins[step.name] = begun.model
        if begun.tune == "full":
            self.full.add(step.name)
        if unknown:
            note = f"not known before {', '.join(sorted(unknown))}"
            return Prospect(step.name, step.verb, standing, note=note)
        return self._planned(step, resolved, begun, standing)

    def _planned(
        self, step: Step, resolved: Resolved[Any], begun: object, standing: Standing
    ) -> Prospect:
        """Return what a stage is going to take."""
        cast = rehearsed(step.verb, Resolved(begun, resolved.origins), notice=lambda _: None)
        made = plan(cast, before=self.before, file=bytes_of(cast.loaded.base))
        maker = self._maker(resolved.settings.model)
        below = _adapter(cast) if maker is None else self.writes.get(maker, 0)
        model = FLOAT * made.shape.learned + (0 if made.shape.is_full else below)
        self.writes[step.name] = 0 if made.shape.is_full else model
        run = Run(self.road.place(step.name))
        share, note = _left(run) if standing == "goes on" else (1.0, "")
        if made.memory.total > made.available:
            note = f"too large: `upbring plan {step.verb} …` says what to change"
        return Prospect(
            step.name,
            step.verb,
            standing,
            seconds=share * expected(cast, made, within=TRIED).total,
            memory=made.memory.total,
            disk=checkpoints(made) + model + _companions(cast.loaded.base),
            there=_held(run.path) if standing == "goes on" else 0,
            note=note,
        )

    def _stood_in(self, resolved: Resolved[Any]) -> tuple[dict[str, object], set[str]]:
        """Return models that are there for those to be made, and the stages that make the rest."""
        settings, unknown = resolved.settings, set[str]()
        change: dict[str, object] = {}
        for name in {name for name, _ in references(settings)}:
            value = getattr(settings, name)
            put = []
            for each in value if isinstance(value, tuple) else (value,):
                text, weight = unweighed(name, str(each))
                maker = self._maker(text)
                if maker is None:
                    put.append(each)
                elif self._has_stand_in(name, maker):
                    put.append(self.begins[maker] + weight)
                else:
                    unknown.add(maker)
            change[name] = tuple(put) if isinstance(value, tuple) else next(iter(put), value)
        return change, unknown

    def _has_stand_in(self, setting: str, maker: str) -> bool:
        """Whether a model that is there takes as much as the one that a setting names."""
        if maker not in self.begins or setting not in MODELS:
            return False
        return setting == "model" or maker not in self.full

    def _maker(self, value: object) -> str | None:
        """Return the stage that has still to make what a setting names."""
        stages = self.road.folder / "stages"
        if not Path(str(value)).is_relative_to(stages):
            return None
        name = Path(str(value)).relative_to(stages).parts[0]
        return name if name in self.ahead else None


def _left(run: Run) -> tuple[float, str]:
    """Return the share of a stopped run's steps that are left, and where it stopped."""
    steps, saved = run.facts()["steps"], checkpoint.steps(run.checkpoints)
    if not isinstance(steps, int) or not saved:
        return 1.0, "from its beginning"
    return 1 - saved[-1] / steps, f"after step {saved[-1]} of {steps}"


def _taken(road: Road, step: Step) -> Prospect:
    """Return what a finished stage took."""
    place = road.place(step.name)
    disk = _held(place)
    if step.verb not in CRAFTS:
        return Prospect(step.name, step.verb, "kept", disk=disk, there=disk)
    run = Run.open(place)
    facts, costs = run.facts(), read_object(run.environment_file)
    return Prospect(
        step.name,
        step.verb,
        "kept",
        seconds=_between(facts),
        memory=peak if isinstance(peak := costs.get("peak_memory_bytes"), int) else None,
        disk=disk,
        there=disk,
    )


def _between(facts: Mapping[str, object]) -> float | None:
    """Return the seconds between a run's beginning and its end, where both are written down."""
    began, finished = facts.get("began"), facts.get("finished")
    if not (isinstance(began, str) and isinstance(finished, str)):
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(began)).total_seconds()


def checkpoints(made: Plan) -> int:
    """Return the most bytes that a stage's checkpoints come to hold.

    Each has the numbers that learn, and AdamW's two for each; that of the beginning has no moments
    yet. The newest are kept, and the best beside them or, while it is written, the next.
    """
    settings, steps = made.settings, made.course.steps
    saved = {steps}
    for every in (settings.evaluate_every, settings.save_every):
        saved |= {*range(0, steps, every or max(1, steps // 10))}
    numbers = FLOAT * made.shape.learned * made.work.learning
    held: int = min(len(saved), settings.keep + 1)
    return numbers * ((1 + MOMENTS) * held - (MOMENTS if held == len(saved) else 0))


def _adapter(cast: Cast) -> int:
    """Return the bytes of the adapters that a stage begins from: they go below its own."""
    file = cast.loaded.folder / "adapter_model.safetensors"
    return file.stat().st_size if file.is_file() else 0


def _companions(base: Path) -> int:
    """Return the bytes of what is written beside weights again: tokenizer, template."""
    return sum(file.stat().st_size for each in COMPANIONS for file in base.glob(each))


def _held(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
