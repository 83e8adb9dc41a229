"""Reject model folders that would make a library run code or read a pickle.

The checks come before any library opens a file of the folder. Only files that would be read are
checked: a `pytorch_model.bin` beside safetensors stays unread.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from upbring.errors import InputError, format_value
from upbring.runs.json_object import read_json_object

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
SAFETENSORS = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
READ_FILES = (  # of a model's folder, by libraries or by upbring
    *("*.safetensors", "*.index.json", "*.jinja", "*.model", "vocab.json", "vocab.txt"),
    *("merges.txt", "config.json", "generation_config.json", "adapter_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.json", "contract.json"),
)
CONFIG_FILES = ("config.json", "tokenizer_config.json", "adapter_config.json")


def reject_code(folder: Path) -> None:
    """Raise an InputError if the model needs custom code or is stored as a pickle."""
    for file in CONFIG_FILES:
        _check_config(folder / file)
    names = sorted(p.name for p in folder.iterdir())
    python_files = [n for n in names if n.endswith(".py")]
    if python_files:
        raise InputError(
            f"{folder / python_files[0]}: the model folder contains code; delete the file if you "
            "trust the rest of the folder"
        )
    pickles = [n for n in names if n.endswith(PICKLE_SUFFIXES)]
    if pickles and not any(n.endswith(SAFETENSORS) for n in names):
        raise InputError(
            f"{folder / pickles[0]}: the weights are in a format that can run code, and upbring "
            "reads only safetensors; convert them with transformers, in a sandbox if you do not "
            "trust them"
        )
    for name in names:
        if name.endswith(INDEX_SUFFIX):
            _check_index(folder / name)


def _check_config(path: Path) -> None:
    """Raise an InputError if a configuration asks for code or for files elsewhere."""
    config = read_json_object(path)
    for mapping in _mappings(config):
        if "auto_map" in mapping:
            raise InputError(
                f"{path}: auto_map requests custom code from the model folder, which upbring never "
                "runs; use a model with an architecture built into transformers"
            )
    if "transformers_weights" in config:
        raise InputError(
            f"{path}: transformers_weights names another file of weights; rename that file to "
            "model.safetensors, and delete the entry"
        )
    if config.get("megatron_config") is not None:
        raise InputError(
            f"{path}: megatron_config makes peft import a module that the file names; delete it"
        )
    for key, value in config.items():
        if key.endswith("_implementation") and "/" in str(value):
            raise InputError(
                f"{path}: {key} is {format_value(value)}, code from a hub, which upbring never "
                "runs; delete the entry"
            )
        if key.endswith("_file") and isinstance(value, str) and Path(value).name != value:
            raise InputError(
                f"{path}: {key} is {format_value(value)}, outside of the folder; delete the entry"
            )


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    """Yield a JSON object and all objects in it."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield each
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)


def _check_index(path: Path) -> None:
    """Raise an InputError unless an index names only safetensors files in its folder."""
    weight_map = read_json_object(path).get("weight_map")
    if not isinstance(weight_map, dict):
        raise InputError(f"{path}: has no weight_map; download the model again")
    for name in sorted(set(map(str, weight_map.values()))):
        if not name.endswith(SAFETENSORS) or Path(name).name != name or name.startswith("."):
            raise InputError(
                f"{path}: weight_map names {format_value(name)}, and upbring reads only "
                "safetensors files in the same folder; convert the model to safetensors"
            )
        if not (path.parent / name).is_file():
            raise InputError(
                f"{path}: weight_map names {name}, which is not in the folder; download it again"
            )
