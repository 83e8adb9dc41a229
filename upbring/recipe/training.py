"""Any verb that trains: who takes part is brought together, and the stage is performed."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console

from upbring.errors import Interrupted
from upbring.interruption import Interruption
from upbring.model.load import Loaded, load
from upbring.recipe.cast import Cast, Craft
from upbring.recipe.stage import perform
from upbring.runs.folder import Run
from upbring.settings.resolve import Resolved
from upbring.settings.table import imported
from upbring.train import devices, processes

CRAFTS = {  # places, so that a verb imports its own craft alone
    "pretrain": "upbring.recipe.next_token:PRETRAIN",
    "sft": "upbring.recipe.next_token:SFT",
}


def train(
    verb: str,
    resolved: Resolved[Any],
    *,
    resumed: Run | None = None,
    allow_change: Sequence[str] = (),
) -> Run:
    """Run a stage and return its run."""
    craft: Craft = imported(CRAFTS[verb])
    with Interruption() as interruption:
        machine = devices.prepare(resolved.settings)
        with processes.joined(machine.device) as place:
            console = Console(stderr=True, quiet=not place.is_first)  # the first process speaks
            cast = _cast(craft, resolved, machine, interruption, console, resumed=resumed)
            run = perform(cast, resumed=resumed, allow_change=allow_change)
            cast.say(
                f"{run.path}: finished; the model is in {run.model}, try {craft.next_step(run)}"
            )
            return run


def _cast(
    craft: Craft,
    resolved: Resolved[Any],
    machine: devices.Machine,
    interruption: Interruption,
    console: Console,
    *,
    resumed: Run | None,
) -> Cast:
    """Bring everyone together who takes part in the stage."""
    settings = resolved.settings
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    poll = partial(_poll_before, interruption)
    loaded = load(
        settings.model,
        device=machine.device,
        compute=machine.compute,
        is_whole=settings.tune == "full",
        notice=say,
        seed=settings.seed if craft.verb == "pretrain" else None,
    )
    poll()
    began = dt.datetime.fromisoformat(str(resumed.facts()["began"])) if resumed else None
    within = _within(settings, loaded)
    speech = craft.speech(within, loaded, notice=say, began=began)
    with processes.first_goes_ahead():  # and fills the cache for the others
        dataset = craft.dataset(within, speech, notice=say, poll=poll)
    poll()
    return Cast(
        craft=craft,
        resolved=resolved,
        machine=machine,
        loaded=loaded,
        speech=speech,
        dataset=dataset,
        interruption=interruption,
        say=say,
        console=console,
    )


def _poll_before(interruption: Interruption) -> None:
    """Leave if somebody asked to stop while there is nothing to save yet."""
    if interruption.signal_number is not None:
        raise Interrupted(
            "stopped before the first step; nothing was written",
            signal_number=interruption.signal_number,
        )


def _within(settings: Any, loaded: Loaded) -> Any:  # noqa: ANN401 -- each verb's own
    """Return the settings with examples no longer than the model reads."""
    limit = loaded.model.longest
    if limit is None or settings.max_length <= limit:
        return settings
    return settings.model_copy(update={"max_length": limit})
