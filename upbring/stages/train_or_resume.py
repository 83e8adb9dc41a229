"""Train a model by any method: make the stage's context, then run the stage."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from upbring import durable
from upbring.algorithms.sample_round import RewardFunction
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.model.load import load, locate_model_files
from upbring.runs.run_folder import REWARD_FUNCTION, Run
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.context import Implementation, StageContext
from upbring.stages.encode import clamp_max_length
from upbring.stages.out_of_memory import explain_out_of_memory
from upbring.stages.registry import Method, find_method, load_implementation, load_settings
from upbring.stages.run_stage import create_run_folder, run_stage
from upbring.terminal import Console
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

    `live_view` shows the stage next to others; it is suspended while several processes run.
    `reward` is a reward function of the caller, for a method that samples responses.
    """
    if reward is not None and not isinstance(resolved.settings, OnPolicySettings):
        raise InputError(
            f"reward: {method_name} samples no responses; use a method such as ppo or grpo"
        )
    if resumed is not None and reward is None:
        _require_no_reward_function(resumed)
    if launcher.should_launch(resolved.settings.processes):
        if reward is not None:
            raise InputError(
                "processes: a reward function cannot be passed to launched processes; start them "
                "with torchrun, each calling `train`"
            )
        with nullcontext() if live_view is None else live_view.suspended():
            return _launch_processes(
                method_name, resolved, resumed=resumed, allow_change=allow_change
            )
    method = find_method(method_name)
    with Interruption() as interruption:
        machine = devices.prepare(resolved.settings)
        with processes.join_process_group(machine.device) as process_group:
            console = Console(stderr=True, quiet=not process_group.is_main_process)
            console = console if live_view is None else live_view.console
            baseline = durable.process_memory_bytes()
            with (
                _reporting_interruption(console),
                explain_out_of_memory(method_name, resolved, baseline=baseline),
            ):
                context = _make_context(
                    method,
                    resolved,
                    machine,
                    interruption,
                    console,
                    resumed=resumed,
                    display=live_view,
                    reward=reward,
                    baseline_memory=baseline,
                )
                run = run_stage(context, resumed=resumed, allow_change=allow_change)
            context.log(
                f"{run.path}: finished; the model is in {run.model}, "
                f"try {context.implementation.next_command(run)}"
            )
            return run


def _launch_processes(
    method_name: str, resolved: Resolved[Any], *, resumed: Run | None, allow_change: Sequence[str]
) -> Run:
    """Launch several processes that resume a run, which is created first if there is none."""
    settings = resolved.settings
    run = resumed or create_run_folder(find_method(method_name), resolved)
    allow_flags = [f"--allow-change={key}" for key in allow_change]
    arguments = ["resume", f"--run={run.path}", f"--processes={settings.processes}", *allow_flags]
    if exit_code := launcher.launch(arguments, settings.processes):
        if resumed is None and run.read_metadata()["steps"] is None:
            durable.remove(run.path)  # no process started the run
        raise launcher.JobFailed(
            f"{run.path}: its {settings.processes} processes ended with exit code {exit_code}; "
            "see their output above",
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
    """Resume a run that was stopped, with the settings in its folder."""
    method_name = str(run.read_metadata()["method"])
    settings_class = load_settings(find_method(method_name))
    resolved = resolve(settings_class, section=method_name, file=run.settings_file, flags={})
    return train(
        method_name,
        resolved,
        resumed=run,
        allow_change=allow_change,
        live_view=live_view,
        reward=reward,
    )


@contextmanager
def _reporting_interruption(console: Console) -> Iterator[None]:
    """Print why and how to resume when a signal stops the stage, also in a script."""
    try:
        yield
    except Interrupted as stop:
        console.print(str(stop), markup=False, highlight=False, soft_wrap=True)
        stop.is_reported = True
        raise


def _require_no_reward_function(run: Run) -> None:
    """Raise an InputError if the reward of a run is a Python function, which only Python has."""
    if name := run.read_metadata()[REWARD_FUNCTION]:
        raise InputError(
            f"{run.path}: its reward is the Python function {name}; resume it in Python with "
            f"`resume_training(Run.open(Path({str(run.path)!r})), reward={name})`"
        )


def _make_context(
    method: Method,
    resolved: Resolved[Any],
    machine: devices.Machine,
    interruption: Interruption,
    console: Console,
    *,
    resumed: Run | None,
    display: Display | None = None,
    reward: RewardFunction | None = None,
    baseline_memory: int = 0,
) -> StageContext:
    """Return the context of a stage; the data is encoded before the weights are read."""
    settings = resolved.settings
    implementation: Implementation = load_implementation(method)
    log = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    poll = partial(_raise_if_interrupted, interruption)
    files = locate_model_files(settings.model, log=log)
    clamped_settings = clamp_max_length(settings, files, log=log)
    started_at = (
        dt.datetime.fromisoformat(str(resumed.read_metadata()["started_at"])) if resumed else None
    )
    preprocessor = implementation.make_preprocessor(
        clamped_settings, files, log=log, started_at=started_at
    )
    with processes.main_process_first():  # it writes the cache that the others read
        dataset = implementation.load_dataset(clamped_settings, preprocessor, log=log, poll=poll)
    poll()
    loaded = load(
        files,
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        is_full_finetuning=settings.tune == "full",
        log=log,
        seed=settings.seed if method.learns_from == "documents" else None,
        tokenizer=preprocessor.tokenizer,
    )
    poll()
    return StageContext(
        method=method,
        resolved=resolved,
        machine=machine,
        loaded=loaded,
        preprocessor=preprocessor,
        dataset=dataset,
        interruption=interruption,
        log=log,
        console=console,
        display=display,
        reward=reward,
        baseline_memory=baseline_memory,
    )


def _raise_if_interrupted(interruption: Interruption) -> None:
    """Raise if an interruption was requested before there is anything to save."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )
