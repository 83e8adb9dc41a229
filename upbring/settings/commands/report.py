"""Settings of `upbring report` and `upbring watch`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class ReportSettings(Settings):
    """Write one HTML page about runs."""

    run: tuple[Path, ...] = setting(min_length=1, help="Folders of runs, pipelines or evaluations.")
    to: Path | None = setting(None, help="Output folder. Unset: the first input folder.")


class WatchSettings(Settings):
    """Serve the report as a live page while runs are training."""

    run: str | None = setting(None, help="Folder to watch. Unset: the run that started last.")
    runs: Path = setting(Path("runs"), help="Folder of the runs.")
    port: int = setting(0, ge=0, le=65535, help="Port of the page; 0: any free port.")
    refresh_seconds: int = setting(5, ge=1, help="Seconds between refreshes of an open page.")
