"""Settings of `upbring doctor`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DoctorSettings(Settings):
    """Check whether this machine can train, and print a block for a bug report."""

    runs: Path = setting(Path("runs"), help="Folder of the runs, whose disk is checked.")
    seconds: float = setting(
        1.0, gt=0, le=60, help="Duration of the processor measurement in seconds."
    )
