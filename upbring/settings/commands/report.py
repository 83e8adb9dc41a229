"""The settings of the commands that show what runs did."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class ReportSettings(Settings):
    """Write one page that shows what runs did."""

    run: tuple[Path, ...] = setting(
        min_length=1, help="Folders: of runs, of what a recipe made, of evaluations."
    )
    to: Path | None = setting(None, help="Folder to write to. Unset: the first one that is read.")


class WatchSettings(Settings):
    """Show the same page while runs are at work."""

    run: str | None = setting(None, help="Folder to watch. Unset: the run that began last.")
    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")
    port: int = setting(0, ge=0, le=65535, help="Port of the page; 0 takes one that is free.")
    refresh_seconds: int = setting(5, ge=1, help="How often an open page is read anew.")
