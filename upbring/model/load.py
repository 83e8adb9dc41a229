"""A directory, run, hub id or builtin: name → a model that has been probed, with its tokenizer.

An adapter is loaded onto its base, whose hash must be the one it was trained on, and folded in:
what is loaded is always one base, ready for new roles. Reads safetensors only; runs no code.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from upbring import durable
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.network import Model, disable_dropout
from upbring.model.probe import probe_architecture
from upbring.model.roles import Roles, sum_factors
from upbring.runs.contract import Contract, read_contract
from upbring.runs.find_model import locate_model, read_json_object

_LOAD_ERRORS = (
    ImportError,  # a quantised model without its library
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,  # a field of config.json of the wrong type
)

ADAPTER_HEAD_NAME = "base_model.model.score.weight"  # what a PEFT file calls a classifier's head
CLASSIFIER_SUFFIX = "ForSequenceClassification"  # how the architecture of a whole reward model ends
CLASSIFIER_HEAD_NAME = "score.weight"

LayerFactors = dict[str, tuple[Tensor, Tensor]]


@dataclass(eq=False)
class LoadedModel:
    """A model with its roles and what is known of where it comes from."""

    model: Model
    roles: Roles
    tokenizer: Tokenizer | None
    contract: Contract | None
    folder: Path
    base: Path  # the directory of whole weights at the bottom
    base_sha256: str
    factors: LayerFactors = field(default_factory=dict)  # Σ Δ of what was folded into that base
    has_exact_factors: bool = (
        True  # whether base + factors is the model (a DoRA adapter has no factors)
    )
    head: Tensor | None = None  # [1, D] of a reward model


def load(
    name: str,
    *,
    device: torch.device,
    compute_dtype: torch.dtype,
    log: Callable[[str], None],
    is_full_finetuning: bool = False,
    seed: int | None = None,
    tokenizer: Tokenizer | None = None,
    lanes: int = 1,
) -> LoadedModel:
    """Return the model that `name` means; with a `seed`, a configuration alone is a new model.

    Weights are kept in the number format of the products, or in float32 if the whole model learns.
    A `tokenizer` that is given is not read again. `lanes` are for who learns from several rows at
    the same time.
    """
    folder = locate_model(name, log=log)
    base, adapters = adapter_chain(folder)
    network = _load_network(
        base, dtype=torch.float32 if is_full_finetuning else compute_dtype, seed=seed
    )
    disable_dropout(network)
    network.to(device)
    network.eval()
    model = probe_architecture(
        Model(network, compute_dtype, lanes=lanes_of(network, lanes)), log=log
    )
    if tokenizer is None and (_has_tokenizer(folder) or _has_tokenizer(base)):
        tokenizer = load_tokenizer(folder if _has_tokenizer(folder) else base)
    contract_file = folder / "contract.json"
    loaded = LoadedModel(
        model=model,
        roles=Roles(network),
        tokenizer=tokenizer,
        contract=read_contract(contract_file) if contract_file.is_file() else None,
        folder=folder,
        base=base,
        base_sha256=weights_sha256(base),
        head=classifier_head(base),
    )
    for adapter in reversed(adapters):
        _merge_adapter(loaded, adapter)
    return loaded


def lanes_of(network: PreTrainedModel, requested: int) -> int:
    """Return how many rows of a model can be computed at the same time, of as many as are wished.

    Scaled rotary positions of some kinds are written again by each pass, for its own length.
    """
    rope = getattr(network.config.get_text_config(), "rope_parameters", None) or {}
    rope_configs = [rope, *(each for each in rope.values() if isinstance(each, Mapping))]
    return (
        1
        if any(each.get("rope_type") in {"dynamic", "longrope"} for each in rope_configs)
        else requested
    )


def adapter_chain(folder: Path) -> tuple[Path, list[Path]]:
    """Return the base at the bottom and the adapters on it, topmost first."""
    adapters: list[Path] = []
    while (folder / "adapter_config.json").is_file():
        adapters.append(folder)
        config = read_json_object(folder / "adapter_config.json")
        base = str(config.get("base_model_name_or_path") or "")
        if not base:
            raise InputError(f"{folder / 'adapter_config.json'}: names no base model; add its path")
        below = locate_model(base)
        if below in adapters:
            raise InputError(f"{folder}: is its own base; mend base_model_name_or_path")
        folder = below
    return folder, adapters


def _load_network(base: Path, *, dtype: torch.dtype, seed: int | None) -> PreTrainedModel:
    """Return the network of a directory, from its safetensors or new from its configuration."""
    if not (base / "config.json").is_file():
        raise InputError(f"{base}: has no config.json; name the directory that holds the model")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    has_weights = any(base.glob("*.safetensors"))
    if not has_weights and seed is None:
        raise InputError(
            f"{base}: has no safetensors weights; pre-train them first with `upbring pretrain`"
        )
    try:
        if has_weights:
            network, loading_info = AutoModelForCausalLM.from_pretrained(
                base,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        else:
            config = AutoConfig.from_pretrained(base, local_files_only=True)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(counter_rng.key(seed or 0, "weights"))
                network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            loading_info = {}
    except _LOAD_ERRORS as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{base}: cannot be loaded ({reason}); fetch or export it again"
        ) from error
    missing = sorted(loading_info.get("missing_keys", ()))
    if is_classifier(base):  # it reads nothing out, so that what is new here is never asked
        missing = [name for name in missing if name not in _output_embedding_names(network)]
    if missing:
        raise InputError(
            f"{base}: lacks {len(missing)} of the model's weights ({', '.join(missing[:3])}); "
            "fetch or export it again"
        )
    assert isinstance(network, PreTrainedModel), f"{type(network)} is no transformers model"
    return network


def is_classifier(base: Path) -> bool:
    """Whether a directory of whole weights is a classifier's, as reward models are saved."""
    names = read_json_object(base / "config.json").get("architectures") or ()
    return isinstance(names, list) and any(str(name).endswith(CLASSIFIER_SUFFIX) for name in names)


