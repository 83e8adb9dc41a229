"""Settings of `upbring runs`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class RunsSettings(Settings):
    """List the runs of a folder."""

    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")
