"""Resolve a model name (path, run folder, builtin or Hugging Face Hub id) to a directory.

Rejects model folders that could run code before any library reads them. Loads no weights.
"""

import json
import os
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from upbring.errors import InputError, nearest

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
RUNS_FOLDER = "runs"  # the default folder of runs, which is no name on the Hub
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "merges.txt",
    "vocab.txt",
    "*.model",
    "README.md",
)


def locate_model(name: str, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """Return the model directory of `name`, after checking that it contains no code."""
    folder = find_local_model(name) or _download_from_hub(name, log=log)
    reject_code(folder)
    return folder


def find_local_model(name: str) -> Path | None:
    """Return the directory of a model on this machine, or None if `name` is a Hub id."""
    folder = Path(name)
    if name.startswith("builtin:"):
        return _builtin_folder(name.removeprefix("builtin:"))
    if folder.is_dir():
        return _run_model_folder(folder)
    if folder.is_file():
        raise InputError(f"{name}: is a file; give the directory that contains the model")
    if is_hub_id(name):
        return None
    raise InputError(_missing_folder_text(folder))


def is_hub_id(name: str) -> bool:
    """Whether `name` can only be the Hub id of a model: not in `runs`, nor in a folder here.

    >>> is_hub_id("Qwen/Qwen2.5-0.5B"), is_hub_id("runs/sft-1"), is_hub_id("./base")
    (True, False, False)
    """
    folder = Path(name).parent
    return bool(_HUB_ID.fullmatch(name)) and folder.name != RUNS_FOLDER and not folder.is_dir()


def _builtin_folder(name: str) -> Path:
    builtin_folder = Path(str(files("upbring") / "builtin"))
    builtin_names = sorted(
        p.name for p in builtin_folder.iterdir() if (p / "config.json").is_file()
    )
    if name not in builtin_names:
        raise InputError(
            f"builtin:{name}: no such builtin model; use "
            + " or ".join(f"builtin:{each}" for each in builtin_names)
        )
    return builtin_folder / name


def _run_model_folder(folder: Path) -> Path:
    """Return the model folder of a run folder; return any other directory unchanged."""
    if not (folder / "run.json").is_file():
        return folder
    if not (folder / "model").is_dir():
        raise InputError(
            f"{folder}: this run has no model yet; finish it with `upbring resume {folder}`"
        )
    return folder / "model"


def _missing_folder_text(folder: Path) -> str:
    try:
        others = [p.name for p in folder.parent.iterdir() if p.is_dir()]
    except OSError:
        others = []
    suggestion = nearest(folder.name, others)
    suggestion_text = f"did you mean {folder.parent / suggestion}?" if suggestion else ""
    is_run = folder.parent.name == RUNS_FOLDER
    hint = suggestion_text or (
        "list the runs with `upbring runs`"
        if is_run
        else "give a directory, a run folder, or a Hugging Face Hub id (owner/name)"
    )
    return f"{folder}: no such directory; {hint}"


def _download_from_hub(name: str, *, log: Callable[[str], None]) -> Path:
    """Download a model by its Hub id and return its directory."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 -- only for a Hub id
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415 -- as above

    if os.environ.get("HF_HUB_OFFLINE") != "1":
        log(f"{name}: no such local directory, downloading from the Hugging Face Hub")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError, HFValidationError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name}: no such local directory, and the Hugging Face Hub download failed "
            f"({reason}); check the spelling, or copy the model to this machine and give its "
            "directory"
        ) from error


def reject_code(folder: Path) -> None:
    """Raise an InputError if the model needs custom code or is stored as a pickle."""
    for file in ("config.json", "tokenizer_config.json"):
        if "auto_map" in read_json_object(folder / file):
            raise InputError(
                f"{folder / file}: auto_map requests custom code from the model folder, which "
                "upbring never runs; use a model with an architecture built into transformers"
            )
    names = sorted(p.name for p in folder.iterdir())
    python_files = [n for n in names if n.endswith(".py")]
    if python_files:
        raise InputError(
            f"{folder / python_files[0]}: the model folder contains code; delete the file if you "
            "trust the rest of the folder"
        )
    pickles = [n for n in names if n.endswith(PICKLE_SUFFIXES)]
    if pickles and not any(n.endswith(".safetensors") for n in names):
        raise InputError(
            f"{folder / pickles[0]}: the weights are in a format that can run code, and upbring "
            "reads only safetensors; convert them with transformers, in a sandbox if you do not "
            "trust them"
        )


def read_json_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file, or an empty one if the file does not exist."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is not valid JSON ({error}); download the model again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object; download the model again")
    return value
