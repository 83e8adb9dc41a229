"""Where a run's relative paths start: in the directory in which it was begun, wherever one is now.

What lies there is what was meant, so that is looked at first; where it lacks files that the
directory of now has, the run was moved without them. Whether they are the same is told by their
hashes later.
"""

from collections.abc import Iterator
from pathlib import Path

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.input_references import STAGE_SETTINGS, input_references
from upbring.settings.stage import StageSettings

MAY_BE_HUB_NAMES = STAGE_SETTINGS - {"mix"}  # a model may be a name in a hub


def find_run_directory(run: Run, settings: StageSettings) -> Path:
    """Return the directory in which the files of a run are found."""
    current = Path.cwd()
    original = run.start_directory() or current
    candidates = [candidate for candidate in (original, current) if candidate.is_dir()]
    directory = min(candidates, key=lambda place: len([*_missing_paths(place, settings)]))
    missing_files = [name for name, is_file in _missing_paths(directory, settings) if is_file]
    if missing_files and original != current:
        description = "was begun" if original.is_dir() else "was begun, which is gone"
        raise InputError(
            f"{run.path}: {missing_files[0]} lies neither in {original}, where the run "
            f"{description}, nor in {current}; "
            "put it back, or resume where it lies now"
        )
    return directory


def _missing_paths(directory: Path, settings: StageSettings) -> Iterator[tuple[str, bool]]:
    """Yield the relative paths that lead to nothing from a place, and whether they must."""
    for name, value in input_references(settings):
        if not (directory / Path(value).expanduser()).exists():
            yield value, name not in MAY_BE_HUB_NAMES
