"""Any method that trains: who takes part is brought together, and the stage is performed."""

import datetime as dt
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console

from upbring import durable
from upbring.algorithms.rollout_batch import RewardFunction
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.model.load import load
from upbring.runs.run_folder import Run
from upbring.settings.command_table import commands, import_object
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.reference import format_yaml
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.context import Method, StageContext
from upbring.stages.execute import run_stage
from upbring.stages.planning.dry_model import clamp_max_length, load_meta_model
from upbring.stages.planning.plan import explain_out_of_memory, log_forecast
from upbring.stages.registry import METHODS
from upbring.train import devices, launcher, processes
from upbring.train.progress import Display


def train(
    method_name: str,
    resolved: Resolved[Any],
    *,
    resumed: Run | None = None,
    allow_change: Sequence[str] = (),
    live_view: Display | None = None,
    reward: RewardFunction | None = None,
) -> Run:
    """Run a stage and return its run; where several processes are asked for, start them.

    A board shows the stage among others; processes of their own speak for themselves. A method that
    draws responses adds what `reward`, a function of the caller's, says of them.
    """
    if reward is not None and not isinstance(resolved.settings, OnPolicySettings):
        raise InputError(f"reward: {method_name} draws no responses that a function could reward")
    if launcher.should_launch(resolved.settings.processes):
        if reward is not None:
            raise InputError(
                "processes: a function as reward cannot be handed to processes that are started "
                "for you; start them by torchrun, each calling `train`"
            )
        with nullcontext() if live_view is None else live_view.suspended():
            return _launch_processes(
                method_name, resolved, resumed=resumed, allow_change=allow_change
            )
    method: Method = import_object(METHODS[method_name])
    with Interruption() as interruption:
        machine = devices.prepare(resolved.settings)
        with processes.join_process_group(machine.device) as process_group:
            console = Console(
                stderr=True, quiet=not process_group.is_main_process
            )  # the first process speaks
            console = console if live_view is None else live_view.console
            with explain_out_of_memory():
                context = _make_context(
                    method, resolved, machine, interruption, console, resumed=resumed
                )
            context = replace(context, display=live_view, reward=reward)
            run = run_stage(context, resumed=resumed, allow_change=allow_change)
            context.log(
                f"{run.path}: finished; the model is in {run.model}, try {method.next_command(run)}"
            )
            return run


def _launch_processes(
    method_name: str, resolved: Resolved[Any], *, resumed: Run | None, allow_change: Sequence[str]
) -> Run:
    """Let several processes go on with a run, which is begun before if there is none."""
    settings = resolved.settings
    text = format_yaml(resolved, method_name)
    run = resumed or Run.create(settings.runs, method_name, name=settings.name, settings=text)
    allow_flags = [f"--allow-change={key}" for key in allow_change]
    arguments = ["resume", f"--run={run.path}", f"--processes={settings.processes}", *allow_flags]
    if exit_code := launcher.launch(arguments, settings.processes):
        if resumed is None and run.read_metadata()["steps"] is None:
            durable.remove(run.path)  # nothing came of it
        raise launcher.JobFailed(
            f"{run.path}: its {settings.processes} processes ended with exit code {exit_code}; "
            "what they said stands above",
            exit_code=exit_code,
        )
    return run


def resume_training(
    run: Run,
    *,
    allow_change: Sequence[str] = (),
    live_view: Display | None = None,
    reward: RewardFunction | None = None,
) -> Run:
    """Go on with a run that was stopped, by the settings in its folder."""
    method_name = str(run.read_metadata()["method"])
    settings_class = import_object(commands()[method_name].settings)
    resolved = resolve(settings_class, section=method_name, file=run.settings_file, flags={})
    return train(
        method_name,
        resolved,
        resumed=run,
        allow_change=allow_change,
        live_view=live_view,
        reward=reward,
    )


def _make_context(
    method: Method,
    resolved: Resolved[Any],
    machine: devices.Machine,
    interruption: Interruption,
    console: Console,
    *,
    resumed: Run | None,
) -> StageContext:
    """Bring everyone together who takes part in the stage; weights are read last of all."""
    settings = resolved.settings
    log = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    poll = partial(_raise_if_interrupted, interruption)
    meta_model = load_meta_model(settings, machine, log=log)
    started_at = (
        dt.datetime.fromisoformat(str(resumed.read_metadata()["started_at"])) if resumed else None
    )
    clamped_settings = clamp_max_length(settings, meta_model)
    preprocessor = method.make_preprocessor(
        clamped_settings, meta_model, log=log, started_at=started_at
    )
    with processes.main_process_first():  # and fills the cache for the others
        dataset = method.load_dataset(clamped_settings, preprocessor, log=log, poll=poll)
    poll()
    context = StageContext(
        method=method,
        resolved=resolved,
        machine=machine,
        loaded=meta_model,
        preprocessor=preprocessor,
        dataset=dataset,
        interruption=interruption,
        log=log,
        console=console,
    )
    plan = log_forecast(context) if processes.process_group().is_main_process else None
    poll()
    with explain_out_of_memory(plan):
        loaded = load(
            settings.model,
            device=machine.device,
            compute_dtype=machine.compute_dtype,
            is_full_finetuning=settings.tune == "full",
            log=log,
            seed=settings.seed if method.name == "pretrain" else None,
            tokenizer=meta_model.tokenizer,
            lanes=machine.lanes,
        )
    poll()
    return replace(context, loaded=loaded, plan=plan)


def _raise_if_interrupted(interruption: Interruption) -> None:
    """Leave if somebody asked to stop while there is nothing to save yet."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )
