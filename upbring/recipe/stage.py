"""One stage: a model, trees and settings in, a run folder with a new model in it out.

What must meet is introduced here: data, model, algorithm, loop and export. `training` says what
pre-training and fine-tuning add of their own.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console

from upbring import durable
from upbring.algorithms.pretrain import Pretrain
from upbring.data.stream import Stream
from upbring.durable import JSON
from upbring.errors import InputError, Interrupted, shown
from upbring.export.weights import write_adapter, write_network
from upbring.interruption import Interruption
from upbring.maths import draws
from upbring.model.load import Loaded, weights_sha256
from upbring.model.packing import token_budget
from upbring.model.roles import BASE
from upbring.model.sample import Request, Stopping, sample
from upbring.recipe.dataset import Dataset, Notice
from upbring.recipe.evidence import write_card
from upbring.recipe.speech import Asked, Speech
from upbring.runs.contract import SPEECH, Aspect, Contract, Source, Stage, Stop, compare
from upbring.runs.environment import instructions
from upbring.runs.folder import Run
from upbring.settings.pretrain import PretrainSettings
from upbring.settings.reference import as_yaml
from upbring.settings.resolve import Resolved
from upbring.settings.sample import SampleSettings
from upbring.settings.sft import SftSettings
from upbring.train import checkpoint, devices, processes
from upbring.train.algorithm import Sample
from upbring.train.devices import Machine
from upbring.train.journal import Journal, Kept, Mute
from upbring.train.loop import Training
from upbring.train.optimiser import ParameterGroup
from upbring.train.progress import Progress

Learning = SftSettings | PretrainSettings

ROLE = "policy"
BASIC: tuple[Aspect, ...] = ("tokenizer", "bos", "eos")
NUM_SAMPLES = 3  # fixed prompts, where the user names none

# Settings that say where and how often, not what: they may differ when a run is resumed.
FREE = frozenset(
    {"model", "data", "held_out", "mix", "name", "runs", "keep", "threads", "skip_bad", "prompts"}
)


@dataclass(frozen=True, eq=False)
class Cast:
    """Everyone who takes part in a stage."""

    verb: str
    resolved: Resolved[Learning]
    machine: Machine
    loaded: Loaded
    speech: Speech
    dataset: Dataset
    algorithm: type[Pretrain]
    interruption: Interruption
    say: Notice
    console: Console  # where `say` speaks too, so that it speaks above the bar

    @property
    def settings(self) -> Learning:
        """What the user asked for."""
        return self.resolved.settings


def perform(cast: Cast, *, resumed: Run | None = None, allow_change: Sequence[str] = ()) -> Run:
    """Take a stage's steps in a new run's folder, or in that of the run that is resumed."""
    _agree(cast)
    role = _cast_role(cast)
    algorithm = _algorithm(cast, role)
    is_first = processes.place().is_first
    run = resumed or _begun(cast)
    with run.lock() if is_first else nullcontext():
        if is_first and run.facts()["steps"] is None:
            _write_papers(run, cast, steps=algorithm.steps)
        cast.say(f"{run.path}: {_headline(cast, algorithm)}")
        training = Training(algorithm, cast.settings, cast.interruption)
        with _journal(cast, run, steps=algorithm.steps) as journal:
            if resumed is not None:
                _restore(cast, training, run, journal=journal, allow_change=allow_change)
            try:
                training.train(journal)
            except Interrupted as stop:
                raise Interrupted(
                    f"stopped after step {training.step} of {algorithm.steps}, saved; go on with "
                    f"`upbring resume {run.path}`",
                    signal_number=stop.exit_code - 128,
                ) from stop
        if is_first:
            _conclude(cast, training, run, role=role)
            run.finish()
    return run


def _agree(cast: Cast) -> None:
    """Refuse to teach a model in another way of speaking than the one it was taught in.

    A base model was taught to read tokens, and no template yet.
    """
    before = cast.loaded.contract
    if before is None:
        return
    aspects = BASIC if before.kind == "base" else SPEECH
    names = ("this stage", str(cast.loaded.folder))
    if found := compare(contract(cast, steps=0), before, names=names, aspects=aspects):
        raise InputError(
            "\n".join(found) + "\nthe contract of the model does not fit; leave out --template and "
            "--tokenizer, or begin from another model"
        )


def _journal(cast: Cast, run: Run, *, steps: int) -> AbstractContextManager[Journal]:
    """Return the run's journal for the process that keeps it."""
    if not processes.place().is_first:
        return nullcontext(Mute())
    return Kept(
        run, Progress(steps, console=cast.console), identity(cast), cast.settings.keep, cast.say
    )


