"""One stage: from a model, trees of tokens and settings to a run folder with a trained model.

This module connects data, model, algorithm, training loop and export. The `Implementation` of a
method provides what depends on the method.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.errors import FunctionError, Interrupted, ResourceError, format_command
from upbring.export.weights import write_adapter, write_network
from upbring.model.adapter_notes import adapter_notes
from upbring.model.probe import probe_gradient_checkpointing
from upbring.model.roles import BASE
from upbring.plurals import format_count
from upbring.runs.callback import RunStart
from upbring.runs.contract import Contract
from upbring.runs.metrics import MetricsRecord, read_metrics
from upbring.runs.results import find_judge_quality, list_judges
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.settings.write_settings import format_yaml
from upbring.stages.contamination.remember_rows import remember_rows
from upbring.stages.context import StageContext
from upbring.stages.dataset import can_choose_step
from upbring.stages.model_card import write_card
from upbring.stages.out_of_memory import explain_out_of_memory
from upbring.stages.provenance import (
    check_contract,
    identity,
    make_contract,
    summary_lines,
    write_provenance,
    write_resource_usage,
)
from upbring.stages.registry import Method
from upbring.train import checkpoint, processes
from upbring.train.callbacks import Callbacks
from upbring.train.loop import Trainer
from upbring.train.progress import Progress, format_duration
from upbring.train.run_log import DiskRunLog, NullRunLog, RunLog


def run_stage(
    context: StageContext, *, resumed: Run | None = None, allow_change: Sequence[str] = ()
) -> Run:
    """Run a stage in the folder of a new or resumed run, and return the run."""
    check_contract(context)
    context.implementation.check_settings(context)
    _warn_of_learning_rate(context)
    role = _add_trainable_role(context)
    algorithm = context.implementation.make_algorithm(context, role)
    is_first = processes.process_group().is_main_process
    run = resumed or _create_run(context)
    with run.lock() if is_first else nullcontext():
        if is_first and run.read_metadata()["steps"] is None:
            write_provenance(run, context, steps=algorithm.steps)
        if context.display is None:  # a pipeline has a view of its own
            for line in (f"run: {run.path}", *summary_lines(context, algorithm)):
                context.log(line)
        training = Trainer(algorithm, context.settings, context.interruption)
        callbacks = Callbacks(context.callbacks if is_first else (), context.log)
        with callbacks.reporting_end():
            with _open_run_log(context, run, callbacks, steps=algorithm.steps) as run_log:
                if resumed is not None:
                    _restore(context, training, run, run_log=run_log, allow_change=allow_change)
                callbacks.start(_run_start(context, run, training))
                _train(context, training, run, run_log)
            if is_first:
                context.log(result_line(read_metrics(run.metrics_file)))
                write_resource_usage(run, context, algorithm)
                _write_outputs(context, training, run, role=role)
                run.mark_finished()
    return run


def _warn_of_learning_rate(context: StageContext) -> None:
    """Log that the default is for an adapter, if all weights are trained with it.

    Pre-training is left out: its default is for new weights.
    """
    settings, origins = context.settings, context.resolved.origins
    is_for_lora = context.method.learns_from != "documents"
    if is_for_lora and settings.tune == "full" and origins.get("learning_rate") == "default":
        context.log(
            f"learning_rate: the default {settings.learning_rate:g} is for LoRA and may destroy a "
            "model of which all weights are trained; a tenth of it is usual then"
        )


def _train(context: StageContext, training: Trainer, run: Run, run_log: RunLog) -> None:
    """Run all steps; the message of an error says how to go on."""
    try:
        with explain_out_of_memory(
            context.method.name, context.resolved, baseline=context.baseline_memory, run=run
        ):
            training.train(run_log)
    except ResourceError as error:
        hint = f"resume with {format_command('resume', run.path)}"
        raise error if hint in str(error) else ResourceError(f"{error}; {hint}") from error
    except Interrupted as stop:
        raise Interrupted(
            f"stopped after step {training.step} of {training.algorithm.steps}, saved; resume with "
            f"{format_command('resume', run.path)}",
            signal_number=stop.exit_code - 128,
        ) from stop
    except FunctionError as error:
        raise FunctionError(
            f"{error}\nstopped after step {training.step} of {training.algorithm.steps}, saved; "
            f"resume with {format_command('resume', run.path)}"
        ) from error


def _run_start(context: StageContext, run: Run, training: Trainer) -> RunStart:
    return RunStart(
        path=run.path,
        method=context.method.name,
        settings=json.loads(context.settings.model_dump_json()),
        steps=training.algorithm.steps,
        step=training.step,
        started_at=str(run.read_metadata()["started_at"]),
    )


def result_line(records: Sequence[MetricsRecord]) -> str:
    """Return how the held-out metric changed, the time of all steps, and the peak memory."""
    steps = [each.values for each in records if each.kind == "train"]
    held_out = [each.values for each in records if each.kind == "held_out"]
    name = next(iter(held_out[-1]), None) if held_out else None
    values = [each[name] for each in held_out if name in each] if name else []
    change = [f"held-out {name} {values[0]:.4g} → {values[-1]:.4g}"] if values else []
    seconds = sum(each.get("seconds", 0.0) for each in steps)
    peak = durable.peak_process_memory_bytes()
    parts = [
        *change,
        f"{format_count(len(steps), 'step')} in {format_duration(seconds)}",
        *([f"peak memory {durable.format_size(peak)}"] if peak is not None else []),
    ]
    return f"result: {', '.join(parts)}"


def _open_run_log(
    context: StageContext, run: Run, callbacks: Callbacks, *, steps: int
) -> AbstractContextManager[RunLog]:
    """Return the run's log; only the main process writes one."""
    if not processes.process_group().is_main_process:
        return nullcontext(NullRunLog())
    progress = Progress(
        steps,
        console=context.console,
        shown_metrics=(*context.method.panels, "learning_rate"),
        bands=context.implementation.healthy_ranges,
        display=context.display,
    )
    keep = context.settings.save_total_limit
    return DiskRunLog(run, progress, identity(context), keep, context.log, callbacks)


