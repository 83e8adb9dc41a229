"""A GGUF file to a transformers folder: dequantized safetensors, configuration and tokenizer.

Few tensors are in memory at a time. Every tensor of the file must be used, and every parameter of
the model found, with its shape: nothing is skipped or invented.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PretrainedConfig

from upbring import durable
from upbring.errors import InputError, format_value
from upbring.model.gguf.architectures import architecture_of_file, config_of_file
from upbring.model.gguf.header import GgufFile, read_header, require_gguf
from upbring.model.gguf.read_tokenizer import read_tokenizer
from upbring.model.gguf.rotary import ROPE_TENSOR
from upbring.model.gguf.tensors import TensorRules, gguf_names
from upbring.plurals import format_count
from upbring.tracking import Track, no_tracking

SHARD_BYTES = 2 * 2**30
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Converted:
    """What was converted: for the message, and for the card of the folder."""

    architecture: str
    num_weights: int
    types: str  # such as `210 Q4_1, 61 F32, 1 Q8_0`
    has_template: bool


def convert(
    path: Path,
    target: Path,
    *,
    dtype: torch.dtype = torch.float32,
    check: Callable[[Path, Converted], None] = lambda _folder, _converted: None,
    track: Track = no_tracking,
) -> None:
    """Write the model of a GGUF file to the folder `target`, which must not exist.

    `check` sees the folder before it gets its name; if it raises, nothing is written.
    """
    file = read_header(path)
    _require_whole(file)
    config, tokenizer = config_of_file(file), read_tokenizer(file)
    if tokenizer.num_tokens > config.vocab_size:
        tokens = format_count(tokenizer.num_tokens, "token")
        raise InputError(
            f"{path}: its tokenizer has {tokens}, more than the model's "
            f"{config.vocab_size:,}; download it again, or use the model's safetensors files"
        )
    shapes = _parameter_shapes(file, config)
    names = gguf_names(architecture_of_file(file), config, shapes)
    _require_same_tensors(file, {names[name]: shape for name, shape in shapes.items()})
    config.architectures = [f"{AutoModelForCausalLM._model_mapping[type(config)].__name__}"]  # noqa: SLF001
    config.dtype = dtype
    num_weights = sum(torch.Size(shape).numel() for shape in shapes.values())
    converted = Converted(
        file.architecture, num_weights, describe_types(file), tokenizer.chat_template is not None
    )
    with durable.atomic_folder(target, need=num_weights * dtype.itemsize) as folder:
        config.save_pretrained(folder)
        tokenizer.write(folder)
        GenerationConfig(
            bos_token_id=config.bos_token_id,
            eos_token_id=tokenizer.stop_token_ids or None,
            pad_token_id=config.pad_token_id,
        ).save_pretrained(folder)
        tensors = _tensors(file, config, names, dtype)
        label = f"converting {path.name}"
        _write_shards(
            folder, track(tensors, total=len(names), label=label), num_weights * dtype.itemsize
        )
        (folder / "README.md").write_text(_card(file, converted), encoding="utf-8")
        check(folder, converted)


def describe_types(file: GgufFile) -> str:
    """Return how many tensors are stored in which type."""
    gguf = require_gguf()
    kinds = [gguf.GGMLQuantizationType(each.type_id).name for each in file.tensors.values()]
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())


def _require_whole(file: GgufFile) -> None:
    """Raise if the file is one part of several."""
    count = file.metadata.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        raise InputError(
            f"{file.path}: is one of {format_count(count, 'file')} of a model; join them first "
            "with llama.cpp's `llama-gguf-split --merge`"
        )


def _parameter_shapes(file: GgufFile, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    """Return the parameters of the model and their shapes; a tied head has none of its own."""
    if config.num_hidden_layers > len(file.tensors):
        layers = format_count(config.num_hidden_layers, "layer")
        raise InputError(
            f"{file.path}: says it has {layers}, and has "
            f"{format_count(len(file.tensors), 'tensor')}; download or copy it again"
        )
    try:
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # each architecture raises its own types
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{file.path}: its metadata describes no model ({str(error).splitlines()[0][:200]}); "
            "download or copy it again"
        ) from error
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    return {
        name: tuple(value.shape) for name, value in network.state_dict().items() if name not in tied
    }


def _require_same_tensors(file: GgufFile, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise unless the file has exactly the tensors of the model, and the known extra ones."""
    for name, shape in shapes.items():
        entry = file.tensors.get(name)
        if entry is None or entry.shape != shape:
            found = "is missing" if entry is None else f"has the shape {entry.shape}, not {shape}"
            raise InputError(
                f"{file.path}: {format_value(name)} {found}; download it again, or use the model's "
                "safetensors files"
            )
    if unknown := sorted(file.tensors.keys() - shapes.keys() - {ROPE_TENSOR}):
        raise InputError(
            f"{file.path}: has {format_count(len(unknown), 'tensor')} that {file.architecture} has "
            f"not in transformers ({format_value(unknown[0])}); use the model's safetensors files"
        )


def _tensors(
    file: GgufFile, config: PretrainedConfig, names: dict[str, str], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter's name and values."""
    rules = TensorRules(architecture_of_file(file), config)
    for name, gguf_name in names.items():
        values = torch.from_numpy(rules.from_gguf(name, file.values(gguf_name)).copy()).to(dtype)
        if not bool(torch.isfinite(values).all()):
            raise InputError(
                f"{file.path}: {format_value(gguf_name)} has values that are not finite in "
                f"{str(dtype).removeprefix('torch.')}; use --dtype float32, or download it again"
            )
        yield name, values


def _write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]], num_bytes: int) -> None:
    """Write tensors to one file, or to several with an index."""
    shard: dict[str, Tensor] = {}
    files: list[list[str]] = []
    size = 0
    for name, values in tensors:
        shard[name], size = values, size + values.nbytes
        if size > SHARD_BYTES:
            files.append(_write_shard(folder, shard, len(files)))
            shard, size = {}, 0
    if shard:
        files.append(_write_shard(folder, shard, len(files)))
    if len(files) == 1:
        _shard_path(folder, 0).rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(files):
        final = f"model-{number + 1:05}-of-{len(files):05}.safetensors"
        _shard_path(folder, number).rename(folder / final)
        weight_map |= dict.fromkeys(names, final)
    index = {"metadata": {"total_size": num_bytes}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number}.safetensors"


def _write_shard(folder: Path, shard: dict[str, Tensor], number: int) -> list[str]:
    save_file(shard, _shard_path(folder, number), metadata={"format": "pt"})
    return [*shard]


def _card(file: GgufFile, converted: Converted) -> str:
    """Return a model card that says where the weights come from."""
    metadata = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    for key in ("license", "license.name", "license.link"):
        if isinstance(text := file.metadata.get(f"general.{key}"), str):
            metadata[key.replace(".", "_")] = text
    name = str(file.metadata.get("general.name", "")).strip() or file.path.stem
    source = (
        f"Converted by upbring from `{file.path.name}` (SHA-256 {durable.sha256_file(file.path)}): "
        f"{format_count(converted.num_weights, 'weight')}, stored there as {converted.types}. "
        "Weights that were quantized there are as inexact here."
    )
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n# {name.splitlines()[0]}\n\n{source}\n"
