"""The cast of a stage around a model without data: configuration and sizes of files, no weight.

Rows are read and tokenised as the run will do it; it finds them in the cache.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from rich.console import Console
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.errors import InputError
from upbring.interruption import Interruption
from upbring.model.load import LoadedModel, lanes_of
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.runs.contract import read_contract
from upbring.runs.find_model import locate_model, read_json_object
from upbring.settings.command_table import import_object
from upbring.settings.resolve import Resolved
from upbring.stages.context import Method, StageContext
from upbring.stages.dataset import Log
from upbring.stages.planning.memory_probe import ProbeConfig, make_meta_network
from upbring.stages.provenance import check_contract
from upbring.stages.registry import METHODS
from upbring.train import devices

_UNREADABLE = (ImportError, OSError, ValueError, KeyError, RuntimeError, StrictDataclassError)
_TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")


def make_dry_run_context(method_name: str, resolved: Resolved[Any], *, log: Log) -> StageContext:
    """Return the cast of a stage whose model has no data, if the model's contract fits."""
    method: Method = import_object(METHODS[method_name])
    settings = resolved.settings
    machine = devices.prepare(settings)
    loaded = load_meta_model(settings, machine, log=log)
    settings = clamp_max_length(settings, loaded)
    preprocessor = method.make_preprocessor(settings, loaded, log=log, started_at=None)
    dataset = method.load_dataset(settings, preprocessor, log=log, poll=lambda: None)
    context = StageContext(
        method=method,
        resolved=resolved,
        machine=machine,
        loaded=loaded,
        preprocessor=preprocessor,
        dataset=dataset,
        interruption=Interruption(),
        log=log,
        console=Console(quiet=True),
    )
    contract_file = loaded.folder / "contract.json"
    if contract_file.is_file():
        check_contract(
            replace(context, loaded=replace(loaded, contract=read_contract(contract_file)))
        )
    return context


def weight_file_bytes(folder: Path) -> int:
    """Return the bytes of a directory's weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def make_probe_config(settings: Any, machine: devices.Machine) -> ProbeConfig:  # noqa: ANN401 -- each method's own
    """Return how the model of a stage learns."""
    return ProbeConfig(
        compute_dtype=machine.compute_dtype,
        adapter=settings,
        is_full=settings.tune == "full",
        is_checkpointed=settings.gradient_checkpointing,
        device=machine.device,
    )


def clamp_max_length(settings: Any, loaded: LoadedModel) -> Any:  # noqa: ANN401 -- each method's own
    """Return the settings with examples no longer than the model reads."""
    limit = loaded.model.max_positions
    if limit is None or settings.max_length <= limit:
        return settings
    return settings.model_copy(update={"max_length": limit})


def load_meta_model(settings: Any, machine: devices.Machine, *, log: Log) -> LoadedModel:  # noqa: ANN401 -- each method's own
    """Return a model whose weights were not read."""
    folder = locate_model(settings.model, log=log)
    base = find_base_folder(folder)
    network, roles = _make_meta_network_and_roles(base, make_probe_config(settings, machine))
    tokenizer_folder = next(
        (f for f in (folder, base) if any((f / n).is_file() for n in _TOKENIZERS)), None
    )
    return LoadedModel(
        model=Model(network, machine.compute_dtype, lanes=lanes_of(network, machine.lanes)),
        roles=roles,
        tokenizer=None if tokenizer_folder is None else load_tokenizer(tokenizer_folder),
        contract=None,
        folder=folder,
        base=base,
        base_sha256="",
    )


def load_meta_network(folder: Path, probe_config: ProbeConfig) -> PreTrainedModel:
    """Return the network of a model whose weights were not read."""
    return _make_meta_network_and_roles(find_base_folder(folder), probe_config)[0]


def _make_meta_network_and_roles(
    base: Path, probe_config: ProbeConfig
) -> tuple[PreTrainedModel, Roles]:
    """Return a network that has shapes only, and its roles."""
    config = _read_config(base)
    try:
        return make_meta_network(config, probe_config, layers=None)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{base}: cannot be loaded ({reason}); fetch or export it again"
        ) from error


def find_base_folder(folder: Path) -> Path:
    """Return the directory of whole weights below an adapter."""
    visited = [folder]
    while (folder / "adapter_config.json").is_file():
        config = read_json_object(folder / "adapter_config.json")
        folder = locate_model(str(config.get("base_model_name_or_path") or ""))
        if folder in visited:
            raise InputError(f"{folder}: is its own base; mend base_model_name_or_path")
        visited.append(folder)
    return folder


def _read_config(base: Path) -> PretrainedConfig:
    if not (base / "config.json").is_file():
        raise InputError(f"{base}: has no config.json; name the directory that holds the model")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = AutoConfig.from_pretrained(base, local_files_only=True)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{base / 'config.json'}: cannot be read ({reason}); mend it") from error
    assert isinstance(config, PretrainedConfig), f"{type(config)} is no configuration"
    return config
