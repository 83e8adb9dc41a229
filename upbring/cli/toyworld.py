"""`upbring toyworld export FOLDER`: write the toy world as files."""

from functools import partial
from pathlib import Path

from upbring import durable
from upbring.errors import InputError, format_value
from upbring.plurals import format_count
from upbring.settings.commands.toyworld import ToyworldSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.toyworld.export import export
from upbring.tracking import track_call
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ToyworldSettings]) -> None:
    """Write the files and list them."""
    settings = resolved.settings
    match settings.do:
        case ("export", target):
            folder = Path(target)
        case _:
            given = " ".join(settings.do)
            raise InputError(
                f"toyworld: {format_value(given)} is not understood; use: export FOLDER"
            )
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder")
    with durable.explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    write = partial(export, folder, seed=settings.seed, characters=settings.characters)
    counts = track_call(make_tracker(Console(stderr=True)), f"writing {folder}", write)
    log = make_log(Console())
    for name, rows in counts.items():
        log(f"{folder / name}: {format_count(rows, 'row')}")