def _cast_role(cast: Cast) -> str:
    """Let an adapter learn, or every weight; return the role that does."""
    roles, settings = cast.loaded.roles, cast.settings
    if settings.tune == "full":
        roles.add_full()
        role = BASE
    else:
        role = ROLE
        roles.add_adapter(role, settings, seed=settings.seed)
    if settings.gradient_checkpointing:
        roles.checkpoint_gradients()
    return role


def _algorithm(cast: Cast, role: str) -> Pretrain:
    settings, roles, model = cast.settings, cast.loaded.roles, cast.loaded.model
    stream = Stream(
        main=cast.dataset.main,
        mixed=cast.dataset.mixed,
        seed=settings.seed,
        epochs=settings.epochs,
        step_examples=settings.step_examples,
        step_tokens=settings.step_tokens,
    )
    return cast.algorithm(
        model=model,
        speaking=partial(roles.speaking, role),
        learned=_groups(cast, role),
        stream=stream,
        steps=settings.steps or stream.num_steps,
        held_out=cast.dataset.held_out,
        micro_tokens=micro_tokens(cast),
        answer=_answering(cast, role),
        poll=_polling(cast),
    )


def micro_tokens(cast: Cast) -> int:
    """Return how many tokens are computed at once: as asked, or as the memory allows."""
    settings = cast.settings
    memory = devices.memory(cast.machine.device)
    is_checkpointed = settings.gradient_checkpointing
    fitting = token_budget(cast.loaded.model, memory, is_checkpointed=is_checkpointed)
    return settings.micro_tokens or fitting


def _polling(cast: Cast) -> Callable[[], None]:
    """Return what stops an evaluation midway; several processes stop together, between steps."""
    return cast.interruption.poll if processes.place().count == 1 else lambda: None


def _groups(cast: Cast, role: str) -> list[ParameterGroup]:
    return [ParameterGroup(cast.loaded.roles.parameters(role))]


def _answering(cast: Cast, role: str) -> Callable[[], list[Sample]]:
    """Return what answers the fixed prompts, always the likeliest way."""
    speech, settings = cast.speech, cast.settings
    asked = [(each.text, _fitting(cast, each)) for each in speech.asked]
    if not asked and cast.algorithm is not Pretrain:
        held = cast.dataset.held_out
        every = (held[i].prompt.tolist() for i in range(len(held)))
        prompts = islice((p for p in every if len(p) <= _room(cast)), NUM_SAMPLES)
        asked = [(speech.tokenizer.decode(prompt), prompt) for prompt in prompts]
    how = SampleSettings(temperature=0, max_tokens=settings.sample_tokens)
    requests = [
        Request(tokens, (draws.key(settings.seed, "sample", i),))
        for i, (_, tokens) in enumerate(asked)
    ]

    def answer() -> list[Sample]:
        with cast.loaded.roles.speaking(role):
            responses = sample(
                cast.loaded.model,
                requests,
                how,
                stopping=Stopping(frozenset(speech.stops)),
                poll=_polling(cast),
            )
        return [
            Sample(text, speech.tokenizer.decode(response.tokens))
            for (text, _), response in zip(asked, responses, strict=True)
        ]

    return answer


def _room(cast: Cast) -> int:
    """Return how long a prompt may be, so that its answer is within what the model reads."""
    longest = cast.loaded.model.longest
    return 2**31 if longest is None else longest - cast.settings.sample_tokens


def _fitting(cast: Cast, asked: Asked) -> list[int]:
    """Return a prompt's tokens, or say that it does not fit."""
    if 0 < len(asked.tokens) <= _room(cast):
        return asked.tokens
    raise InputError(
        f"sample_prompts: {shown(asked.text)} has {len(asked.tokens)} tokens; with an answer of "
        f"{cast.settings.sample_tokens} the model has room for 1 to {_room(cast)}"
    )


