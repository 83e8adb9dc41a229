"""Train a model by any method: make the stage's context, then run the stage."""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.model.load import ModelFiles, load, locate_model_files
from upbring.model.load_quantized import check_quantization
from upbring.plurals import format_count
from upbring.runs.callback import Callback
from upbring.runs.run_folder import REWARD_FUNCTION, Run
from upbring.runs.start_directory import find_run_directory
from upbring.runs.trackers.make_trackers import make_trackers
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.resolve import Resolved, resolve
from upbring.settings.stage import StageSettings
from upbring.stages.context import Implementation, StageContext, WeightedFunctions
from upbring.stages.encode import clamp_max_length
from upbring.stages.out_of_memory import explain_out_of_memory
from upbring.stages.registry import Method, find_method, load_implementation, load_settings
from upbring.stages.reward_functions import RewardSource, load_functions
from upbring.stages.run_stage import create_run_folder, run_stage
from upbring.terminal import Console
from upbring.train import devices, launcher, processes
from upbring.train.progress import Display, make_log
from upbring.train.work_progress import make_tracker


def train(
    method_name: str,
    resolved: Resolved[Any],
    *,
    resumed: Run | None = None,
    allow_change: Sequence[str] = (),
    live_view: Display | None = None,
    rewards: Sequence[RewardSource] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Run a stage and return its run; where several processes are asked for, start them.

    `live_view` shows the stage next to others; it is suspended while several processes run.
    `rewards` are functions of the caller, or names as in the setting reward_function, for a method
    that samples responses; with a weight if given as a pair. `callbacks` are called by the run.
    """
    _check_functions(method_name, resolved, resumed, rewards or (), callbacks)
    if launcher.should_launch(resolved.settings.processes):
        with nullcontext() if live_view is None else live_view.suspended():
            return _launch_processes(
                method_name, resolved, resumed=resumed, allow_change=allow_change
            )
    method = find_method(method_name)
    names = getattr(resolved.settings, "reward_function", ())
    reward_functions = load_functions(names, rewards or ())
    trackers = make_trackers(resolved.settings.track)
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
                    reward_functions=reward_functions,
                    callbacks=(*trackers, *callbacks),
                    baseline_memory=baseline,
                )
                run = run_stage(context, resumed=resumed, allow_change=allow_change)
            context.log(
                f"{run.path}: finished; the model is in {run.model}\n"
                f"try {context.implementation.next_command(run)}"
            )
            return run


def _check_functions(
    method_name: str,
    resolved: Resolved[Any],
    resumed: Run | None,
    rewards: Sequence[RewardSource],
    callbacks: Sequence[Callback],
) -> None:
    """Raise an InputError if a run cannot use the functions of the caller, or lacks one."""
    if rewards and not isinstance(resolved.settings, OnPolicySettings):
        raise InputError(
            f"rewards: {method_name} samples no responses; use a method such as ppo or grpo"
        )
    if resumed is not None and not rewards:
        _require_no_reward_function(resumed)
    if (rewards or callbacks) and launcher.should_launch(resolved.settings.processes):
        raise InputError(
            "processes: reward functions and callbacks cannot be passed to launched processes; "
            "start them with torchrun, each calling `train`, or name the functions in the "
            "settings: reward_function FILE.py:FUNCTION"
        )


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
            f"{run.path}: its {format_count(settings.processes, 'process')} ended with exit code "
            f"{exit_code}; see the output above",
            exit_code=exit_code,
        )
    return run


def resume_training(
    run: Run,
    *,
    processes: int | None = None,
    allow_change: Sequence[str] = (),
    live_view: Display | None = None,
    rewards: Sequence[RewardSource] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Resume a run that was stopped, with the settings in its folder.

    `processes` replaces the number of processes.
    """
    method_name = str(run.read_metadata()["method"])
    settings_class = load_settings(find_method(method_name))
    flags = {} if processes is None else {"processes": processes}
    resolved = resolve(settings_class, section=method_name, file=run.settings_file, flags=flags)
    return train(
        method_name,
        resolved,
        resumed=run,
        allow_change=allow_change,
        live_view=live_view,
        rewards=rewards,
        callbacks=callbacks,
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
            f"`upbring.resume({str(run.path)!r}, reward={name})`"
        )


def resume_in_start_directory(
    run: Run,
    *,
    log: Callable[[str], None],
    processes: int | None = None,
    allow_change: Sequence[str] = (),
    live_view: Display | None = None,
    rewards: Sequence[RewardSource] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Resume a run from anywhere: its relative paths are resolved where it was started."""
    if run.status() == "finished":
        raise InputError(f"{run.path}: is finished; its model is in {run.model}")
    method = find_method(str(run.read_metadata()["method"]))
    saved = resolve(load_settings(method), section=method.name, file=run.settings_file, flags={})
    directory = find_run_directory(run, saved.settings)
    if directory != Path.cwd():
        run = Run(run.path.absolute())
        log(f"{run.path}: was started in {directory}; relative paths are resolved there")
    with contextlib.chdir(directory):
        return resume_training(
            run,
            processes=processes,
            allow_change=allow_change,
            live_view=live_view,
            rewards=rewards,
            callbacks=callbacks,
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
    reward_functions: WeightedFunctions = (),
    callbacks: tuple[Callback, ...] = (),
    baseline_memory: int = 0,
) -> StageContext:
    """Return the context of a stage; the data is encoded before the weights are read."""
    settings = resolved.settings
    implementation: Implementation = load_implementation(method)
    log = make_log(console)
    poll = partial(_raise_if_interrupted, interruption)
    track = make_tracker(console)
    files = _locate_files(settings, log=log)
    clamped_settings = clamp_max_length(settings, files, log=log)
    started_at = (
        dt.datetime.fromisoformat(str(resumed.read_metadata()["started_at"])) if resumed else None
    )
    preprocessor = implementation.make_preprocessor(
        clamped_settings, files, log=log, started_at=started_at
    )
    with processes.main_process_first():  # it writes the cache that the others read
        dataset = implementation.load_dataset(
            clamped_settings, preprocessor, log=log, poll=poll, track=track
        )
    poll()
    loaded = load(
        files,
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        is_full_finetuning=settings.tune == "full",
        log=log,
        seed=settings.seed if method.learns_from == "documents" else None,
        tokenizer=preprocessor.tokenizer,
        quantization=settings.quantization,
        track=track,
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
        reward_functions=reward_functions,
        callbacks=callbacks,
        baseline_memory=baseline_memory,
        track=track,
    )


def _locate_files(settings: StageSettings, *, log: Callable[[str], None]) -> ModelFiles:
    """Return the files of a stage's model, whose weights can be stored as the settings say."""
    files = locate_model_files(settings.model, log=log)
    check_quantization(files.resolve_quantization(settings.quantization), settings)
    return files


def _raise_if_interrupted(interruption: Interruption) -> None:
    """Raise if an interruption was requested before there is anything to save."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )
