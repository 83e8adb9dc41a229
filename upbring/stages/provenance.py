"""The papers of a stage: what it is made of, what must not change, what travels with it."""

import hashlib
import json

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.model.load import weights_sha256
from upbring.model.packing import token_budget
from upbring.runs.contract import (
    CHAT_ASPECTS,
    Aspect,
    Contract,
    ModelKind,
    StopToken,
    TrainingFile,
    TrainingStage,
    describe_differences,
)
from upbring.runs.environment import vector_instructions
from upbring.runs.run_folder import Run
from upbring.stages.context import StageContext
from upbring.train import devices, processes
from upbring.train.algorithm import Algorithm

BASE_ASPECTS: tuple[Aspect, ...] = ("tokenizer", "bos", "eos")

SCORING_KINDS: tuple[ModelKind, ...] = ("reward", "value")

# Settings that say where and how often, not what: they may differ when a run is resumed.
CHANGEABLE_ON_RESUME = frozenset(
    {
        "model",
        "data",
        "held_out",
        "mix",
        "name",
        "runs",
        "save_total_limit",
        "threads",
        "skip_bad",
        "prompts",
        "processes",
    }
)


def check_contract(context: StageContext) -> None:
    """Refuse to teach a model in another way of speaking than the one it was taught in.

    A base model was taught to read tokens, and no template yet.
    """
    model_contract = context.loaded.contract
    if model_contract is None:
        return
    if model_contract.kind != context.method.kind and model_contract.kind in SCORING_KINDS:
        raise InputError(
            f"{context.loaded.folder}: is a {model_contract.kind} model, which scores and does not speak; "
            "begin from the model that it was made of"
        )
    aspects = BASE_ASPECTS if model_contract.kind == "base" else CHAT_ASPECTS
    names = ("this stage", str(context.loaded.folder))
    if mismatches := describe_differences(
        make_contract(context, steps=0), model_contract, names=names, aspects=aspects
    ):
        raise InputError(
            "\n".join(mismatches)
            + "\nthe contract of the model does not fit; leave out --chat-template and "
            "--tokenizer, or begin from another model"
        )


def micro_tokens(context: StageContext) -> int:
    """Return how many tokens are computed at once: as asked, or as the memory allows."""
    settings = context.settings
    memory = devices.total_memory(context.machine.device)
    is_checkpointed = settings.gradient_checkpointing
    max_tokens = token_budget(context.loaded.model, memory, is_checkpointed=is_checkpointed)
    return settings.micro_batch_tokens or max_tokens


def identity(context: StageContext) -> dict[str, JSON]:
    """Return what must be equal for a checkpoint to be resumed; `machine` may differ."""
    settings_values = json.loads(context.settings.model_dump_json())
    files: list[JSON] = [f"{file.purpose} {file.sha256}" for file in context.dataset.files]
    return {
        "model": weights_sha256(context.loaded.folder),
        "base": context.loaded.base_sha256,
        "tokenizer": context.preprocessor.tokenizer.fingerprint,
        "template": context.preprocessor.chat_template,
        "data": files,
        "encoding": [*context.preprocessor.encoder.identity],
        **context.method.extra_identity(context),
        "settings": {
            name: value
            for name, value in settings_values.items()
            if name not in CHANGEABLE_ON_RESUME
        },
        "machine": {
            "micro_batch_tokens": micro_tokens(context),
            "processes": processes.process_group().world_size,
            "device": str(context.machine.device.type),
            "precision": str(context.machine.compute_dtype),
            "threads": context.machine.threads,
            "instructions": [*vector_instructions()],
        },
    }


def write_provenance(run: Run, context: StageContext, *, steps: int) -> None:
    """Write what a run is made of, before its first step."""
    run.write_environment(extra={"threads": context.machine.threads})
    run.write_data(list(context.dataset.files))
    run.write_contract(make_contract(context, steps=steps))
    run.set_num_steps(steps)


def make_contract(context: StageContext, *, steps: int) -> Contract:
    """Return what travels with the weights of this stage."""
    preprocessor, loaded = context.preprocessor, context.loaded
    tokenizer = preprocessor.tokenizer
    sources = tuple(
        TrainingFile(file.file, file.sha256, file.rows)
        for file in context.dataset.files
        if file.purpose == "train"
    )
    settings_json = context.settings.model_dump_json(exclude={"name", "runs"})
    history = loaded.contract.history if loaded.contract else ()
    stage_contract = Contract(
        base=context.settings.model if loaded.folder == loaded.base else str(loaded.base),
        base_sha256=loaded.base_sha256,
        tokenizer=tokenizer.fingerprint,
        template=preprocessor.chat_template,
        stops=tuple(
            StopToken(t, tokenizer.decode([t], with_special_tokens=True))
            for t in preprocessor.stop_token_ids
        ),
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        kind=context.method.kind,
        tune=context.settings.tune,
        history=(
            *history,
            TrainingStage(
                context.method.name,
                sources,
                hashlib.sha256(settings_json.encode()).hexdigest(),
                steps,
            ),
        ),
    )
    return context.method.extend_contract(context, stage_contract)


def write_resource_usage(run: Run, context: StageContext, algorithm: Algorithm) -> None:
    """Add to a run's environment what it took: memory at its highest so far, and what learned."""
    num_trainable, num_total = count_weights(context, algorithm)
    usage: dict[str, JSON] = {
        "threads": context.machine.threads,
        "weights": num_total,
        "learned_weights": num_trainable,
        "peak_memory_bytes": durable.peak_process_memory_bytes(),
    }
    run.write_environment(extra=usage)


def count_weights(context: StageContext, algorithm: Algorithm) -> tuple[int, int]:
    """Return how many weights learn, and how many the model has."""
    network = context.loaded.model.network
    num_trainable = sum(p.numel() for g in algorithm.parameters() for p in g.parameters.values())
    return num_trainable, sum(p.numel() for n, p in network.named_parameters() if "lora_" not in n)


def summary_line(context: StageContext, algorithm: Algorithm) -> str:
    """Return in one line what learns, how long and on what."""
    num_trainable, num_total = count_weights(context, algorithm)
    return (
        f"{num_trainable:,} of {num_total:,} weights learn ({num_trainable / num_total:.2%}), {algorithm.steps} steps, "
        f"{str(context.machine.compute_dtype).removeprefix('torch.')} on {context.machine.device.type}"
    )
