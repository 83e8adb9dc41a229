"""Resolve a model name to a directory: one that is there, converted from GGUF, or downloaded.

A GGUF file is converted into the cache the first time, and found there afterwards.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from upbring import durable
from upbring.data.trees.store import cache_folder
from upbring.errors import InputError, format_command
from upbring.runs.find_model import GGUF_CACHE, find_local_model, open_model_folder

VERSION = 1  # of the conversion; another one converts again
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
    """Return the model directory of `name`, verified and free of code."""
    found = find_local_model(name) or _download_from_hub(name, log=log)
    return open_model_folder(convert_once(found, log=log) if found.is_file() else found, log=log)


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


def convert_once(path: Path, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder to which a GGUF file is converted; it depends on the file's content."""
    status = path.stat()
    key = _content_key(path.resolve(), status.st_size, status.st_mtime_ns)
    parent = cache_folder(log=log) / GGUF_CACHE
    folder = parent / f"{path.stem}-{key}"
    if folder.is_dir():
        return folder
    from upbring.model.gguf.convert import convert  # noqa: PLC0415 -- imports torch

    with durable.explain_os_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
    with durable.wait_for_lock(parent / ".lock"):  # of several processes, one converts
        if not folder.is_dir():
            command = format_command("import", path, "--to", "DIR")
            log(f"{path}: is converted to {folder} (to keep it somewhere else: {command})")
            durable.remove_leftovers(parent, is_locked=True)
            convert(path, folder)
    return folder


@cache
def _content_key(path: Path, size: int, modified: int) -> str:
    """Return a short hash of a file's content; hashed again only if the file has changed."""
    del size, modified
    return f"{durable.sha256_file(path)[:16]}-{VERSION}"
