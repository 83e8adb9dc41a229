"""Load a model and its tokenizer from a directory, run, hub id or builtin: name, and probe it.

An adapter is loaded onto its base, whose hash must be the one it was trained on, and merged into
it: a loaded model is always one base, ready for new roles. Reads safetensors only and runs no code
from the model.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from upbring import durable
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load_quantized import load_quantized
from upbring.model.network import Model, max_positions
from upbring.model.probe import probe_architecture
from upbring.model.quantized import Quantization
from upbring.model.read_config import first_line, read_config
from upbring.model.roles import Roles, sum_factors
from upbring.plurals import format_count
from upbring.runs.contract import Contract, read_contract
from upbring.runs.json_object import read_json_object
from upbring.tracking import Track, no_tracking, track_call

TRANSFORMERS_LABEL = "Loading weights"  # of the bar that transformers shows
ADAPTER_HEAD_NAME = "base_model.model.score.weight"  # a classifier head in PEFT files
CLASSIFIER_SUFFIX = "ForSequenceClassification"  # of a full reward model's architecture
CLASSIFIER_HEAD_NAME = "score.weight"

HASHED_CONFIGS = ("config.json", "adapter_config.json", "model.safetensors.index.json")
UNHASHED_KEYS = frozenset(
    {"_name_or_path", "transformers_version", "base_model_name_or_path", "peft_version"}
)

QuantizationSetting = Literal["auto", "none", "nf4", "int8"]
LayerFactors = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """What a model's folder contains besides its weights; each file is read when it is needed."""

    folder: Path
    base: Path  # the directory of full weights below all adapters
    adapters: list[Path]  # topmost first

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in the folder, else that of the base, or None."""
        folder = next((each for each in (self.folder, self.base) if _has_tokenizer(each)), None)
        return None if folder is None else load_tokenizer(folder)

    @cached_property
    def config(self) -> PretrainedConfig:
        """The configuration of the base."""
        return read_config(self.base)

    @property
    def trained_quantization(self) -> Quantization | None:
        """How the base was quantized when the adapter in the folder was trained."""
        file = self.folder / "contract.json"
        return read_contract(file).quantization if self.adapters and file.is_file() else None

    def resolve_quantization(self, requested: QuantizationSetting) -> Quantization | None:
        """Return the quantization that a setting means for this model."""
        if requested == "auto":
            return self.trained_quantization
        return None if requested == "none" else requested

    @property
    def vocab_size(self) -> int:
        """V, the number of logits."""
        return int(self.config.get_text_config().vocab_size)

    @property
    def max_positions(self) -> int | None:
        """The architecture's maximum number of positions, or None without a limit."""
        return max_positions(self.config)


@dataclass(eq=False)
class LoadedModel:
    """A model with its roles, its tokenizer and where it was loaded from."""

    model: Model
    roles: Roles
    tokenizer: Tokenizer | None
    contract: Contract | None
    folder: Path
    base: Path  # the directory of full weights below all adapters
    base_sha256: str
    factors: LayerFactors = field(default_factory=dict)  # Σ Δ of the adapters merged into that base
    has_exact_factors: bool = True  # False after merging a DoRA adapter, which has no factors
    head: Tensor | None = None  # [1, D], of a reward model
    quantization: Quantization | None = None  # of the base in memory


def locate_model_files(name: str, *, log: Callable[[str], None] = lambda _: None) -> ModelFiles:
    """Return the files of the model called `name`."""
    folder = locate_model(name, log=log)
    base, adapters = adapter_chain(folder)
    return ModelFiles(folder, base, adapters)


def load(
    model: str | ModelFiles,
    *,
    device: torch.device,
    compute_dtype: torch.dtype,
    log: Callable[[str], None],
    is_full_finetuning: bool = False,
    seed: int | None = None,
    tokenizer: Tokenizer | None = None,
    quantization: QuantizationSetting = "auto",
    track: Track = no_tracking,
) -> LoadedModel:
    """Return the model of this name or of these files; `track` shows how much is loaded.

    A directory with a config.json alone needs a `seed` and gives a model with random weights.
    Weights have the compute dtype, or float32 for full fine-tuning. A given `tokenizer` replaces
    the model's own. The base of an adapter is quantized as the adapter was trained, unless
    `quantization` says otherwise.
    """
    files = locate_model_files(model, log=log) if isinstance(model, str) else model

    bits = files.resolve_quantization(quantization)

    def assemble() -> LoadedModel:
        dtype = torch.float32 if is_full_finetuning else compute_dtype
        with ThreadPoolExecutor(max_workers=1) as pool:  # hashing a file leaves Python's lock free
            base_sha256 = pool.submit(weights_sha256, files.base)
            with _show_loaded_weights(track):
                network = _load_network(
                    files.base, dtype=dtype, seed=seed, quantization=bits, device=device
                )
            network.to(device)
            model = probe_architecture(Model(network.eval(), compute_dtype), log=log)
        loaded = _assemble(files, model, base_sha256.result(), tokenizer=tokenizer)
        loaded.quantization = bits
        return loaded

    return track_call(track, f"loading {files.folder}", assemble)


def _assemble(
    files: ModelFiles, model: Model, base_sha256: str, *, tokenizer: Tokenizer | None
) -> LoadedModel:
    """Return a loaded model, with the adapters of its files merged into it."""
    contract_file = files.folder / "contract.json"
    loaded = LoadedModel(
        model=model,
        roles=Roles(model.network),
        tokenizer=files.tokenizer if tokenizer is None else tokenizer,
        contract=read_contract(contract_file) if contract_file.is_file() else None,
        folder=files.folder,
        base=files.base,
        base_sha256=base_sha256,
        head=classifier_head(files.base),
    )
    for adapter in reversed(files.adapters):
        _merge_adapter(loaded, adapter)
    return loaded