def identity(cast: Cast) -> dict[str, JSON]:
    """Return what must be equal for a checkpoint to be resumed; `machine` may differ."""
    asked = json.loads(cast.settings.model_dump_json())
    files: list[JSON] = [f"{file.purpose} {file.sha256}" for file in cast.dataset.files]
    return {
        "model": weights_sha256(cast.loaded.folder),
        "base": cast.loaded.base_sha256,
        "tokenizer": cast.speech.tokenizer.fingerprint,
        "template": cast.speech.template,
        "data": files,
        "encoding": [*cast.speech.encoder.identity],
        "settings": {name: value for name, value in asked.items() if name not in FREE},
        "machine": {
            "micro_tokens": micro_tokens(cast),
            "processes": processes.place().count,
            "device": str(cast.machine.device.type),
            "precision": str(cast.machine.compute),
            "threads": cast.machine.threads,
            "instructions": [*instructions()],
        },
    }


def _begun(cast: Cast) -> Run:
    """Return the folder of a new run, which the first process makes."""
    settings = cast.settings
    if not processes.place().is_first:
        return Run(Path(processes.told("")))
    text = as_yaml(cast.resolved, cast.verb)
    run = Run.create(settings.runs, cast.verb, name=settings.name, settings=text)
    processes.told(str(run.path))
    return run


def _write_papers(run: Run, cast: Cast, *, steps: int) -> None:
    run.write_environment(more={"threads": cast.machine.threads})
    run.write_data(list(cast.dataset.files))
    run.write_contract(contract(cast, steps=steps))
    run.plan(steps)


def contract(cast: Cast, *, steps: int) -> Contract:
    """Return what travels with the weights of this stage."""
    speech, loaded = cast.speech, cast.loaded
    tokenizer = speech.tokenizer
    sources = tuple(
        Source(file.file, file.sha256, file.rows)
        for file in cast.dataset.files
        if file.purpose == "train"
    )
    asked = cast.settings.model_dump_json(exclude={"name", "runs"})
    history = loaded.contract.history if loaded.contract else ()
    return Contract(
        base=cast.settings.model if loaded.folder == loaded.base else str(loaded.base),
        base_sha256=loaded.base_sha256,
        tokenizer=tokenizer.fingerprint,
        template=speech.template,
        stops=tuple(Stop(t, tokenizer.decode([t], with_specials=True)) for t in speech.stops),
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        kind="base" if cast.verb == "pretrain" else "sft",
        tune=cast.settings.tune,
        history=(
            *history,
            Stage(cast.verb, sources, hashlib.sha256(asked.encode()).hexdigest(), steps),
        ),
    )


def _headline(cast: Cast, algorithm: Pretrain) -> str:
    network = cast.loaded.model.network
    learned = sum(p.numel() for g in algorithm.learned for p in g.parameters.values())
    whole = sum(p.numel() for n, p in network.named_parameters() if "lora_" not in n)
    return (
        f"{learned:,} of {whole:,} weights learn ({learned / whole:.2%}), {algorithm.steps} steps, "
        f"{str(cast.machine.compute).removeprefix('torch.')} on {cast.machine.device.type}"
    )


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
    """Put the chosen weights in place and write the model, its contract and its card."""
    loaded = cast.loaded
    best = training.best.step
    if cast.settings.choose == "best" and best is not None and best != training.step:
        training.put_weights(checkpoint.read(run.checkpoints / f"step-{best}"))
        cast.say(f"keeping the weights of step {best}, whose held-out loss was lowest")
    agreed = contract(cast, steps=training.step)
    with durable.folder(run.model) as folder:
        if role != BASE and loaded.is_exact and not (loaded.factors and cast.settings.dora):
            write_adapter(loaded, role, folder, contract=agreed)
        else:
            if role != BASE:
                loaded.model.network.float()  # so that the sum is not rounded
                loaded.roles.fold(role)
            write_network(loaded, folder, contract=agreed)
    write_card(run, agreed, verb=cast.verb)
