"""From a name to a directory with a model in it: a path, a run, a builtin, a hub id.

Refuses what could run code before any library sees the folder. Loads nothing.
"""

import json
import os
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from upbring.errors import InputError, nearest

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
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


def locate(name: str, *, notice: Callable[[str], None] = lambda _: None) -> Path:
    """Return the directory that `name` means, checked to hold no code."""
    if name.startswith("builtin:"):
        return _builtin(name.removeprefix("builtin:"))
    folder = Path(name)
    if folder.is_dir():
        folder = _of_run(folder)
    elif folder.is_file():
        raise InputError(f"{name}: is a file; name the directory that holds the model")
    elif _HUB_ID.fullmatch(name) and not folder.parent.is_dir():
        folder = _from_hub(name, notice=notice)
    else:
        raise InputError(_missing(folder))
    refuse_code(folder)
    return folder


def _builtin(name: str) -> Path:
    home = Path(str(files("upbring") / "builtin"))
    known = sorted(p.name for p in home.iterdir() if (p / "config.json").is_file())
    if name not in known:
        raise InputError(
            f"builtin:{name}: there is no such builtin model; there is "
            + ", ".join(f"builtin:{each}" for each in known)
        )
    return home / name


def _of_run(folder: Path) -> Path:
    """Return a run's model; any other directory is the model's own."""
    if not (folder / "run.json").is_file():
        return folder
    if not (folder / "model").is_dir():
        raise InputError(
            f"{folder}: this run has no model yet; finish it with `upbring resume {folder}`"
        )
    return folder / "model"


def _missing(folder: Path) -> str:
    try:
        others = [p.name for p in folder.parent.iterdir() if p.is_dir()]
    except OSError:
        others = []
    likely = nearest(folder.name, others)
    told = f"did you mean {folder.parent / likely}?" if likely else ""
    hint = told or "give a directory, a run, or owner/name of a hub"
    return f"{folder}: there is no such directory; {hint}"


def _from_hub(name: str, *, notice: Callable[[str], None]) -> Path:
    """Fetch a model that the user named by its hub id."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 -- only when a hub is named
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415 -- as above

    if os.environ.get("HF_HUB_OFFLINE") != "1":
        notice(f"{name}: no such directory here, asking the hub")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError, HFValidationError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name}: there is no such directory here, and the hub did not give it ({reason}); "
            "check the spelling, or copy the model to this machine and give its directory"
        ) from error


def refuse_code(folder: Path) -> None:
    """Refuse a folder whose model asks for code of its own or comes as a pickle."""
    for file in ("config.json", "tokenizer_config.json"):
        if "auto_map" in read_object(folder / file):
            raise InputError(
                f"{folder / file}: auto_map asks to run code that came with the model; upbring "
                "runs none. Use a model of an architecture that transformers knows"
            )
    names = sorted(p.name for p in folder.iterdir())
    code = [n for n in names if n.endswith(".py")]
    if code:
        raise InputError(
            f"{folder / code[0]}: a model folder with code; remove it if you trust the rest"
        )
    pickles = [n for n in names if n.endswith(PICKLES)]
    if pickles and not any(n.endswith(".safetensors") for n in names):
        raise InputError(
            f"{folder / pickles[0]}: weights in a format that can run code; upbring reads "
            "safetensors only. Convert them once with transformers, on a machine of your trust"
        )


def read_object(path: Path) -> dict[str, object]:
    """Return a JSON object from a file, or an empty one if there is no file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error}); fetch the model again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; fetch the model again")
    return value
