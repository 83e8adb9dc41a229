"""Settings of `upbring demo`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DemoSettings(Settings):
    """See the whole road in a few minutes, on an embedded small world."""

    to: Path = setting(Path("demo"), help="Folder to write to. Run again, the demo goes on.")
    steps: int | None = setting(
        None, ge=1, help="Steps of each stage, to try it in a hurry. Unset: as the recipe says."
    )
    threads: int | None = setting(
        None, ge=1, help="Processor threads. Unset: one per processor that this process may use."
    )
