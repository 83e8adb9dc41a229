"""What a stage takes of memory and time: for `upbring plan`, a run's first lines and its last ones.

The numbers come from the stage's own cast: rows, lengths and steps are those of the run. When
memory did not suffice, the settings to change are named in order, each with what it saves.

Left out: what a run does before its first step and behind its last.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from upbring import durable
from upbring.data.trees.tree import Tree
from upbring.errors import ResourceError, UpbringError
from upbring.runs.run_folder import Run
from upbring.stages.context import StageContext
from upbring.stages.planning.cache import PlanCache
from upbring.stages.planning.dry_model import make_probe_config, weight_file_bytes
from upbring.stages.planning.estimate import (
    MemoryEstimate,
    MemoryProfile,
    MemoryWorkload,
    estimate_memory,
    with_gradient_checkpointing,
)
from upbring.stages.planning.memory_probe import ProbeConfig, profile_network
from upbring.stages.planning.speed_probe import (
    PROBE_SECONDS,
    TimeEstimate,
    TimeWorkload,
    estimate_seconds,
    measure_speed,
)
from upbring.stages.planning.workload import Workload, make_workload
from upbring.train import checkpoint, devices
from upbring.train.progress import format_duration

MAX_TIMED_TREES = 64  # trees
FORECAST_SECONDS = (
    0.1  # seconds of trying at the beginning of a run whose like was not planned before
)
_OUT_OF_MEMORY_PHRASES = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
)


@dataclass(frozen=True)
class Plan:
    """A stage's memory, and what it was made of."""

    memory_profile: MemoryProfile
    workload: Workload
    memory: MemoryEstimate
    available_bytes: int
    settings: Any  # each method's own
    probe_config: ProbeConfig
    cache: PlanCache

    @property
    def memory_workload(self) -> MemoryWorkload:
        """What is asked of memory."""
        return self.workload.memory

    @property
    def time_workload(self) -> TimeWorkload:
        """What is asked of time."""
        return self.workload.time

    @property
    def trees(self) -> tuple[Tree, ...]:
        """Trees, the typical one first."""
        return self.workload.trees


def plan(context: StageContext, *, baseline: int, file_bytes: int = 0) -> Plan:
    """Return the plan of a stage; `baseline` is what the process holds without the model."""
    workload = make_workload(context)
    cache = PlanCache.load(context, workload)
    probe_config = make_probe_config(context.settings, context.machine)
    memory_profile = cache.memory_profile or profile_network(
        context.loaded.model.network, probe_config, typical=workload.trees[0]
    )
    return Plan(
        memory_profile=replace(memory_profile, file_bytes=file_bytes),
        workload=workload,
        memory=estimate_memory(
            replace(memory_profile, file_bytes=file_bytes), workload.memory, baseline=baseline
        ),
        available_bytes=devices.total_memory(context.machine.device),
        settings=context.settings,
        probe_config=probe_config,
        cache=cache,
    )


def measure_time(
    context: StageContext, stage_plan: Plan, *, max_seconds: float = PROBE_SECONDS
) -> TimeEstimate:
    """Return the time that a plan's steps take here, after two seconds of trying."""
    speed_profile = measure_speed(
        context.loaded.model.network.config,
        stage_plan.probe_config,
        stage_plan.trees[:MAX_TIMED_TREES],
        sampling=stage_plan.workload.sampling,
        max_seconds=max_seconds,
    )
    stage_plan.cache.save(memory_profile=stage_plan.memory_profile, speed_profile=speed_profile)
    return estimate_seconds(stage_plan.memory_profile, speed_profile, stage_plan.time_workload)


def estimate_time(context: StageContext, stage_plan: Plan, *, max_seconds: float) -> TimeEstimate:
    """Return the time of a plan's steps as one of its kind was timed, or after some trying."""
    speed_profile = stage_plan.cache.speed_profile
    if speed_profile is None:
        return measure_time(context, stage_plan, max_seconds=max_seconds)
    return estimate_seconds(stage_plan.memory_profile, speed_profile, stage_plan.time_workload)


def log_forecast(context: StageContext) -> Plan | None:
    """Tell what a run is going to take, before a weight is read, and return the plan.

    What was counted and timed for one of its kind before is not tried again. A forecast that cannot
    be made says why, and the run goes on.
    """
    try:
        made = plan(
            context,
            baseline=durable.process_memory_bytes() or 0,
            file_bytes=weight_file_bytes(context.loaded.base),
        )
        time = estimate_time(context, made, max_seconds=FORECAST_SECONDS)
    except UpbringError:
        raise
    except Exception as error:  # noqa: BLE001 -- no run may fail for what is only said of it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        context.log(f"memory and time: cannot be told before the run ({reason})")
        return None
    context.log(format_memory(made))
    context.log(format_time(made, time))
    return made


def format_time(stage_plan: Plan, time: TimeEstimate) -> str:
    """Return a plan's time in a line."""
    time_workload = stage_plan.time_workload
    return (
        f"time: about {format_seconds(time.total)} for {time_workload.steps:,} steps of "
        f"{time_workload.step_tokens:,.0f} tokens, {format_seconds(time.step)} each, and {time_workload.evaluations} "
        f"evaluations, {format_seconds(time.evaluation)} each; reading and saving come on top"
    )


