"""Exports the adapters of all stages as one adapter on the original base, for peft or mlx-lm.

Adapters of several stages are concatenated, which is exact: Δ₁ + Δ₂ = [B₁ B₂] [A₁; A₂]. A DoRA
adapter is no such product: the only adapter of a run is copied as it is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from upbring.errors import InputError
from upbring.export.load_run import load_run, new_folder, require_contract
from upbring.export.mlx_adapter import write_mlx_adapter
from upbring.export.model_card import CardSource, write_export_card
from upbring.export.original_base import AS_MERGED, require_original_base
from upbring.export.portable import portable_contract
from upbring.export.verify import ExpectedOutputs, check_export, compute_expected
from upbring.export.vllm_limits import vllm_lines
from upbring.export.weights import AdapterFiles, tensors_from_factors, write_adapter_files
from upbring.model.adapter_config import read_adapter_config
from upbring.model.load import (
    ADAPTER_HEAD_NAME,
    LoadedModel,
    ModelFiles,
    adapter_tensors,
    locate_model_files,
)
from upbring.model.roles import BASE
from upbring.runs.contract import Contract
from upbring.tracking import Track, no_tracking, track_call

AdapterLibrary = Literal["peft", "mlx-lm"]


def export_adapter(
    name: str,
    target: Path,
    *,
    log: Callable[[str], None],
    library: AdapterLibrary = "peft",
    evaluation: Path | None = None,
    track: Track = no_tracking,
    check: Callable[..., float] = check_export,
) -> float:
    """Write only the adapter to `target`; return the largest difference in peft or for mlx-lm."""
    files = locate_model_files(name)
    require_original_base(files, name)
    with new_folder(target) as folder:

        def write() -> ExpectedOutputs:  # the model is freed before the library loads it
            loaded = load_run(files, log=log, track=track, quantization="none")
            contract = portable_contract(require_contract(loaded))
            expected = compute_expected(loaded)
            if contract.quantization is not None:
                _log_quantization_gap(files, expected, contract, log)
            if library == "mlx-lm":
                write_mlx_adapter(loaded, folder, contract=contract, log=log)
            else:
                _write_peft(loaded, files, folder, contract=contract, target=target, log=log)
            card = CardSource(name, target.name, library, evaluation)
            write_export_card(folder, loaded, contract, source=card)
            return expected

        expected = track_call(track, f"writing {target}", write)
        return track_call(
            track,
            f"checking {target}",
            lambda: check(folder, expected, library=library, target=target, base=files.base),
        )


def _write_peft(
    loaded: LoadedModel,
    files: ModelFiles,
    folder: Path,
    *,
    contract: Contract,
    target: Path,
    log: Callable[[str], None],
) -> None:
    """Write the adapters of a loaded model as one PEFT adapter."""
    if loaded.has_exact_factors:
        adapter = AdapterFiles(*tensors_from_factors(loaded.factors, loaded.model.network))
    else:
        adapter = _read_dora(files)
    head = loaded.roles.heads[BASE] if loaded.head is not None else None
    write_adapter_files(loaded, adapter, head, folder, contract=contract, base_name=contract.base)
    for line in vllm_lines(adapter.config, target, base=contract.base, has_head=head is not None):
        log(line)


def _read_dora(files: ModelFiles) -> AdapterFiles:
    """Return the only adapter of a model, which is a DoRA adapter."""
    if len(files.adapters) > 1:
        raise InputError(
            f"{files.folder}: has a DoRA adapter and others, which are not one adapter; {AS_MERGED}"
        )
    (folder,) = files.adapters
    tensors = adapter_tensors(folder)
    tensors.pop(ADAPTER_HEAD_NAME, None)
    return AdapterFiles(tensors, read_adapter_config(folder))


def _log_quantization_gap(
    files: ModelFiles, expected: ExpectedOutputs, contract: Contract, log: Callable[[str], None]
) -> None:
    """Log how far the adapter on the original weights is from the model that was trained."""
    with torch.no_grad():
        trained = compute_expected(load_run(files, log=log))
    difference = expected.difference(trained.outputs)
    unit = "scores" if expected.is_reward else "log-probabilities"
    log(
        f"{files.folder}: was trained on {contract.quantization} weights; on the original weights "
        f"{unit} differ by {float(difference.mean()):.2g} on average, "
        f"{float(difference.max()):.2g} at most ({AS_MERGED} to keep the weights it was trained on)"
    )
