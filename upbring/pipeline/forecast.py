"""The forecast of a pipeline: which stages are kept, and what the others need.

`PipelineRunner` decides which stages are kept. The resources of a finished stage are recorded,
those of the others are planned. A model that is not trained yet is replaced by the one that its
stage starts from, which has the same shape. A stage whose rows do not exist yet has no forecast.
No weights are read, and nothing is written except for the cache of encoded rows.

Excluded: the time of stages that do not train, and of the evaluation.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.pipeline.recipe import StageSpec
from upbring.pipeline.runner import PipelineRunner, StageAction
from upbring.runs.json_object import read_json_object
from upbring.runs.run_folder import STAGES_FOLDER, Run
from upbring.settings.input_references import input_references, split_weight
from upbring.settings.resolve import Resolved
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import make_dry_run_context
from upbring.stages.planning.estimate import FLOAT32_BYTES, NUM_ADAMW_MOMENTS
from upbring.stages.planning.plan import Plan, measure_time, plan
from upbring.stages.registry import methods
from upbring.train import checkpoint

PROBE_SECONDS = 0.5  # of the measurement of a stage
# Of the tokenizer and the chat template, next to the weights.
TOKENIZER_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
# Settings that name a model, never rows.
MODEL_SETTINGS = frozenset({"model", "reward_model", "judge"})


@dataclass(frozen=True)
class StageForecast:
    """A stage, its action and the resources it needs; None where unknown."""

    name: str
    command: str
    action: StageAction
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None  # the peak of its folder
    disk_used: int = 0  # by its folder now
    note: str = ""
    other_load: float | None = 0.0  # share of the cores that others used while it was measured


def forecast_stages(runner: PipelineRunner) -> list[StageForecast]:
    """Return the forecast of each stage of a pipeline."""
    forecaster = _Forecaster(runner, durable.process_memory_bytes())
    return [forecaster.forecast(*planned) for planned in runner.planned_actions()]


def free_disk_bytes(folder: Path) -> int:
    """Return the free bytes where `folder` is or will be."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(existing).free


@dataclass(frozen=True)
class _Forecaster:
    """Plans stage after stage; the mappings are about the stages that are not kept, by name."""

    runner: PipelineRunner
    baseline_memory: int  # bytes of this process without a model
    stand_ins: dict[str, str] = field(default_factory=dict)  # existing models of the same shape
    adapter_bytes: dict[str, int] = field(default_factory=dict)
    full_finetunes: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)

    def forecast(
        self, stage: StageSpec, resolved: Resolved[Any], action: StageAction
    ) -> StageForecast:
        """Return the forecast of a stage."""
        if action == "kept":
            return _finished_forecast(self.runner, stage)
        self.pending.add(stage.name)
        if stage.command not in methods():
            return StageForecast(stage.name, stage.command, action, note="does not train")
        updates, unknown = self._substitute_pending_models(resolved)
        stand_in_settings = resolved.settings.model_copy(update=updates)
        self.stand_ins[stage.name] = stand_in_settings.model
        if stand_in_settings.tune == "full":
            self.full_finetunes.add(stage.name)
        if unknown:
            note = f"not known before {', '.join(sorted(unknown))}"
            return StageForecast(stage.name, stage.command, action, note=note)
        return self._forecast_training(stage, resolved, stand_in_settings, action)

    def _forecast_training(
        self,
        stage: StageSpec,
        resolved: Resolved[Any],
        stand_in_settings: object,
        action: StageAction,
    ) -> StageForecast:
        """Return the forecast of a stage that trains."""
        context = make_dry_run_context(
            stage.command, Resolved(stand_in_settings, resolved.origins), log=lambda _: None
        )
        run_plan = plan(context, baseline=self.baseline_memory)
        time = measure_time(context, run_plan, max_seconds=PROBE_SECONDS)
        pending_stage = self._find_pending_stage(resolved.settings.model)
        merged_bytes = (
            _adapter_bytes(context)
            if pending_stage is None
            else self.adapter_bytes.get(pending_stage, 0)
        )
        model_bytes = FLOAT32_BYTES * run_plan.memory_profile.num_trainable + (
            0 if run_plan.memory_profile.is_full else merged_bytes
        )
        self.adapter_bytes[stage.name] = 0 if run_plan.memory_profile.is_full else model_bytes
        run = Run(self.runner.stage_folder(stage.name))
        share_left, note = _share_left(run) if action == "resume" else (1.0, "")
        if run_plan.memory.total > run_plan.available_bytes:
            note = f"too large: `upbring plan {stage.command} …` lists what to change"
        return StageForecast(
            stage.name,
            stage.command,
            action,
            seconds=share_left * time.total,
            memory=run_plan.memory.total,
            disk=max_checkpoint_bytes(run_plan)
            + model_bytes
            + _tokenizer_bytes(context.loaded.base),
            disk_used=_folder_bytes(run.path) if action == "resume" else 0,
            note=note,
            other_load=time.other_load,
        )

    def _substitute_pending_models(
        self, resolved: Resolved[Any]
    ) -> tuple[dict[str, object], set[str]]:
        """Return existing models for those still to be made, and the stages without a stand-in."""
        settings, unknown = resolved.settings, set[str]()
        updates: dict[str, object] = {}
        for name in {name for name, _ in input_references(settings)}:
            value = getattr(settings, name)
            substituted = []
            for each in value if isinstance(value, tuple) else (value,):
                text, weight = split_weight(name, str(each))
                pending_stage = self._find_pending_stage(text)
                if pending_stage is None:
                    substituted.append(each)
                elif self._has_stand_in(name, pending_stage):
                    substituted.append(self.stand_ins[pending_stage] + weight)
                else:
                    unknown.add(pending_stage)
            updates[name] = (
                tuple(substituted) if isinstance(value, tuple) else next(iter(substituted), value)
            )
        return updates, unknown

    def _has_stand_in(self, setting: str, pending_stage: str) -> bool:
        """Whether there is an existing model of the size of the one that a setting names."""
        if pending_stage not in self.stand_ins or setting not in MODEL_SETTINGS:
            return False
        return setting == "model" or pending_stage not in self.full_finetunes

    def _find_pending_stage(self, value: object) -> str | None:
        """Return the stage that has still to make the file or model that a setting names."""
        stages = self.runner.folder / STAGES_FOLDER
        if not Path(str(value)).is_relative_to(stages):
            return None
        name = Path(str(value)).relative_to(stages).parts[0]
        return name if name in self.pending else None


