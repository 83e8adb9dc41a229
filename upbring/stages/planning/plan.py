"""The memory and the time of a stage: computed, and formatted for people.

The numbers come from the context of the stage: rows, lengths and steps are those of the run. For a
stage that does not fit into memory, `savings` lists the settings to change, with what each saves.

Excluded: what a run does before its first step and after its last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from upbring import durable
from upbring.data.trees.tree import Tree
from upbring.model.load import ModelFiles, adapter_chain
from upbring.plurals import format_count
from upbring.stages.context import StageContext
from upbring.stages.planning.dry_model import make_probe_config, weight_file_bytes
from upbring.stages.planning.estimate import (
    LIBRARIES,
    MemoryEstimate,
    MemoryProfile,
    MemoryWorkload,
    estimate_memory,
    with_gradient_checkpointing,
)
from upbring.stages.planning.machine_load import LoadMeter, describe_load
from upbring.stages.planning.memory_probe import ProbeConfig, profile_network
from upbring.stages.planning.method_workload import make_workload
from upbring.stages.planning.speed_probe import (
    PROBE_SECONDS,
    TimeEstimate,
    TimeWorkload,
    estimate_seconds,
    measure_speed,
)
from upbring.stages.planning.workload import Workload
from upbring.train import devices
from upbring.train.progress import format_duration

MAX_TIMED_TREES = 64  # trees
NUM_LISTED_PARTS = 4  # parts of the memory that fit on a line


@dataclass(frozen=True)
class Plan:
    """A stage's memory, and what it was computed from."""

    memory_profile: MemoryProfile
    workload: Workload
    memory: MemoryEstimate
    available_bytes: int
    settings: Any  # each method's own
    probe_config: ProbeConfig

    @property
    def memory_workload(self) -> MemoryWorkload:
        """The part of the workload that determines memory."""
        return self.workload.memory

    @property
    def time_workload(self) -> TimeWorkload:
        """The part of the workload that determines time."""
        return self.workload.time

    @property
    def trees(self) -> tuple[Tree, ...]:
        """Trees of the first steps, the typical one first."""
        return self.workload.trees


def plan(context: StageContext, *, baseline: int) -> Plan:
    """Return the plan of a stage; `baseline` is the memory of the process without the model."""
    workload = make_workload(context)
    loaded = context.loaded
    files = ModelFiles(loaded.folder, loaded.base, adapter_chain(loaded.folder)[1])
    probe_config = make_probe_config(context.settings, context.machine, files)
    memory_profile = profile_network(
        loaded.model.network,
        probe_config,
        typical=workload.trees[0],
        file_bytes=weight_file_bytes(
            loaded.base,
            vocabulary=loaded.model.network.config.get_text_config().vocab_size,
            quantization=probe_config.quantization,
        ),
    )
    return Plan(
        memory_profile=memory_profile,
        workload=workload,
        memory=estimate_memory(memory_profile, workload.memory, baseline=baseline),
        available_bytes=devices.total_memory(context.machine.device),
        settings=context.settings,
        probe_config=probe_config,
    )


def measure_time(
    context: StageContext, stage_plan: Plan, *, max_seconds: float = PROBE_SECONDS
) -> TimeEstimate:
    """Return the time of a plan's steps at the machine's present load, from a short measurement."""
    with LoadMeter() as meter:
        speed_profile = measure_speed(
            context.loaded.model.network.config,
            stage_plan.probe_config,
            stage_plan.trees[:MAX_TIMED_TREES],
            sampling=stage_plan.workload.sampling,
            max_seconds=max_seconds,
        )
    estimate = estimate_seconds(stage_plan.memory_profile, speed_profile, stage_plan.time_workload)
    return replace(estimate, other_load=meter.other_load)


def format_time(stage_plan: Plan, time: TimeEstimate) -> str:
    """Return a plan's time on one line."""
    time_workload = stage_plan.time_workload
    load = describe_load(time.other_load)
    steps = format_count(time_workload.steps, "step")
    evaluations = format_count(time_workload.evaluations, "evaluation")
    return (
        f"time: about {format_seconds(time.total)} for {steps} of "
        f"{time_workload.step_tokens:,.0f} tokens, {format_seconds(time.step)} each, and "
        f"{evaluations}, {format_seconds(time.evaluation)} each; "
        f"without reading and saving{load and f'; {load}'}"
    )


