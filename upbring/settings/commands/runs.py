"""Settings of `upbring runs`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class RunsSettings(Settings):
    """List the runs in a folder."""

    runs: Path = setting(Path("runs"), help="Folder of the runs.")
