"""The runs in a folder and in the pipelines in it: `runs/sft-1`, `runs/assistant/stages/sft`."""

from pathlib import Path

from upbring.runs.run_folder import STAGES_FOLDER, Run, all_runs


def nested_runs(folder: Path) -> list[Run]:
    """Return the runs in a folder, in its stages, and in the pipelines in it, oldest first."""
    if not folder.is_dir():
        return []
    pipelines = [folder, *(path for path in folder.iterdir() if not path.name.startswith("."))]
    found = [*all_runs(folder)]
    for each in pipelines:
        if not Run(each).metadata_file.is_file():
            found += all_runs(each / STAGES_FOLDER)
    return sorted(found, key=lambda run: (str(run.read_metadata()["started_at"]), str(run.path)))


def neighboring_runs(folder: Path) -> list[Run]:
    """Return the runs that may name a file of a run in a folder, or of the run with this folder.

    For the stages of a pipeline those are also the runs beside the pipeline.
    """
    folder = folder.absolute()
    if Run(folder).metadata_file.is_file():
        folder = folder.parent
    outer = folder.parent if folder.name == STAGES_FOLDER else folder
    outer = outer.parent if (outer / STAGES_FOLDER).is_dir() else outer
    found = {run.path.resolve(): run for run in (*nested_runs(outer), *nested_runs(folder))}
    return [*found.values()]


def name_in(folder: Path, run: Run) -> str:
    """Return the path of a run from a folder above it; from any other, its folder's name.

    >>> name_in(Path("runs"), Run(Path("runs/assistant/stages/sft")))
    'assistant/stages/sft'
    """
    path = run.path
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
