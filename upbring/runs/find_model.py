"""Find the model of a name (path, run folder, GGUF file or builtin) on this machine, and open it.

Every model that is read is opened here: folders that could run code are rejected, and saved files
are verified, before any library reads them. Loads no weights. GGUF files and names on the Hugging
Face Hub become directories in `model/gguf/locate_model.py`.
"""

import re
import shlex
from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path

from upbring import durable
from upbring.errors import InputError, format_command, nearest
from upbring.runs.reject_code import READ_FILES, reject_code

HARDENING = "hardening.json"  # in the output folder of `upbring harden`
GGUF_SUFFIX, GGUF_MAGIC = ".gguf", b"GGUF"
GGUF_CACHE = "gguf"  # the folder of converted files in the cache
RUNS_FOLDER = "runs"  # the default folder of runs, which is no name on the Hub
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def open_model_folder(folder: Path, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """Return a model's folder; raise if it could run code or differs from its manifest.

    Models from elsewhere have no manifest; for a folder that upbring wrote, this is logged.
    """
    verified = durable.verify_if_sealed(folder)
    if verified is not None:
        _reject_added_files(folder, verified)
    elif (folder / "contract.json").is_file():
        log(f"{folder}: has no {durable.MANIFEST}, so damage to its files cannot be noticed")
    reject_code(folder)
    return folder


def find_local_model(name: str) -> Path | None:
    """Return the directory or the GGUF file of a model on this machine; None for a Hub id."""
    folder = Path(name)
    if name.startswith("builtin:"):
        return _builtin_folder(name.removeprefix("builtin:"))
    if folder.is_dir():
        return _run_model_folder(folder)
    if folder.is_file():
        if is_gguf(folder):
            return folder
        raise InputError(
            f"{name}: is a file; give the directory that contains the model, or a .gguf file"
        )
    if is_hub_id(name):
        return None
    raise InputError(_missing_folder_text(folder))


def is_gguf(path: Path) -> bool:
    """Whether a file has the name or the first bytes of a GGUF file."""
    if path.suffix.lower() == GGUF_SUFFIX:
        return True
    with durable.explain_os_errors(path), path.open("rb") as file:
        return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC


def is_hub_id(name: str) -> bool:
    """Whether `name` can only be the Hub id of a model: not in `runs`, nor in a folder here.

    >>> is_hub_id("Qwen/Qwen2.5-0.5B"), is_hub_id("runs/sft-1"), is_hub_id("./base")
    (True, False, False)
    """
    folder = Path(name).parent
    return bool(_HUB_ID.fullmatch(name)) and folder.name != RUNS_FOLDER and not folder.is_dir()


def _reject_added_files(folder: Path, verified: Collection[str]) -> None:
    """Raise `Damaged` if a folder contains a file that would be read and is not verified."""
    present = {path.name for pattern in READ_FILES for path in folder.glob(pattern)}
    if added := sorted(present - {*verified}):
        raise durable.Damaged(
            f"{folder / added[0]}: was not there when the folder was saved; delete it, or delete "
            f"{folder / durable.MANIFEST} if you added it yourself"
        )


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
    if (folder / HARDENING).is_file() and (folder / "model").is_dir():
        return folder / "model"
    if not (folder / "run.json").is_file():
        return folder
    if not (folder / "model").is_dir():
        raise InputError(
            f"{folder}: this run has no model yet; finish it with "
            f"{format_command('resume', folder)}"
        )
    return folder / "model"


def _missing_folder_text(folder: Path) -> str:
    try:
        others = [p.name for p in folder.parent.iterdir() if p.is_dir()]
    except OSError:
        others = []
    suggestion = nearest(folder.name, others)
    suggestion_text = f"did you mean {folder.parent / suggestion}?" if suggestion else ""
    if folder.parent.name == GGUF_CACHE:
        return (
            f"{folder}: no such directory; it was converted from a GGUF file; convert that again "
            f"with `upbring import FILE.gguf --to {shlex.quote(str(folder))}`"
        )
    is_run = folder.parent.name == RUNS_FOLDER
    hint = suggestion_text or (
        "list the runs with `upbring runs`"
        if is_run
        else "give a directory, a run folder, or a Hugging Face Hub id (owner/name)"
    )
    return f"{folder}: no such directory; {hint}"
