"""The provenance of a stage: the identity for resuming, and the contract of its weights."""

import hashlib
import json
from typing import Any

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.model.load import weights_sha256
from upbring.model.packing import token_budget
from upbring.model.quantized import num_weights
from upbring.plurals import format_count
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
from upbring.settings.model import AdapterSettings
from upbring.stages.context import StageContext
from upbring.stages.registry import Method
from upbring.train import devices, processes
from upbring.train.algorithm import Algorithm

BASE_ASPECTS: tuple[Aspect, ...] = ("tokenizer", "bos", "eos")

SCORING_KINDS: tuple[ModelKind, ...] = ("reward", "value")

# Settings that may differ when a run is resumed: files and models are identified by their hashes,
# and the others do not change the result.
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
        "reward_function",
        "track",
    }
)


def check_contract(context: StageContext) -> None:
    """Refuse a model that was trained with another tokenizer, chat template or stop tokens.

    A base model was trained without a template, so that only its tokenizer is compared.
    """
    model_contract = context.loaded.contract
    if model_contract is None:
        return
    kind = model_contract.kind
    if kind != contract_kind(context.method) and kind in SCORING_KINDS:
        raise InputError(
            f"{context.loaded.folder}: is a {kind} model, which scores text and does not generate "
            "it; start from the model that it was trained from"
        )
    aspects = BASE_ASPECTS if kind == "base" else CHAT_ASPECTS
    names = ("this stage", str(context.loaded.folder))
    if mismatches := describe_differences(
        make_contract(context, steps=0), model_contract, names=names, aspects=aspects
    ):
        raise InputError(
            "\n".join(mismatches)
            + "\nthe contract of the model does not match; leave out --chat-template and "
            "--tokenizer, or start from another model"
        )


def contract_kind(method: Method) -> ModelKind:
    """Return the kind of model that a method makes, as named in contracts."""
    if method.makes == "reward model":
        return "reward"
    kinds: dict[str, ModelKind] = {"documents": "base", "demonstrations": "sft"}
    return kinds.get(method.learns_from, "policy")


def micro_tokens(context: StageContext) -> int:
    """Return the number of tokens of a forward pass: as set, or as the memory allows."""
    settings = context.settings
    memory = devices.total_memory(context.machine.device)
    is_checkpointed = settings.gradient_checkpointing
    max_tokens = token_budget(context.loaded.model, memory, is_checkpointed=is_checkpointed)
    return settings.micro_batch_tokens or max_tokens


def identity(context: StageContext) -> dict[str, JSON]:
    """Return the values that must be equal to resume a checkpoint; `machine` may differ."""
    settings_values = json.loads(context.settings.model_dump_json())
    files: list[JSON] = [f"{file.purpose} {file.sha256}" for file in context.dataset.files]
    return {
        "model": weights_sha256(context.loaded.folder),
        "base": context.loaded.base_sha256,
        "tokenizer": context.preprocessor.tokenizer.fingerprint,
        "template": context.preprocessor.chat_template,
        "data": files,
        "encoding": [*context.preprocessor.encoder.identity],
        **context.implementation.extra_identity(context),
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
    """Write a run's environment, data files and contract before its first step."""
    run.write_environment(extra={"threads": context.machine.threads})
    run.write_data(list(context.dataset.files))
    run.write_contract(make_contract(context, steps=steps))
    num_named = len(getattr(context.settings, "reward_function", ()))
    if names := [function.name for function, _ in context.reward_functions[num_named:]]:
        run.set_reward_function(", ".join(names))  # only Python has them
    run.set_num_steps(steps)


def make_contract(context: StageContext, *, steps: int) -> Contract:
    """Return the contract that is stored with the weights of this stage."""
    preprocessor, loaded = context.preprocessor, context.loaded
    tokenizer = preprocessor.tokenizer
    sources = tuple(
        TrainingFile(file.file, file.sha256, file.rows)
        for file in context.dataset.files
        if file.purpose == "train"
    )
    settings_json = context.settings.model_dump_json(exclude={"name", "runs"})
    history = loaded.contract.history if loaded.contract else ()
    base = context.settings.model
    if loaded.folder != loaded.base:
        base = loaded.contract.base if loaded.contract else str(loaded.base)
    stage_contract = Contract(
        base=base,
        base_sha256=loaded.base_sha256,
        tokenizer=tokenizer.fingerprint,
        template=preprocessor.chat_template,
        stops=tuple(
            StopToken(t, tokenizer.decode([t], with_special_tokens=True))
            for t in preprocessor.stop_token_ids
        ),
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        kind=contract_kind(context.method),
        tune=context.settings.tune,
        quantization=loaded.quantization,
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
    return context.implementation.extend_contract(context, stage_contract)


def write_resource_usage(run: Run, context: StageContext, algorithm: Algorithm[Any]) -> None:
    """Add to a run's environment its peak memory so far and its number of trainable weights."""
    num_trainable, num_total = count_weights(context, algorithm)
    usage: dict[str, JSON] = {
        "threads": context.machine.threads,
        "weights": num_total,
        "learned_weights": num_trainable,
        "peak_memory_bytes": durable.peak_process_memory_bytes(),
    }
    run.write_environment(extra=usage)


def count_weights(context: StageContext, algorithm: Algorithm[Any]) -> tuple[int, int]:
    """Return how many weights are trainable, and how many the model has."""
    network = context.loaded.model.network
    num_trainable = sum(p.numel() for g in algorithm.parameters() for p in g.parameters.values())
    return num_trainable, num_weights(network)


def _describe_adapter(settings: AdapterSettings) -> str:
    return f"{'DoRA' if settings.dora else 'LoRA'} of rank {settings.rank}"


def summary_lines(context: StageContext, algorithm: Algorithm[Any]) -> list[str]:
    """Return the model, its trainable weights and the memory in use, for the start of a run."""
    policy, *others = (
        sum(p.numel() for p in group.parameters.values()) for group in algorithm.parameters()
    )
    num_total = count_weights(context, algorithm)[1]
    machine, settings = context.machine, context.settings
    dtype = str(machine.compute_dtype).removeprefix("torch.")
    what = "all weights" if settings.tune == "full" else _describe_adapter(settings)
    stored = f" with {context.loaded.quantization} weights" if context.loaded.quantization else ""
    device = f"{dtype}{stored} on {machine.device.type}"
    more = f", value model and averages {sum(others):,}" if others else ""
    used, total = durable.process_memory_bytes(), devices.total_memory(machine.device)
    trained = f"{what}, {policy:,} parameters ({policy / num_total:.2%}){more}"
    memory = f"{durable.format_size(used)} of {durable.format_size(total)}"
    steps = f"{format_count(algorithm.steps, 'step')} of {format_count(settings.batch_size, 'row')}"
    return [
        f"model: {settings.model}, {num_total:,} parameters, {device}",
        f"training: {trained}, {steps}",
        f"memory: {memory} before the first step",
    ]
