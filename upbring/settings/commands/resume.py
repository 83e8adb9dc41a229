"""Settings of `upbring resume`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class ResumeSettings(Settings):
    """Resume an interrupted run."""

    run: str | None = setting(None, help="Run to resume. Unset: the newest unfinished one.")
    runs: Path = setting(Path("runs"), help="Folder of the runs.")
    processes: int | None = setting(
        None, ge=1, help="Number of processes. Unset: as many as before."
    )
    allow_change: tuple[str, ...] = setting(
        (), help="Names of settings that may differ from the checkpoint's."
    )