def adapter_chain(folder: Path) -> tuple[Path, list[Path]]:
    """Return the directory of the base and the adapters on it, topmost first."""
    adapters: list[Path] = []
    while (folder / "adapter_config.json").is_file():
        adapters.append(folder)
        config = read_json_object(folder / "adapter_config.json")
        base = str(config.get("base_model_name_or_path") or "")
        if not base:
            raise InputError(
                f"{folder / 'adapter_config.json'}: has no base_model_name_or_path; add it"
            )
        parent = locate_model(base)
        if parent in adapters:
            raise InputError(f"{folder}: is its own base; correct base_model_name_or_path")
        folder = parent
    return folder, adapters


@contextmanager
def _show_loaded_weights(track: Track) -> Iterator[None]:
    """Show how many weights transformers has loaded, instead of its own bar."""
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)  # not in every version
    if set_hook is None:
        yield
        return

    def replace_bar(
        factory: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        if kwargs.get("desc") != TRANSFORMERS_LABEL or len(args) != 1:
            return factory(*args, **kwargs)
        (weights,) = args
        return track(weights, total=len(weights), label="loading weights")

    previous = set_hook(replace_bar)
    try:
        yield
    finally:
        set_hook(previous)


def _load_network(
    base: Path,
    *,
    dtype: torch.dtype,
    seed: int | None,
    quantization: Quantization | None,
    device: torch.device,
) -> PreTrainedModel:
    """Return a directory's network, from its safetensors or with random weights."""
    config = read_config(base)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    has_weights = any(base.glob("*.safetensors"))
    if not has_weights and seed is None:
        raise InputError(
            f"{base}: has no safetensors weights; pre-train it first with `upbring pretrain`"
        )
    try:
        if has_weights and quantization is not None:
            network, loading_info = load_quantized(
                base, config, quantization=quantization, dtype=dtype, device=device
            )
        elif has_weights:
            network, loading_info = AutoModelForCausalLM.from_pretrained(
                base,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(counter_rng.key(seed or 0, "weights"))
                network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            loading_info = {}
    except (MemoryError, InputError):
        raise
    except Exception as error:  # each architecture raises its own types
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{base}: cannot be loaded ({first_line(error)}); download or export it again"
        ) from error
    missing = sorted(loading_info.get("missing_keys", ()))
    if is_classifier(base):  # has no language-model head, and none is used
        missing = [name for name in missing if name not in _output_embedding_names(network)]
    if missing:
        raise InputError(
            f"{base}: {format_count(len(missing), 'weight', verb='is')} missing "
            f"({', '.join(missing[:3])}); "
            "download or export it again"
        )
    assert isinstance(network, PreTrainedModel), f"{type(network)} is not a transformers model"
    return network


def is_classifier(base: Path) -> bool:
    """Whether a directory of full weights is a classifier, the format of reward models."""
    names = read_json_object(base / "config.json").get("architectures") or ()
    return isinstance(names, list) and any(str(name).endswith(CLASSIFIER_SUFFIX) for name in names)


def classifier_head(base: Path) -> Tensor | None:
    """Return the head `[1, D]` of a full reward model, or None for other models."""
    if not is_classifier(base):
        return None
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if CLASSIFIER_HEAD_NAME in tensors.keys():  # noqa: SIM118 -- not a mapping
                head: Tensor = tensors.get_tensor(CLASSIFIER_HEAD_NAME).float()
                if head.shape[0] == 1:
                    return head
                raise InputError(
                    f"{base}: is a classifier with {format_count(head.shape[0], 'class')}; a "
                    "reward model needs "
                    "one, train it with num_labels=1"
                )
    raise InputError(f"{base}: is a classifier without {CLASSIFIER_HEAD_NAME}; export it again")


def _output_embedding_names(network: PreTrainedModel) -> set[str]:
    """Return the parameter names of the language-model head."""
    output_embeddings = network.get_output_embeddings()
    return {
        n
        for n, m in network.named_modules()
        if m is output_embeddings
        for n in (f"{n}.weight", f"{n}.bias")
    }


def _merge_adapter(loaded: LoadedModel, adapter: Path) -> None:
    """Merge an adapter into the base in memory, if it was trained on that base."""
    contract_file = adapter / "contract.json"
    if contract_file.is_file():
        expected = read_contract(contract_file).base_sha256
        if expected != loaded.base_sha256:
            raise InputError(
                f"{adapter}: was trained on weights {expected[:12]}, but {loaded.base} has "
                f"{loaded.base_sha256[:12]}; restore the original base there"
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
    """Return the tensors of a PEFT adapter file."""
    file = adapter / "adapter_model.safetensors"
    if not file.is_file():
        raise InputError(f"{adapter}: has no adapter_model.safetensors; export the adapter again")
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        if durable.is_resource_error(error):
            raise
        raise InputError(f"{file}: is damaged ({error}); copy it again") from error
    return tensors


def _has_tokenizer(folder: Path) -> bool:
    names = ("tokenizer.json", "vocab.json", "tokenizer.model")
    return any((folder / name).is_file() for name in names)


def weights_sha256(folder: Path) -> str:
    """Return one hash of what determines a model's numbers: its weights and configuration.

    An adapter's base is not included. Of the configuration, names and versions do not count.
    """
    entries: dict[str, object] = {
        file.name: durable.sha256_file(file) for file in sorted(folder.glob("*.safetensors"))
    }
    for name in HASHED_CONFIGS:
        config = read_json_object(folder / name)
        entries[name] = {key: config[key] for key in config.keys() - UNHASHED_KEYS}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