def classifier_head(base: Path) -> Tensor | None:
    """Return the head `[1, D]` of a whole reward model, if a directory holds one."""
    if not is_classifier(base):
        return None
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if CLASSIFIER_HEAD_NAME in tensors.keys():  # noqa: SIM118 -- no mapping
                head: Tensor = tensors.get_tensor(CLASSIFIER_HEAD_NAME).float()
                if head.shape[0] == 1:
                    return head
                raise InputError(
                    f"{base}: is a classifier of {head.shape[0]} classes; a reward model has one"
                )
    raise InputError(f"{base}: is a classifier without {CLASSIFIER_HEAD_NAME}; export it again")


def _output_embedding_names(network: PreTrainedModel) -> set[str]:
    """Return the names of the weights that make logits of hidden states."""
    output_embeddings = network.get_output_embeddings()
    return {
        n
        for n, m in network.named_modules()
        if m is output_embeddings
        for n in (f"{n}.weight", f"{n}.bias")
    }


def _merge_adapter(loaded: LoadedModel, adapter: Path) -> None:
    """Add an adapter's Δ to the base in memory, after checking that it is the adapter's base."""
    contract_file = adapter / "contract.json"
    if contract_file.is_file():
        expected = read_contract(contract_file).base_sha256
        if expected != loaded.base_sha256:
            raise InputError(
                f"{adapter}: was trained on weights {expected[:12]}, but {loaded.base} holds "
                f"{loaded.base_sha256[:12]}; put the right base there"
            )
    weights = adapter_tensors(adapter)
    loaded.head = weights.pop(ADAPTER_HEAD_NAME, loaded.head)
    loaded.roles.load_adapter("loaded", adapter, weights)
    if loaded.roles.configs["loaded"].use_dora:
        loaded.has_exact_factors = False
    else:
        factors = {
            n: (a.clone(), b.clone()) for n, (a, b) in loaded.roles.factors("loaded").items()
        }
        parts = [loaded.factors, factors] if loaded.factors else [factors]
        loaded.factors = sum_factors(*parts)
    loaded.roles.merge("loaded")


def adapter_tensors(adapter: Path) -> dict[str, Tensor]:
    """Return the tensors of a PEFT adapter's file."""
    file = adapter / "adapter_model.safetensors"
    if not file.is_file():
        raise InputError(f"{adapter}: has no adapter_model.safetensors; export the adapter again")
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: is damaged ({error}); copy it again") from error
    return tensors


def _has_tokenizer(folder: Path) -> bool:
    names = ("tokenizer.json", "vocab.json", "tokenizer.model")
    return any((folder / name).is_file() for name in names)


def weights_sha256(base: Path) -> str:
    """Return one hash for a directory's weights: of the names and hashes of its safetensors."""
    files = sorted(base.glob("*.safetensors")) or [base / "config.json"]
    names = {file.name: durable.sha256_file(file) for file in files}
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()
