"""Where a run's relative paths start: in the directory in which it was begun, wherever one is now.

What lies there is what was meant, so that is looked at first; where it lacks files that the
directory of now has, the run was moved without them. Whether they are the same is told by their
hashes later.
"""

from collections.abc import Iterator
from pathlib import Path

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.references import NAMES, references
from upbring.settings.stage import StageSettings

MAYBE_ELSEWHERE = NAMES - {"mix"}  # a model may be a name in a hub


def directory_of(run: Run, settings: StageSettings) -> Path:
    """Return the directory in which the files of a run are found."""
    here = Path.cwd()
    begun = run.directory() or here
    places = [place for place in (begun, here) if place.is_dir()]
    found = min(places, key=lambda place: len([*_missing(place, settings)]))
    files = [name for name, is_file in _missing(found, settings) if is_file]
    if files and begun != here:
        what = "was begun" if begun.is_dir() else "was begun, which is gone"
        raise InputError(
            f"{run.path}: {files[0]} lies neither in {begun}, where the run {what}, nor in {here}; "
            "put it back, or resume where it lies now"
        )
    return found


def _missing(place: Path, settings: StageSettings) -> Iterator[tuple[str, bool]]:
    """Yield the relative paths that lead to nothing from a place, and whether they must."""
    for name, value in references(settings):
        if not (place / Path(value).expanduser()).exists():
            yield value, name not in MAYBE_ELSEWHERE
