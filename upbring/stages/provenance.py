"""The papers of a stage: what it is made of, what must not change, what travels with it."""

import hashlib
import json

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.model.load import weights_sha256
from upbring.model.packing import token_budget
from upbring.runs.contract import SPEECH, Aspect, Contract, Kind, Source, Stage, Stop, compare
from upbring.runs.environment import instructions
from upbring.runs.run_folder import Run
from upbring.stages.context import Cast
from upbring.train import devices, processes
from upbring.train.algorithm import Algorithm

BASIC: tuple[Aspect, ...] = ("tokenizer", "bos", "eos")

SILENT: tuple[Kind, ...] = ("reward", "value")

# Settings that say where and how often, not what: they may differ when a run is resumed.
FREE = frozenset(
    {
        "model",
        "data",
        "held_out",
        "mix",
        "name",
        "runs",
        "keep",
        "threads",
        "skip_bad",
        "prompts",
        "processes",
    }
)


def agree(cast: Cast) -> None:
    """Refuse to teach a model in another way of speaking than the one it was taught in.

    A base model was taught to read tokens, and no template yet.
    """
    before = cast.loaded.contract
    if before is None:
        return
    if before.kind != cast.craft.kind and before.kind in SILENT:
        raise InputError(
            f"{cast.loaded.folder}: is a {before.kind} model, which scores and does not speak; "
            "begin from the model that it was made of"
        )
    aspects = BASIC if before.kind == "base" else SPEECH
    names = ("this stage", str(cast.loaded.folder))
    if found := compare(contract(cast, steps=0), before, names=names, aspects=aspects):
        raise InputError(
            "\n".join(found) + "\nthe contract of the model does not fit; leave out --template and "
            "--tokenizer, or begin from another model"
        )


def micro_tokens(cast: Cast) -> int:
    """Return how many tokens are computed at once: as asked, or as the memory allows."""
    settings = cast.settings
    memory = devices.memory(cast.machine.device)
    is_checkpointed = settings.gradient_checkpointing
    fitting = token_budget(cast.loaded.model, memory, is_checkpointed=is_checkpointed)
    return settings.micro_tokens or fitting


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
        **cast.craft.identity(cast),
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


def write_papers(run: Run, cast: Cast, *, steps: int) -> None:
    """Write what a run is made of, before its first step."""
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
    agreed = Contract(
        base=cast.settings.model if loaded.folder == loaded.base else str(loaded.base),
        base_sha256=loaded.base_sha256,
        tokenizer=tokenizer.fingerprint,
        template=speech.template,
        stops=tuple(Stop(t, tokenizer.decode([t], with_specials=True)) for t in speech.stops),
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        kind=cast.craft.kind,
        tune=cast.settings.tune,
        history=(
            *history,
            Stage(cast.craft.verb, sources, hashlib.sha256(asked.encode()).hexdigest(), steps),
        ),
    )
    return cast.craft.contract(cast, agreed)


def write_costs(run: Run, cast: Cast, algorithm: Algorithm) -> None:
    """Add to a run's environment what it took: memory at its highest so far, and what learned."""
    learned, whole = num_weights(cast, algorithm)
    costs: dict[str, JSON] = {
        "threads": cast.machine.threads,
        "weights": whole,
        "learned_weights": learned,
        "peak_memory_bytes": durable.peak_memory_bytes(),
    }
    run.write_environment(more=costs)


def num_weights(cast: Cast, algorithm: Algorithm) -> tuple[int, int]:
    """Return how many weights learn, and how many the model has."""
    network = cast.loaded.model.network
    learned = sum(p.numel() for g in algorithm.parameters() for p in g.parameters.values())
    return learned, sum(p.numel() for n, p in network.named_parameters() if "lora_" not in n)


def headline(cast: Cast, algorithm: Algorithm) -> str:
    """Return in one line what learns, how long and on what."""
    learned, whole = num_weights(cast, algorithm)
    return (
        f"{learned:,} of {whole:,} weights learn ({learned / whole:.2%}), {algorithm.steps} steps, "
        f"{str(cast.machine.compute).removeprefix('torch.')} on {cast.machine.device.type}"
    )
