"""One stage: a model, trees and settings in, a run folder with a new model in it out.

What must meet is introduced here: data, model, algorithm, loop and export. A craft says what its
verb adds of its own.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from upbring import durable
from upbring.errors import Interrupted
from upbring.export.weights import write_adapter, write_network
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.runs.run_folder import Run
from upbring.settings.reference import as_yaml
from upbring.stages.context import Cast
from upbring.stages.model_card import write_card
from upbring.stages.planning.plan import explained_memory
from upbring.stages.provenance import agree, contract, headline, identity, write_costs, write_papers
from upbring.train import checkpoint, processes
from upbring.train.loop import Training
from upbring.train.progress import Progress
from upbring.train.run_log import Journal, Kept, Mute

GRADIENTS = 64_000_000  # numbers of them that are held beside one another, one of each lane


def perform(cast: Cast, *, resumed: Run | None = None, allow_change: Sequence[str] = ()) -> Run:
    """Take a stage's steps in a new run's folder, or in that of the run that is resumed."""
    agree(cast)
    cast.craft.prepare(cast)
    role = _cast_role(cast)
    algorithm = cast.craft.algorithm(cast, role)
    is_first = processes.place().is_first
    run = resumed or _begun(cast)
    with run.lock() if is_first else nullcontext():
        if is_first and run.facts()["steps"] is None:
            write_papers(run, cast, steps=algorithm.steps)
        cast.say(f"{run.path}: {headline(cast, algorithm)}")
        training = Training(algorithm, cast.settings, cast.interruption)
        with _journal(cast, run, steps=algorithm.steps) as journal:
            if resumed is not None:
                _restore(cast, training, run, journal=journal, allow_change=allow_change)
            try:
                with explained_memory(cast.planned, run):
                    training.train(journal)
            except Interrupted as stop:
                raise Interrupted(
                    f"stopped after step {training.step} of {algorithm.steps}, saved; go on with "
                    f"`upbring resume {run.path}`",
                    signal_number=stop.exit_code - 128,
                ) from stop
        if is_first:
            write_costs(run, cast, algorithm)
            _conclude(cast, training, run, role=role)
            run.finish()
    return run


def _journal(cast: Cast, run: Run, *, steps: int) -> AbstractContextManager[Journal]:
    """Return the run's journal for the process that keeps it."""
    if not processes.place().is_first:
        return nullcontext(Mute())
    craft = cast.craft
    progress = Progress(
        steps, console=cast.console, show=craft.shown, bands=craft.bands, display=cast.display
    )
    return Kept(run, progress, identity(cast), cast.settings.keep, cast.say)


def _cast_role(cast: Cast) -> str:
    """Let an adapter learn, or every weight; return the role that does."""
    roles, settings = cast.loaded.roles, cast.settings
    if settings.tune == "full":
        roles.add_full()
        role = BASE
    else:
        role = cast.craft.role
        roles.add_adapter(role, settings, seed=settings.seed)
    if settings.gradient_checkpointing:
        roles.checkpoint_gradients()
    learned = sum(parameter.numel() for parameter in roles.parameters(role).values())
    model = cast.loaded.model
    cast.loaded.model = replace(model, lanes=max(1, min(model.lanes, GRADIENTS // learned)))
    return role


def _begun(cast: Cast) -> Run:
    """Return the folder of a new run, which the first process makes."""
    settings = cast.settings
    if not processes.place().is_first:
        return Run(Path(processes.told("")))
    verb = cast.craft.verb
    text = as_yaml(cast.resolved, verb)
    run = Run.create(settings.runs, verb, name=settings.name, settings=text)
    processes.told(str(run.path))
    return run


def _restore(
    cast: Cast, training: Training, run: Run, *, journal: Journal, allow_change: Sequence[str]
) -> None:
    """Go back to the newest checkpoint; a run that was stopped before its first begins again."""
    if not checkpoint.steps(run.checkpoints):
        cast.say("no checkpoint was saved yet: beginning again at the first step")
        journal.cut(-1)
        return
    state = checkpoint.load(
        run.checkpoints, identity=identity(cast), allow_change=allow_change, warn=cast.say
    )
    training.restore(state)
    journal.cut(training.step)
    cast.say(f"going on after step {training.step}")


def _conclude(cast: Cast, training: Training, run: Run, *, role: str) -> None:
    """Put the chosen weights in place and write the model, its contract, evidence and card."""
    best = training.best.step
    if cast.settings.choose == "best" and best is not None and best != training.step:
        training.put_weights(checkpoint.read(run.checkpoints / f"step-{best}"))
        cast.say(f"keeping the weights of step {best}, which did best on held-out data")
    agreed = contract(cast, steps=training.step)
    with durable.folder(run.model) as folder:
        (cast.craft.write or write_model)(cast, role, folder, agreed)
    cast.craft.finish(cast, role, run)
    write_card(run, agreed, verb=cast.craft.verb, summary=cast.craft.summary)


def write_model(cast: Cast, role: str, folder: Path, agreed: Contract) -> None:
    """Write the adapter that learned, or the whole model where an adapter cannot say it."""
    loaded = cast.loaded
    if role != BASE and loaded.is_exact and not (loaded.factors and cast.settings.dora):
        write_adapter(loaded, role, folder, contract=agreed)
        return
    if role != BASE:
        loaded.model.network.float()  # so that the sum is not rounded
        loaded.roles.fold(role)
    write_network(loaded, folder, contract=agreed)