def _add_trainable_role(context: StageContext) -> str:
    """Add a trainable adapter, or make all weights trainable; return the trainable role."""
    roles, settings = context.loaded.roles, context.settings
    if settings.tune == "full":
        roles.make_base_trainable()
        role = BASE
    else:
        role = context.implementation.role
        left_out = roles.add_adapter(role, settings, seed=settings.seed)
        if left_out:
            context.log(
                f"target_modules: no adapter on {', '.join(left_out)}, which are no linear layers "
                "that PEFT can adapt; their weights stay as they are"
            )
        for note in adapter_notes(roles, role, settings):
            context.log(note)
    if settings.gradient_checkpointing:
        roles.enable_gradient_checkpointing()
        with roles.active(role):
            probe_gradient_checkpointing(context.loaded.model, roles.parameters(role).values())
    return role


def create_run_folder(method: Method, resolved: Resolved[Any]) -> Run:
    """Create the folder of a new run, with the metadata that a report needs."""
    return Run.create(
        resolved.settings.runs,
        method.name,
        name=resolved.settings.name,
        settings=format_yaml(resolved, method.name),
        learns_from=method.learns_from,
        makes=method.makes,
        panels=method.panels,
    )


def _create_run(context: StageContext) -> Run:
    """Return a new run, whose folder the main process creates."""
    if not processes.process_group().is_main_process:
        return Run(Path(processes.broadcast("")))
    run = create_run_folder(context.method, context.resolved)
    processes.broadcast(str(run.path))
    return run


def _restore(
    context: StageContext,
    training: Trainer,
    run: Run,
    *,
    run_log: RunLog,
    allow_change: Sequence[str],
) -> None:
    """Restore the newest checkpoint; without one, the run starts at the first step."""
    if not checkpoint.saved_steps(run.checkpoints):
        context.log("no checkpoint was saved yet: starting at the first step")
        run_log.truncate(-1)
        return
    state = checkpoint.load(
        run.checkpoints, identity=identity(context), allow_change=allow_change, warn=context.log
    )
    training.restore(state)
    run_log.truncate(training.step)
    run_log.check_records(state.facts)
    context.log(f"resuming after step {training.step}")


def _write_outputs(context: StageContext, training: Trainer, run: Run, *, role: str) -> None:
    """Load the final weights and write the model, its contract, measurements and card."""
    best_step = training.best.step
    if (
        context.settings.final_weights == "best"
        and best_step is not None
        and best_step != training.step
        and can_choose_step(context.dataset, is_on_policy=context.method.learns_from == "prompts")
    ):
        training.load_weights(checkpoint.read(run.checkpoints / f"step-{best_step}"))
        context.log(f"using the weights of step {best_step}, the best on held-out data")
    stage_contract = make_contract(context, steps=training.step)
    if _is_written(run):
        context.log(f"{run.model}: is already written; completing its report")
    else:
        with durable.atomic_folder(run.model) as folder:
            write = context.implementation.write_model or write_model
            write(context, role, folder, stage_contract)
            remember_rows(context, folder)
    try:
        context.implementation.finish(context, role, run)
    except Interrupted as stop:
        raise Interrupted(
            f"{run.path}: the model is written to {run.model}, but its report is not finished; "
            f"complete it with `upbring resume {run.path}`",
            signal_number=stop.exit_code - 128,
        ) from stop
    write_card(
        run,
        stage_contract,
        method=context.method.name,
        summary=context.implementation.summary,
        data_notes=[f"{file.file}: {n}" for file in context.dataset.files for n in file.notes],
        judges=[
            *(find_judge_quality(name) for name in context.implementation.judges(context)),
            *list_judges([each for file in context.dataset.files for each in file.results]),
        ],
        votes=[each for file in context.dataset.files for each in file.results],
    )


def _is_written(run: Run) -> bool:
    """Whether the model of this run is complete, because only its report was interrupted."""
    try:
        durable.verify(run.model)
    except (durable.Damaged, OSError):
        return False
    return True


def write_model(context: StageContext, role: str, folder: Path, stage_contract: Contract) -> None:
    """Write the trained adapter, or the merged model if an adapter cannot represent it."""
    loaded = context.loaded
    if role != BASE and loaded.has_exact_factors and not (loaded.factors and context.settings.dora):
        write_adapter(loaded, role, folder, contract=stage_contract)
        return
    if role != BASE:
        loaded.model.network.float()  # a merge in bfloat16 would round the sum
        loaded.roles.merge(role)
    write_network(loaded, folder, contract=stage_contract)