def format_seconds(seconds: float) -> str:
    """Return a time that may be less than a second.

    >>> format_seconds(0.0312), format_seconds(75.0)
    ('0.031 s', '1 min 15 s')
    """
    return f"{seconds:.2g} s" if seconds < 10 else format_duration(seconds)  # noqa: PLR2004 -- two digits tell


def format_memory(stage_plan: Plan) -> str:
    """Return a plan's memory in a line, the largest parts first."""
    parts = sorted(stage_plan.memory.peak_parts.items(), key=lambda part: -part[1])
    largest = ", ".join(f"{name} {durable.format_size(size)}" for name, size in parts[:4])
    suffix = " and less" if len(parts) > 4 else ""  # noqa: PLR2004 -- as many as fit a line
    warning = (
        "" if stage_plan.memory.total <= stage_plan.available_bytes else ": more than there is"
    )
    return (
        f"memory: about {durable.format_size(stage_plan.memory.total)} of {durable.format_size(stage_plan.available_bytes)}{warning} "
        f"({largest}{suffix})"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, whichever library raised it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        s in str(error).lower() for s in _OUT_OF_MEMORY_PHRASES
    )


def out_of_memory_error(
    error: BaseException, stage_plan: Plan | None = None, run: Run | None = None
) -> ResourceError:
    """Return what to tell when memory does not suffice: the settings to change, in order."""
    explanation = "it does not suffice"
    if stage_plan is not None:
        total, available = (
            durable.format_size(size)
            for size in (stage_plan.memory.total, stage_plan.available_bytes)
        )
        explanation += f": this run was to take about {total}, and there are {available} in all"
    reason = str(error).strip().splitlines()[0][:100] if str(error).strip() else "none is left"
    changes = savings(stage_plan) if stage_plan is not None else _DEFAULT_CHANGES
    lines = [
        f"memory: {explanation} ({reason}); change these settings, in this order, until it fits:",
        *(f"  {change}" for change in changes),
    ]
    if run is not None and (saved_steps := checkpoint.saved_steps(run.checkpoints)):
        lines.append(
            f"the checkpoint of step {saved_steps[-1]} is kept; where there is more memory, go on with "
            f"`upbring resume {run.path}`"
        )
    return ResourceError("\n".join(lines))


_DEFAULT_CHANGES = [
    "--micro-batch-tokens, half of what it was",
    "--gradient-checkpointing",
    "--dtype bfloat16",
    "--tune lora",
]


def savings(stage_plan: Plan) -> list[str]:
    """Return the settings to change, each with what it saves by itself."""
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
    baseline = stage_plan.memory.constant["interpreter and libraries"]

    def bytes_saved(
        memory_profile: MemoryProfile = memory_profile,
        memory_workload: MemoryWorkload = memory_workload,
    ) -> int:
        return (
            stage_plan.memory.total
            - estimate_memory(memory_profile, memory_workload, baseline=baseline).total
        )

    longest = max(tree.num_tokens for tree in stage_plan.trees)
    half = max(longest, memory_workload.train_tokens // 2)
    if half < memory_workload.train_tokens:
        yield (
            f"--micro-batch-tokens {half}",
            bytes_saved(
                memory_workload=_scale_micro_batch(
                    memory_workload, half / memory_workload.train_tokens
                )
            ),
        )
    if not settings.gradient_checkpointing:
        yield "--gradient-checkpointing", bytes_saved(with_gradient_checkpointing(memory_profile))
    if stage_plan.probe_config.compute_dtype == torch.float32:
        weights = (
            memory_profile.weight_bytes
            if memory_profile.is_full
            else memory_profile.weight_bytes // 2
        )
        halved = replace(
            memory_profile,
            weight_bytes=weights,
            layer_activations=memory_profile.layer_activations * 0.6,
        )
        yield "--dtype bfloat16", bytes_saved(halved)
    if half == longest:  # it is the longest row that fills a micro-batch
        share = settings.max_length // 2 / longest
        if share < 1:
            yield (
                f"--max-length {settings.max_length // 2}",
                bytes_saved(memory_workload=_scale_micro_batch(memory_workload, share)),
            )
    if memory_profile.is_full:
        yield (
            "--tune lora",
            bytes_saved(replace(memory_profile, num_trainable=memory_profile.num_trainable // 100)),
        )
    elif settings.rank > 1:
        yield (
            f"--rank {settings.rank // 2}",
            bytes_saved(replace(memory_profile, num_trainable=memory_profile.num_trainable // 2)),
        )


def _scale_micro_batch(memory_workload: MemoryWorkload, share: float) -> MemoryWorkload:
    """Return the work in micro-batches of a share of the tokens."""
    return replace(
        memory_workload,
        train_tokens=int(memory_workload.train_tokens * share),
        train_rows=int(memory_workload.train_rows * share),
        micro_batches=memory_workload.micro_batches + 1,
        forward_tokens=int(memory_workload.forward_tokens * share),
        forward_rows=int(memory_workload.forward_rows * share),
    )


@contextmanager
def explain_out_of_memory(stage_plan: Plan | None = None, run: Run | None = None) -> Iterator[None]:
    """Turn what libraries raise when memory is gone into advice and exit code 3."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory_error(error, stage_plan, run) from error
