"""The context of a stage around a model without weights: its configuration and its file sizes.

Rows are read and tokenized as the run does it; both share the cache.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from upbring.errors import InputError, UpbringError
from upbring.interruption import Interruption
from upbring.model.load import LoadedModel, ModelFiles, locate_model_files
from upbring.model.load_quantized import check_quantization, reading_bytes
from upbring.model.network import Model
from upbring.model.quantized import Quantization
from upbring.model.read_config import first_line
from upbring.model.roles import Roles
from upbring.runs.contract import read_contract
from upbring.settings.resolve import Resolved
from upbring.stages.context import Implementation, StageContext
from upbring.stages.dataset import Log
from upbring.stages.encode import clamp_max_length
from upbring.stages.planning.memory_probe import ProbeConfig, make_meta_network
from upbring.stages.provenance import check_contract
from upbring.stages.registry import find_method, load_implementation
from upbring.terminal import Console
from upbring.tracking import no_tracking
from upbring.train import devices


def make_dry_run_context(method_name: str, resolved: Resolved[Any], *, log: Log) -> StageContext:
    """Return the context of a stage whose model is on the meta device, if its contract fits."""
    method = find_method(method_name)
    implementation: Implementation = load_implementation(method)
    machine = devices.prepare(resolved.settings)
    files = locate_model_files(resolved.settings.model, log=log)
    check_quantization(
        files.resolve_quantization(resolved.settings.quantization), resolved.settings
    )
    settings = clamp_max_length(resolved.settings, files, log=log)
    preprocessor = implementation.make_preprocessor(settings, files, log=log, started_at=None)
    dataset = implementation.load_dataset(
        settings, preprocessor, log=log, poll=lambda: None, track=no_tracking
    )
    context = StageContext(
        method=method,
        resolved=resolved,
        machine=machine,
        loaded=_load_meta_model(files, make_probe_config(settings, machine, files)),
        preprocessor=preprocessor,
        dataset=dataset,
        interruption=Interruption(),
        log=log,
        console=Console(quiet=True),
    )
    contract_file = files.folder / "contract.json"
    if contract_file.is_file():
        contract = read_contract(contract_file)
        check_contract(replace(context, loaded=replace(context.loaded, contract=contract)))
    return context


def weight_file_bytes(
    folder: Path, *, vocabulary: int, quantization: Quantization | None = None
) -> int:
    """Return the bytes that reading a directory's weights takes at most, beside the weights."""
    if quantization is not None:
        return reading_bytes(folder, vocabulary=vocabulary)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def make_probe_config(settings: Any, machine: devices.Machine, files: ModelFiles) -> ProbeConfig:  # noqa: ANN401 -- each method's own
    """Return how the model of a stage is trained."""
    return ProbeConfig(
        compute_dtype=machine.compute_dtype,
        adapter=settings,
        is_full=settings.tune == "full",
        is_checkpointed=settings.gradient_checkpointing,
        device=machine.device,
        quantization=files.resolve_quantization(settings.quantization),
    )


def _load_meta_model(files: ModelFiles, probe_config: ProbeConfig) -> LoadedModel:
    """Return a model whose weights are not read."""
    network, roles = _make_meta_network_and_roles(files, probe_config)
    return LoadedModel(
        model=Model(network, probe_config.compute_dtype),
        roles=roles,
        tokenizer=files.tokenizer,
        contract=None,
        folder=files.folder,
        base=files.base,
        base_sha256="",
        quantization=probe_config.quantization,
    )


def load_meta_network(files: ModelFiles, probe_config: ProbeConfig) -> PreTrainedModel:
    """Return the network of a model whose weights are not read."""
    return _make_meta_network_and_roles(files, probe_config)[0]


def _make_meta_network_and_roles(
    files: ModelFiles, probe_config: ProbeConfig
) -> tuple[PreTrainedModel, Roles]:
    """Return a network on the meta device, and its roles."""
    try:
        return make_meta_network(files.config, probe_config, layers=None)
    except UpbringError:
        raise
    except Exception as error:  # each architecture raises its own types
        raise InputError(
            f"{files.base}: cannot be loaded ({first_line(error)}); download or export it again"
        ) from error
