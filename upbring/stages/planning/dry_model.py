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
from upbring.model.load import Loaded, lanes_of
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.runs.contract import read_contract
from upbring.runs.find_model import locate, read_object
from upbring.settings.command_table import imported
from upbring.settings.resolve import Resolved
from upbring.stages.context import Cast, Craft
from upbring.stages.dataset import Notice
from upbring.stages.planning.memory_probe import Manner, skeleton
from upbring.stages.provenance import agree
from upbring.stages.registry import CRAFTS
from upbring.train import devices

_UNREADABLE = (ImportError, OSError, ValueError, KeyError, RuntimeError, StrictDataclassError)
_TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")


def rehearsed(verb: str, resolved: Resolved[Any], *, notice: Notice) -> Cast:
    """Return the cast of a stage whose model has no data, if the model's contract fits."""
    craft: Craft = imported(CRAFTS[verb])
    settings = resolved.settings
    machine = devices.prepare(settings)
    loaded = unread(settings, machine, notice=notice)
    settings = within(settings, loaded)
    speech = craft.speech(settings, loaded, notice=notice, began=None)
    dataset = craft.dataset(settings, speech, notice=notice, poll=lambda: None)
    cast = Cast(
        craft=craft,
        resolved=resolved,
        machine=machine,
        loaded=loaded,
        speech=speech,
        dataset=dataset,
        interruption=Interruption(),
        say=notice,
        console=Console(quiet=True),
    )
    found = loaded.folder / "contract.json"
    if found.is_file():
        agree(replace(cast, loaded=replace(loaded, contract=read_contract(found))))
    return cast


def bytes_of(folder: Path) -> int:
    """Return the bytes of a directory's weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def manner(settings: Any, machine: devices.Machine) -> Manner:  # noqa: ANN401 -- each verb's own
    """Return how the model of a stage learns."""
    return Manner(
        compute=machine.compute,
        adapter=settings,
        is_full=settings.tune == "full",
        is_checkpointed=settings.gradient_checkpointing,
        device=machine.device,
    )


def within(settings: Any, loaded: Loaded) -> Any:  # noqa: ANN401 -- each verb's own
    """Return the settings with examples no longer than the model reads."""
    limit = loaded.model.longest
    if limit is None or settings.max_length <= limit:
        return settings
    return settings.model_copy(update={"max_length": limit})


def unread(settings: Any, machine: devices.Machine, *, notice: Notice) -> Loaded:  # noqa: ANN401 -- each verb's own
    """Return a model whose weights were not read."""
    folder = locate(settings.model, notice=notice)
    base = bottom(folder)
    network, roles = _without_data(base, manner(settings, machine))
    holder = next((f for f in (folder, base) if any((f / n).is_file() for n in _TOKENIZERS)), None)
    return Loaded(
        model=Model(network, machine.compute, lanes=lanes_of(network, machine.lanes)),
        roles=roles,
        tokenizer=None if holder is None else load_tokenizer(holder),
        contract=None,
        folder=folder,
        base=base,
        base_sha256="",
    )


def unread_network(folder: Path, how: Manner) -> PreTrainedModel:
    """Return the network of a model whose weights were not read."""
    return _without_data(bottom(folder), how)[0]


def _without_data(base: Path, how: Manner) -> tuple[PreTrainedModel, Roles]:
    """Return a network that has shapes only, and its roles."""
    config = _configuration(base)
    try:
        return skeleton(config, how, layers=None)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{base}: cannot be loaded ({reason}); fetch or export it again"
        ) from error


def bottom(folder: Path) -> Path:
    """Return the directory of whole weights below an adapter."""
    seen = [folder]
    while (folder / "adapter_config.json").is_file():
        config = read_object(folder / "adapter_config.json")
        folder = locate(str(config.get("base_model_name_or_path") or ""))
        if folder in seen:
            raise InputError(f"{folder}: is its own base; mend base_model_name_or_path")
        seen.append(folder)
    return folder


def _configuration(base: Path) -> PretrainedConfig:
    if not (base / "config.json").is_file():
        raise InputError(f"{base}: has no config.json; name the directory that holds the model")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = AutoConfig.from_pretrained(base, local_files_only=True)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{base / 'config.json'}: cannot be read ({reason}); mend it") from error
    assert isinstance(found, PretrainedConfig), f"{type(found)} is no configuration"
    return found
