"""Any verb that trains: who takes part is brought together, and the stage is performed."""

import datetime as dt
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console

from upbring import durable
from upbring.algorithms.rollout_batch import Reward
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.model.load import load
from upbring.runs.run_folder import Run
from upbring.settings.command_table import imported, verbs
from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.reference import as_yaml
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.context import Cast, Craft
from upbring.stages.execute import perform
from upbring.stages.planning.dry_model import unread, within
from upbring.stages.planning.plan import explained_memory, forecast
from upbring.stages.registry import CRAFTS
from upbring.train import devices, launcher, processes
from upbring.train.progress import Display


def train(
    verb: str,
    resolved: Resolved[Any],
    *,
    resumed: Run | None = None,
    allow_change: Sequence[str] = (),
    board: Display | None = None,
    reward: Reward | None = None,
) -> Run:
    """Run a stage and return its run; where several processes are asked for, start them.

    A board shows the stage among others; processes of their own speak for themselves. A verb that
    draws responses adds what `reward`, a function of the caller's, says of them.
    """
    if reward is not None and not isinstance(resolved.settings, OnPolicySettings):
        raise InputError(f"reward: {verb} draws no responses that a function could reward")
    if launcher.is_wanted(resolved.settings.processes):
        if reward is not None:
            raise InputError(
                "processes: a function as reward cannot be handed to processes that are started "
                "for you; start them by torchrun, each calling `train`"
            )
        with nullcontext() if board is None else board.aside():
            return _train_together(verb, resolved, resumed=resumed, allow_change=allow_change)
    craft: Craft = imported(CRAFTS[verb])
    with Interruption() as interruption:
        machine = devices.prepare(resolved.settings)
        with processes.joined(machine.device) as place:
            console = Console(stderr=True, quiet=not place.is_first)  # the first process speaks
            console = console if board is None else board.console
            with explained_memory():
                cast = _cast(craft, resolved, machine, interruption, console, resumed=resumed)
            cast = replace(cast, display=board, reward=reward)
            run = perform(cast, resumed=resumed, allow_change=allow_change)
            cast.say(
                f"{run.path}: finished; the model is in {run.model}, try {craft.next_step(run)}"
            )
            return run


def _train_together(
    verb: str, resolved: Resolved[Any], *, resumed: Run | None, allow_change: Sequence[str]
) -> Run:
    """Let several processes go on with a run, which is begun before if there is none."""
    settings = resolved.settings
    text = as_yaml(resolved, verb)
    run = resumed or Run.create(settings.runs, verb, name=settings.name, settings=text)
    allowed = [f"--allow-change={key}" for key in allow_change]
    words = ["resume", f"--run={run.path}", f"--processes={settings.processes}", *allowed]
    if code := launcher.launch(words, settings.processes):
        if resumed is None and run.facts()["steps"] is None:
            durable.remove(run.path)  # nothing came of it
        raise launcher.JobFailed(
            f"{run.path}: its {settings.processes} processes ended with exit code {code}; "
            "what they said stands above",
            exit_code=code,
        )
    return run


def go_on(
    run: Run,
    *,
    allow_change: Sequence[str] = (),
    board: Display | None = None,
    reward: Reward | None = None,
) -> Run:
    """Go on with a run that was stopped, by the settings in its folder."""
    verb = str(run.facts()["verb"])
    kind = imported(verbs()[verb].settings)
    again = resolve(kind, section=verb, file=run.settings_file, flags={})
    return train(verb, again, resumed=run, allow_change=allow_change, board=board, reward=reward)


def _cast(
    craft: Craft,
    resolved: Resolved[Any],
    machine: devices.Machine,
    interruption: Interruption,
    console: Console,
    *,
    resumed: Run | None,
) -> Cast:
    """Bring everyone together who takes part in the stage; weights are read last of all."""
    settings = resolved.settings
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    poll = partial(_poll_before, interruption)
    outline = unread(settings, machine, notice=say)
    began = dt.datetime.fromisoformat(str(resumed.facts()["began"])) if resumed else None
    asked = within(settings, outline)
    speech = craft.speech(asked, outline, notice=say, began=began)
    with processes.first_goes_ahead():  # and fills the cache for the others
        dataset = craft.dataset(asked, speech, notice=say, poll=poll)
    poll()
    cast = Cast(
        craft=craft,
        resolved=resolved,
        machine=machine,
        loaded=outline,
        speech=speech,
        dataset=dataset,
        interruption=interruption,
        say=say,
        console=console,
    )
    planned = forecast(cast) if processes.place().is_first else None
    poll()
    with explained_memory(planned):
        loaded = load(
            settings.model,
            device=machine.device,
            compute=machine.compute,
            is_whole=settings.tune == "full",
            notice=say,
            seed=settings.seed if craft.verb == "pretrain" else None,
            tokenizer=outline.tokenizer,
            lanes=machine.lanes,
        )
    poll()
    return replace(cast, loaded=loaded, planned=planned)


def _poll_before(interruption: Interruption) -> None:
    """Leave if somebody asked to stop while there is nothing to save yet."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )
