"""Loads a run in float32 on the CPU, to write it for other tools."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from upbring import durable
from upbring.errors import InputError
from upbring.model.load import LoadedModel, ModelFiles, QuantizationSetting, load
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.tracking import Track, no_tracking

CPU = torch.device("cpu")


def new_folder(target: Path) -> AbstractContextManager[Path]:
    """Return a block with a folder to fill, which becomes `target` if the block succeeds."""
    if target.exists():
        raise InputError(f"{target}: already exists; choose another --to")
    with durable.explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    return durable.atomic_folder(target)


def load_run(
    model: str | ModelFiles,
    *,
    log: Callable[[str], None],
    track: Track = no_tracking,
    quantization: QuantizationSetting = "auto",
) -> LoadedModel:
    """Return a model with its adapters merged; a reward model's head is that of the base role."""
    loaded = load(
        model,
        device=CPU,
        compute_dtype=torch.float32,
        quantization=quantization,
        log=log,
        track=track,
    )
    if loaded.head is not None:
        loaded.roles.add_head(BASE, loaded.head)
    return loaded


def require_contract(loaded: LoadedModel) -> Contract:
    """Return the contract of a model that upbring trained."""
    if loaded.contract is None:
        raise InputError(
            f"{loaded.folder}: was not trained by upbring and needs no export; copy the folder"
        )
    return loaded.contract
