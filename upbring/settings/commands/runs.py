"""Settings of `upbring runs`, `runs diff`, `runs tree` and `runs prune`."""

from pathlib import Path
from typing import ClassVar

from upbring.settings.schema import Settings, setting


class RunsSettings(Settings):
    """List the runs in a folder."""

    runs: Path = setting(Path("runs"), help="Folder of the runs.")


class RunsDiffSettings(Settings):
    """Compare two runs."""

    panel: ClassVar[str] = "Runs diff"

    runs: tuple[Path, ...] = setting(min_length=1, help="The two runs to compare.")


class RunsTreeSettings(Settings):
    """Show which run was trained from which."""

    panel: ClassVar[str] = "Runs tree"

    runs: Path = setting(Path("runs"), help="Folder of the runs.")


class RunsPruneSettings(Settings):
    """Delete checkpoints that nothing needs."""

    panel: ClassVar[str] = "Runs prune"

    runs: Path = setting(Path("runs"), help="Folder of the runs, or one run.")
    delete: bool = setting(
        default=False, help="Delete them. Without this flag they are only listed."
    )
