"""Relative paths of a run start in the directory where it was started, not in the current one.

If that directory lacks files that the current one has, the run folder was moved, and the current
directory is used. Hashes are compared later, so a different file is not taken by mistake.
"""

from collections.abc import Iterator
from pathlib import Path

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.input_references import STAGE_SETTINGS, input_references
from upbring.settings.stage import StageSettings

MAY_BE_HUB_NAMES = STAGE_SETTINGS - {"mix"}  # a model may be a name in a hub


def find_run_directory(run: Run, settings: StageSettings) -> Path:
    """Return the directory that contains the files of a run."""
    current = Path.cwd()
    original = run.start_directory() or current
    candidates = [candidate for candidate in (original, current) if candidate.is_dir()]
    directory = min(candidates, key=lambda candidate: len([*_missing_paths(candidate, settings)]))
    missing_files = [name for name, is_file in _missing_paths(directory, settings) if is_file]
    if missing_files and original != current:
        description = "was started" if original.is_dir() else "was started, which is gone"
        raise InputError(
            f"{run.path}: {missing_files[0]} is neither in {original}, where the run "
            f"{description}, nor in {current}; "
            "put it back, or resume in the directory that has it"
        )
    return directory


def _missing_paths(directory: Path, settings: StageSettings) -> Iterator[tuple[str, bool]]:
    """Yield the relative paths that do not exist in a directory, and whether they must be files."""
    for name, value in input_references(settings):
        if not (directory / Path(value).expanduser()).exists():
            yield value, name not in MAY_BE_HUB_NAMES
