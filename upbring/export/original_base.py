"""Whether a run's adapters belong to the original base, or to a stage that changed all weights.

An adapter is relative to the full weights below it. If an earlier stage wrote full weights, these
are the stage's, and no adapter on the original base gives the model.
"""

from pathlib import Path

from upbring.errors import InputError
from upbring.model.load import ModelFiles
from upbring.runs.contract import Contract, read_contract
from upbring.runs.find_model import find_local_model
from upbring.runs.run_folder import Run

AS_MERGED = "export it with --as merged"


def require_original_base(files: ModelFiles, name: str) -> None:
    """Raise an InputError unless a model is one or more adapters on the original base."""
    if not files.adapters:
        raise InputError(f"{name}: is a full model without an adapter; {AS_MERGED}")
    run = _run_of(files.base)
    if run is None:
        return
    contract = read_contract(files.base / "contract.json")
    if _started_from_random_weights(run, contract):
        return
    stage = contract.history[-1].method if contract.history else "the run"
    how = (
        "trained all weights (tune: full)"
        if contract.tune == "full"
        else "wrote whole weights, because it trained on a DoRA adapter or with one"
    )
    here = Path.cwd()
    shown = run.path.relative_to(here) if run.path.is_relative_to(here) else run.path
    raise InputError(
        f"{name}: its adapter is on the weights of {shown}, where stage '{stage}' {how}, so no "
        f"adapter on the original base {contract.base} gives this model; {AS_MERGED}"
    )


def _run_of(base: Path) -> Run | None:
    """Return the run that wrote a folder of full weights; None if no run did."""
    run = Run(base.parent)
    return run if base.name == "model" and run.metadata_file.is_file() else None


def _started_from_random_weights(run: Run, contract: Contract) -> bool:
    """Whether a run is the first stage of its model, so that its weights are the original ones."""
    if len(contract.history) != 1:
        return False
    name = contract.base
    if not name.startswith("builtin:"):
        name = str((run.start_directory() or Path()) / Path(name).expanduser())
    try:
        folder = find_local_model(name)
    except InputError:  # the folder is gone
        return False
    return folder is not None and not any(folder.glob("*.safetensors"))
