"""`upbring watch`: the report as a live page, reachable only from this machine."""

from pathlib import Path

from upbring.errors import InputError
from upbring.report.live import app
from upbring.report.read_folders import read_evidence
from upbring.runs.run_folder import all_runs
from upbring.settings.commands.report import WatchSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.web.guard import WebAddress
from upbring.web.server import serve


def run(resolved: Resolved[WatchSettings]) -> None:
    """Serve the page until Ctrl-C."""
    settings = resolved.settings
    folder = _watched_folder(settings)
    read_evidence([folder])  # raises early if the folder cannot be read
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

    def print_address(address: WebAddress) -> None:
        console.print(
            f"{folder}: open {address.url}\nOnly reachable from this machine, with this key. "
            "Stop with Ctrl-C."
        )

    serve(
        app([folder], refresh_seconds=settings.refresh_seconds),
        port=settings.port,
        on_ready=print_address,
    )
    console.print("closed")


def _watched_folder(settings: WatchSettings) -> Path:
    """Return the given folder (a path or a run's name), or the newest run's."""
    if settings.run is not None:
        path = Path(settings.run)
        return path if path.exists() else settings.runs / path
    runs = all_runs(settings.runs)
    if not runs:
        raise InputError(f"{settings.runs}: no runs yet; start one, or give a folder to watch")
    return runs[-1].path
