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
from upbring.model.network import Model, silence_dropout
from upbring.model.probe import probed
from upbring.model.roles import Roles, stacked
from upbring.runs.contract import Contract, read_contract
from upbring.runs.find_model import locate, read_object

_UNLOADABLE = (
    ImportError,  # a quantised model without its library
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,  # a field of config.json of the wrong type
)

HEAD = "base_model.model.score.weight"  # what a PEFT file calls a classifier's head
CLASSIFIER = "ForSequenceClassification"  # how the architecture of a whole reward model ends
CLASSIFIER_HEAD = "score.weight"

Factors = dict[str, tuple[Tensor, Tensor]]


@dataclass(eq=False)
class Loaded:
    """A model with its roles and what is known of where it comes from."""

    model: Model
    roles: Roles
    tokenizer: Tokenizer | None
    contract: Contract | None
    folder: Path
    base: Path  # the directory of whole weights at the bottom
    base_sha256: str
    factors: Factors = field(default_factory=dict)  # Σ Δ of what was folded into that base
    is_exact: bool = True  # whether base + factors is the model (a DoRA adapter has no factors)
    head: Tensor | None = None  # [1, D] of a reward model


def load(
    name: str,
    *,
    device: torch.device,
    compute: torch.dtype,
    notice: Callable[[str], None],
    is_whole: bool = False,
    seed: int | None = None,
    tokenizer: Tokenizer | None = None,
    lanes: int = 1,
) -> Loaded:
    """Return the model that `name` means; with a `seed`, a configuration alone is a new model.

    Weights are kept in the number format of the products, or in float32 if the whole model learns.
    A `tokenizer` that is given is not read again. `lanes` are for who learns from several rows at
    the same time.
    """
    folder = locate(name, notice=notice)
    base, adapters = chain(folder)
    network = _network(base, dtype=torch.float32 if is_whole else compute, seed=seed)
    silence_dropout(network)
    network.to(device)
    network.eval()
    model = probed(Model(network, compute, lanes=lanes_of(network, lanes)), notice=notice)
    if tokenizer is None and (_has_tokenizer(folder) or _has_tokenizer(base)):
        tokenizer = load_tokenizer(folder if _has_tokenizer(folder) else base)
    contract_file = folder / "contract.json"
    loaded = Loaded(
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
        _fold(loaded, adapter)
    return loaded


def lanes_of(network: PreTrainedModel, wish: int) -> int:
    """Return how many rows of a model can be computed at the same time, of as many as are wished.

    Scaled rotary positions of some kinds are written again by each pass, for its own length.
    """
    rope = getattr(network.config.get_text_config(), "rope_parameters", None) or {}
    every = [rope, *(each for each in rope.values() if isinstance(each, Mapping))]
    return 1 if any(each.get("rope_type") in {"dynamic", "longrope"} for each in every) else wish


def chain(folder: Path) -> tuple[Path, list[Path]]:
    """Return the base at the bottom and the adapters on it, topmost first."""
    adapters: list[Path] = []
    while (folder / "adapter_config.json").is_file():
        adapters.append(folder)
        config = read_object(folder / "adapter_config.json")
        base = str(config.get("base_model_name_or_path") or "")
        if not base:
            raise InputError(f"{folder / 'adapter_config.json'}: names no base model; add its path")
        below = locate(base)
        if below in adapters:
            raise InputError(f"{folder}: is its own base; mend base_model_name_or_path")
        folder = below
    return folder, adapters


def _network(base: Path, *, dtype: torch.dtype, seed: int | None) -> PreTrainedModel:
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
            network, told = AutoModelForCausalLM.from_pretrained(
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
            told = {}
    except _UNLOADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{base}: cannot be loaded ({reason}); fetch or export it again"
        ) from error
    missing = sorted(told.get("missing_keys", ()))
    if is_classifier(base):  # it reads nothing out, so that what is new here is never asked
        missing = [name for name in missing if name not in _readout(network)]
    if missing:
        raise InputError(
            f"{base}: lacks {len(missing)} of the model's weights ({', '.join(missing[:3])}); "
            "fetch or export it again"
        )
    assert isinstance(network, PreTrainedModel), f"{type(network)} is no transformers model"
    return network


def is_classifier(base: Path) -> bool:
    """Whether a directory of whole weights is a classifier's, as reward models are saved."""
    names = read_object(base / "config.json").get("architectures") or ()
    return isinstance(names, list) and any(str(name).endswith(CLASSIFIER) for name in names)


def classifier_head(base: Path) -> Tensor | None:
    """Return the head `[1, D]` of a whole reward model, if a directory holds one."""
    if not is_classifier(base):
        return None
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if CLASSIFIER_HEAD in tensors.keys():  # noqa: SIM118 -- no mapping
                head: Tensor = tensors.get_tensor(CLASSIFIER_HEAD).float()
                if head.shape[0] == 1:
                    return head
                raise InputError(
                    f"{base}: is a classifier of {head.shape[0]} classes; a reward model has one"
                )
    raise InputError(f"{base}: is a classifier without {CLASSIFIER_HEAD}; export it again")


def _readout(network: PreTrainedModel) -> set[str]:
    """Return the names of the weights that make logits of hidden states."""
    readout = network.get_output_embeddings()
    return {
        n for n, m in network.named_modules() if m is readout for n in (f"{n}.weight", f"{n}.bias")
    }


def _fold(loaded: Loaded, adapter: Path) -> None:
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
    loaded.head = weights.pop(HEAD, loaded.head)
    loaded.roles.load_adapter("loaded", adapter, weights)
    if loaded.roles.configs["loaded"].use_dora:
        loaded.is_exact = False
    else:
        factors = {
            n: (a.clone(), b.clone()) for n, (a, b) in loaded.roles.factors("loaded").items()
        }
        parts = [loaded.factors, factors] if loaded.factors else [factors]
        loaded.factors = stacked(*parts)
    loaded.roles.fold("loaded")


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