def _share_left(run: Run) -> tuple[float, str]:
    """Return the share of steps that are left of a stopped run, and where it stopped."""
    steps, saved_steps = run.read_metadata()["steps"], checkpoint.saved_steps(run.checkpoints)
    if not isinstance(steps, int) or not saved_steps:
        return 1.0, "from the start"
    return 1 - saved_steps[-1] / steps, f"after step {saved_steps[-1]} of {steps}"


def _finished_forecast(runner: PipelineRunner, stage: StageSpec) -> StageForecast:
    """Return the time, memory and disk space that a finished stage used."""
    folder = runner.stage_folder(stage.name)
    disk = _folder_bytes(folder)
    if stage.command not in methods():
        return StageForecast(stage.name, stage.command, "kept", disk=disk, disk_used=disk)
    run = Run.open(folder)
    facts, environment = run.read_metadata(), read_json_object(run.environment_file)
    return StageForecast(
        stage.name,
        stage.command,
        "kept",
        seconds=_elapsed_seconds(facts),
        memory=peak if isinstance(peak := environment.get("peak_memory_bytes"), int) else None,
        disk=disk,
        disk_used=disk,
    )


def _elapsed_seconds(facts: Mapping[str, object]) -> float | None:
    """Return the seconds between a run's start and its end, where both are recorded."""
    started_at, finished_at = facts.get("started_at"), facts.get("finished_at")
    if not (isinstance(started_at, str) and isinstance(finished_at, str)):
        return None
    return (
        datetime.fromisoformat(finished_at) - datetime.fromisoformat(started_at)
    ).total_seconds()


def max_checkpoint_bytes(run_plan: Plan) -> int:
    """Return the peak size of a stage's checkpoints.

    Each has the trained parameters and AdamW's two moments; that of step 0 has no moments yet. The
    newest are kept, and in addition the best or, while it is written, the next.
    """
    settings, steps = run_plan.settings, run_plan.time_workload.steps
    saved_steps = {steps}
    for interval in (settings.eval_steps, settings.save_steps):
        saved_steps |= {*range(0, steps, interval or max(1, steps // 10))}
    trainable_bytes = (
        FLOAT32_BYTES
        * run_plan.memory_profile.num_trainable
        * run_plan.memory_workload.trainable_adapters
    )
    num_kept: int = min(len(saved_steps), settings.save_total_limit + 1)
    return trainable_bytes * (
        (1 + NUM_ADAMW_MOMENTS) * num_kept
        - (NUM_ADAMW_MOMENTS if num_kept == len(saved_steps) else 0)
    )


def _adapter_bytes(context: StageContext) -> int:
    """Return the bytes of the adapter that a stage starts from, which its own one contains."""
    file = context.loaded.folder / "adapter_model.safetensors"
    return file.stat().st_size if file.is_file() else 0


def _tokenizer_bytes(base: Path) -> int:
    """Return the bytes of the tokenizer and the template, which are copied to each model."""
    return sum(file.stat().st_size for each in TOKENIZER_FILES for file in base.glob(each))


def _folder_bytes(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