def format_seconds(seconds: float) -> str:
    """Return a time that may be less than a second.

    >>> format_seconds(0.0312), format_seconds(75.0)
    ('0.031 s', '1 min 15 s')
    """
    return f"{seconds:.2g} s" if seconds < 10 else format_duration(seconds)  # noqa: PLR2004 -- two digits suffice


def format_memory(stage_plan: Plan) -> str:
    """Return a plan's memory on one line, the largest parts first."""
    parts = sorted(stage_plan.memory.peak_parts.items(), key=lambda part: -part[1])
    largest = ", ".join(
        f"{name} {durable.format_size(size)}" for name, size in parts[:NUM_LISTED_PARTS]
    )
    suffix = ", smaller parts" if len(parts) > NUM_LISTED_PARTS else ""
    total, available = stage_plan.memory.total, stage_plan.available_bytes
    warning = "" if total <= available else ": more than available"
    return (
        f"memory: about {durable.format_size(total)} of {durable.format_size(available)}{warning} "
        f"({largest}{suffix})"
    )


def savings(stage_plan: Plan) -> list[str]:
    """Return the settings to change, in order, each with what it saves by itself."""
    return [
        f"{change}: about {durable.format_size(saved)} less"
        for change, saved in _suggest_changes(stage_plan)
        if saved > 0
    ]


def _suggest_changes(stage_plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield settings to change and the bytes that each saves, the cheapest for the user first."""
    memory_profile, memory_workload, settings = (
        stage_plan.memory_profile,
        stage_plan.memory_workload,
        stage_plan.settings,
    )
    baseline = stage_plan.memory.constant[LIBRARIES]

    def bytes_saved(
        memory_profile: MemoryProfile = memory_profile,
        memory_workload: MemoryWorkload = memory_workload,
    ) -> int:
        changed = estimate_memory(memory_profile, memory_workload, baseline=baseline)
        return stage_plan.memory.total - changed.total

    def bytes_saved_at(share: float) -> int:
        return bytes_saved(memory_workload=_scale_micro_batch(memory_workload, share))

    longest = max(tree.num_tokens for tree in stage_plan.trees)
    half = max(longest, memory_workload.train_tokens // 2)
    if half < memory_workload.train_tokens:
        yield f"--micro-batch-tokens {half}", bytes_saved_at(half / memory_workload.train_tokens)
    if not settings.gradient_checkpointing:
        yield "--gradient-checkpointing", bytes_saved(with_gradient_checkpointing(memory_profile))
    if stage_plan.probe_config.compute_dtype == torch.float32:
        yield "--dtype bfloat16", bytes_saved(_in_bfloat16(memory_profile))
    if half == longest:  # the longest row fills a micro-batch by itself
        share = settings.max_length // 2 / longest
        if share < 1:
            yield f"--max-length {settings.max_length // 2}", bytes_saved_at(share)
    num_trainable = memory_profile.num_trainable
    if memory_profile.is_full:
        adapter = replace(memory_profile, num_trainable=num_trainable // 100)
        yield "--tune lora", bytes_saved(adapter)
    elif settings.rank > 1:
        smaller = replace(memory_profile, num_trainable=num_trainable // 2)
        yield f"--rank {settings.rank // 2}", bytes_saved(smaller)


def _in_bfloat16(memory_profile: MemoryProfile) -> MemoryProfile:
    """Return about the profile of a float32 model in bfloat16; trained weights stay float32."""
    weight_bytes = memory_profile.weight_bytes
    return replace(
        memory_profile,
        weight_bytes=weight_bytes if memory_profile.is_full else weight_bytes // 2,
        layer_activations=memory_profile.layer_activations * 0.6,
    )


def _scale_micro_batch(memory_workload: MemoryWorkload, share: float) -> MemoryWorkload:
    """Return the workload in micro-batches with a share of the tokens."""
    return replace(
        memory_workload,
        train_tokens=int(memory_workload.train_tokens * share),
        train_rows=int(memory_workload.train_rows * share),
        micro_batches=memory_workload.micro_batches + 1,
        forward_tokens=int(memory_workload.forward_tokens * share),
        forward_rows=int(memory_workload.forward_rows * share),
    )
