"""Read a LoRA adapter's adapter_config.json, which anybody may have written.

Ranks are checked before PEFT allocates by them, and patterns before it matches names with them.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from peft import LoraConfig

from upbring.errors import InputError, format_value
from upbring.model.read_config import first_line
from upbring.runs.json_object import read_json_object

MAX_RANK = 16_384
MAX_PATTERN_LENGTH = 1_000
# A repetition of a repetition, such as (a+)+, may take time exponential in the length of a name.
NESTED_REPETITION = re.compile(r"[+*}]\)+[+*{]")
PATTERNS = ("target_modules", "exclude_modules", "layers_pattern")


def read_adapter_config(folder: Path) -> LoraConfig:
    """Return the configuration of a LoRA adapter."""
    file = folder / "adapter_config.json"
    raw = read_json_object(file)
    if str(raw.get("peft_type", "LORA")).upper() != "LORA":
        raise InputError(
            f"{file}: is an adapter of type {format_value(raw['peft_type'])}, and only LoRA is "
            "supported; merge it with PEFT and load the merged model"
        )
    if raw.get("lora_bias"):
        raise InputError(
            f"{folder}: has lora_bias, which is not supported; merge the adapter with PEFT"
        )
    if problem := next(_problems(raw), None):
        raise InputError(f"{file}: {problem}; correct it, or export the adapter again")
    try:
        config = LoraConfig.from_pretrained(str(folder))
    except Exception as error:  # PEFT raises many types for values it does not expect
        raise InputError(
            f"{file}: cannot be read ({first_line(error)}); export the adapter again"
        ) from error
    return config


def _problems(raw: Mapping[str, object]) -> Iterator[str]:
    """Yield what is wrong with an adapter's configuration."""
    for name, value in _named_numbers(raw, "r", "rank_pattern"):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_RANK:
            yield f"{name} is {format_value(value)}, and a rank is 1 to {MAX_RANK:,}"
    for name, value in _named_numbers(raw, "lora_alpha", "alpha_pattern"):
        if not isinstance(value, int | float) or not math.isfinite(value):
            yield f"{name} is {format_value(value)}, not a number"
    for name in PATTERNS:
        value = raw.get(name)
        yield from _pattern_problems(name, value if isinstance(value, list) else [value])
    for name in ("rank_pattern", "alpha_pattern"):
        value = raw.get(name)
        if value is not None and not isinstance(value, Mapping):
            yield f"{name} is {format_value(value)}, not an object"
        yield from _pattern_problems(name, value if isinstance(value, Mapping) else ())


def _pattern_problems(name: str, patterns: Iterable[object]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, str) and is_dangerous(pattern):
            yield f"{name} contains the pattern {format_value(pattern)}, which may take too long"
        elif pattern is not None and not isinstance(pattern, str):
            yield f"{name} contains {format_value(pattern)}, not the name of a module"


def is_dangerous(pattern: str) -> bool:
    r"""Whether a regular expression may take very long on a short name.

    >>> [is_dangerous(each) for each in (r".*layers\.(0|1)\..*(q|v)_proj", "(a+)+$", "((x*))*")]
    [False, True, True]
    """
    return len(pattern) > MAX_PATTERN_LENGTH or bool(NESTED_REPETITION.search(pattern))


def _named_numbers(
    raw: Mapping[str, object], name: str, pattern: str
) -> Iterator[tuple[str, object]]:
    if name in raw:
        yield name, raw[name]
    by_pattern = raw.get(pattern)
    for key, value in by_pattern.items() if isinstance(by_pattern, Mapping) else ():
        yield f"{pattern}.{format_value(key)}", value
