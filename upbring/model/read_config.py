"""Read a model's config.json, which anybody may have written.

Sizes are checked before a library allocates or loops by them, and a failure of a library is a
message that names the file.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from upbring import durable
from upbring.errors import InputError, format_value
from upbring.runs.json_object import read_json_object

# The largest value of whole numbers whose name matches; the largest known models reach a tenth.
LIMITS = (
    (re.compile(r"layers|^n_layer|blocks|stages|cycles|steps"), 4096),
    (re.compile(r"position|context|window|seq|length"), 2**31),
    (re.compile(r"vocab"), 2**24),
    (re.compile(r"size|dim|hidden|width|embd|inner|head|rank|expert|group|state|kernel"), 2**20),
)
REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers")  # of the text model
POSITIVE = re.compile(
    r"vocab_size|hidden_size|num_hidden_layers|num_attention_heads|num_key_value_heads|head_dim"
    r"|n_layer|n_head|n_embd|max_position_embeddings"
)


def read_config(base: Path) -> PretrainedConfig:
    """Return the configuration of a directory of full weights."""
    file = base / "config.json"
    if not file.is_file():
        raise InputError(f"{base}: has no config.json; pass the directory that contains the model")
    raw = read_json_object(file)
    if quantization := raw.get("quantization_config"):
        method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
        raise InputError(
            f"{base}: has quantized weights ({format_value(method)}), which are not supported as a "
            "base; load it with transformers, `dequantize()` and save it, or use the unquantized "
            "model (docs/how-to/4-bit.md)"
        )
    for name, value in _numbers(raw):
        if problem := _problem(name.rpartition(".")[2], value):
            raise InputError(f"{file}: {name} is {format_value(value)}, {problem}; correct it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = AutoConfig.from_pretrained(base, local_files_only=True)
            text_config = config.get_text_config()
    except Exception as error:  # each configuration class raises its own types
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{file}: cannot be read ({first_line(error)}); correct it, or download it again"
        ) from error
    for name in REQUIRED:
        if not isinstance(getattr(text_config, name, None), int):
            raise InputError(
                f"{file}: {name} of the text model is "
                f"{format_value(getattr(text_config, name, None))}, not a whole number; correct "
                "it, or use a model that generates text"
            )
    assert isinstance(config, PretrainedConfig), f"{type(config)} is not a configuration"
    return config


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type; a heading with what is below."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _numbers(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the sizes of a configuration and of those inside it, by name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def _problem(name: str, value: object) -> str | None:
    """Return what is wrong with a number in config.json, or None."""
    assert isinstance(value, int | float), "only numbers are checked"
    if POSITIVE.fullmatch(name) and value < 1:
        return "and must be at least 1"
    limit = next((limit for pattern, limit in LIMITS if pattern.search(name)), None)
    if limit is None or name.endswith(("_id", "_ids")) or value <= limit:
        return None
    return f"more than {limit:,}"
