"""Loads what a server offers: a base model, adapters that share it, and reward models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from upbring.data.chat.chat import Chat, make_chat
from upbring.errors import InputError, ResourceError, format_value
from upbring.model.attach_adapter import attach_adapter
from upbring.model.load import LoadedModel
from upbring.model.network import Model
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.serve.engine.engine import Engine
from upbring.serve.engine.forward import make_step_forward
from upbring.serve.engine.kv_pools import KVPools, KVSpec
from upbring.serve.engine.scheduler import Limits
from upbring.serve.http.served_models import ServedModel, ServedModels
from upbring.serve.http.token_texts import TokenTexts

MEMORY_SHARE = 0.4  # of the free memory, for keys and values
UNLIMITED_LENGTH = 32_768  # of models without a limit of their own
MIN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How many sequences run at once, how many wait, and how long each may be."""

    max_num_seqs: int = 32
    max_queue: int = 256
    max_model_len: int | None = None
    threads: int = 1


def make_served_models(
    loaded: LoadedModel,
    name: str,
    adapters: Sequence[tuple[str, str]],
    *,
    limits: ServerLimits,
    log: Callable[[str], None],
) -> ServedModels:
    """Return the models of a server, with its engine; `adapters` are (name, run)."""
    if loaded.tokenizer is None:
        raise InputError(f"{loaded.folder}: has no tokenizer; put tokenizer.json into the folder")
    if loaded.head is not None:
        loaded.roles.add_head(BASE, loaded.head)
    served = [ServedModel(name, _make_chat(loaded, loaded.contract), head=_head(loaded, BASE))]
    for number, (adapter_name, run) in enumerate(adapters):
        if adapter_name in {each.name for each in served}:
            raise InputError(f"--adapter: {format_value(adapter_name)} is there twice; rename one")
        role = f"adapter{number}"
        contract = attach_adapter(loaded, run, role, log=log)
        chat = _make_chat(loaded, contract or loaded.contract)
        served.append(ServedModel(adapter_name, chat, role, _head(loaded, role)))
    engine = _make_engine(loaded, [each.role for each in served if each.role], limits, log=log)
    return ServedModels(
        engine,
        loaded.model,
        loaded.roles,
        {each.name: each for each in served},
        TokenTexts(loaded.tokenizer),
        fingerprint=f"upbring-{loaded.base_sha256[:12]}",
    )


def served_name(model: str) -> str:
    """Return the name under which a model is served: its folder's, without the machine's path.

    >>> served_name("runs/sft-1/"), served_name("builtin:sprout"), served_name("org/model")
    ('sft-1', 'builtin:sprout', 'org/model')
    """
    path = Path(model)
    is_path = path.is_absolute() or model.endswith("/") or model.startswith(".") or path.is_dir()
    return (path.resolve().name or model) if is_path else model


def read_adapters(values: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, run) of each `NAME=RUN`.

    >>> read_adapters(["polite=runs/sft-1"])
    [('polite', 'runs/sft-1')]
    """
    found = []
    for value in values:
        name, equals, run = value.partition("=")
        if not (name and equals and run):
            raise InputError(
                f"--adapter: {format_value(value)} is not NAME=RUN; write, for example, "
                "polite=runs/sft-1"
            )
        found.append((name, run))
    return found


def _make_chat(loaded: LoadedModel, contract: Contract | None) -> Chat:
    assert loaded.tokenizer is not None, "checked by the caller"
    return make_chat(loaded.tokenizer, template=contract.template if contract else None)


def _head(loaded: LoadedModel, role: str) -> torch.nn.Linear | None:
    return loaded.roles.heads.get(role)


def _make_engine(
    loaded: LoadedModel, roles: Sequence[str], limits: ServerLimits, *, log: Callable[[str], None]
) -> Engine:
    model = loaded.model
    step_forward = make_step_forward(model, loaded.roles, roles)
    max_length = _max_length(model, limits.max_model_len)
    pools = None
    if step_forward.spec is not None:
        affordable = _free_bytes(model.device) * MEMORY_SHARE / token_bytes(step_forward.spec)
        if affordable < max_length:
            log(f"context length {int(affordable):,} instead of {max_length:,}: memory is short")
            max_length = int(affordable)
        if max_length < MIN_LENGTH:
            raise ResourceError(
                "there is no memory for keys and values; free some, or use a smaller model"
            )
        most = min(int(affordable), limits.max_num_seqs * max_length)
        pools = KVPools(step_forward.spec, max_tokens=most, max_length=max_length)
    assert loaded.tokenizer is not None, "checked by the caller"
    engine_limits = Limits(max_num_seqs=limits.max_num_seqs, max_queue=limits.max_queue)
    return Engine(step_forward, loaded.tokenizer, max_length, pools, engine_limits, limits.threads)


def token_bytes(spec: KVSpec) -> int:
    """Return the bytes of one token's keys and values."""
    return sum(heads * (k + v) for heads, k, v in spec.shapes) * spec.dtype.itemsize


def _max_length(model: Model, wanted: int | None) -> int:
    """Return the context length: what the model allows, and what is asked for."""
    own = [model.max_positions, model.rotary_threshold, model.rotary_limit]
    limit = min([each for each in own if each is not None], default=UNLIMITED_LENGTH)
    if wanted is not None and wanted > limit:
        raise InputError(
            f"--max-model-len: {wanted} is more than the model's {limit}; use {limit} or less"
        )
    return wanted or limit


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
