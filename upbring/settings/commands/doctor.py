"""Settings of `upbring doctor`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DoctorSettings(Settings):
    """Whether this machine can train, and a block for a bug report."""

    runs: Path = setting(Path("runs"), help="Folder that is to hold the runs.")
    seconds: float = setting(1.0, gt=0, le=60, help="Time to measure the processor for.")
